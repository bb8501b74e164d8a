// Copies of rows, which lie next to each other in both tensors. As in cat, a row is cut by where
// the result has its packs of 16 aligned bytes, and what the source has elsewhere is put together
// of two aligned loads. But here there is one tensor, so a thread finds its row once for all its
// packs, or once for each where rows are short: a team of lanes has a row, or a chunk of a long
// one, and what is before the row's first pack and behind its last, an element per lane.
#ifndef POLYOPS_GPU_COPY_ROWS_H_
#define POLYOPS_GPU_COPY_ROWS_H_

#include <cstdint>

#include "cat/copy.h"
#include "copy/tiles.h"
#include "division.h"
#include "gpu.h"
#include "walk.h"

namespace polyops::gpu {
namespace {

constexpr int kRowThreads = 256;
constexpr int kRowPacks = 4;      // of a thread
constexpr int kMostRowLanes = 5;  // log2: of a team

struct Rows {
  const char* src;
  char* dst;
  const char* src_end;  // behind its last element
  int64_t bytes;        // of a row
  uint32_t rows;
  uint32_t packs;  // whole packs of a row, at most
  int lane_bits;   // log2 of a team's lanes
  bool by_chunks;  // a team has kRowPacks packs per lane of one row; or one of so many rows
  int levels;      // dimensions of rows, innermost first
  Division sizes[POLYOPS_MAX_RANK];
  int64_t src_steps[POLYOPS_MAX_RANK];
  int64_t dst_steps[POLYOPS_MAX_RANK];
};

// *aligned: rows are whole packs of 16 aligned bytes, in the source too.
inline Rows make_rows(const Walk<2>& walk, int64_t width, const void* src, void* dst,
                      bool* aligned) {
  Rows r = {};
  r.src = static_cast<const char*>(src);
  r.dst = static_cast<char*>(dst);
  r.src_end = r.src + source_bytes(walk, width);
  r.bytes = walk.sizes[0] * width;
  r.rows = 1;
  uint64_t places = reinterpret_cast<uintptr_t>(src) | reinterpret_cast<uintptr_t>(dst) |
                    static_cast<uint64_t>(r.bytes);
  for (int d = 1; d < walk.rank; ++d, ++r.levels) {
    r.sizes[r.levels] = Division(static_cast<uint32_t>(walk.sizes[d]));
    r.src_steps[r.levels] = walk.strides[0][d] * width;
    r.dst_steps[r.levels] = walk.strides[1][d] * width;
    places |= static_cast<uint64_t>(r.src_steps[r.levels] | r.dst_steps[r.levels]);
    r.rows *= static_cast<uint32_t>(walk.sizes[d]);
  }
  *aligned = places % 16 == 0;
  r.packs = static_cast<uint32_t>(r.bytes / 16);
  r.by_chunks = r.packs > 16;
  const uint32_t lanes = r.by_chunks ? r.packs / kRowPacks : r.packs;
  while (r.lane_bits < kMostRowLanes && uint32_t{1} << r.lane_bits < lanes) ++r.lane_bits;
  return r;
}

inline int64_t row_blocks(int64_t teams, int lane_bits) {
  const int64_t of_block = kRowThreads >> lane_bits;
  return (teams + of_block - 1) / of_block;
}

// Up to kMost copies by chunks of equally many rows in one launch, as cat has them, whose results
// lie beside each other: the chunks of a row in all of them, one after the other.
template <int kMost>
struct RowGroup {
  uint32_t rows;
  int lane_bits;
  Division chunks;        // of a row, in all
  uint32_t first[kMost];  // chunk of each copy; beyond the last more than there are
  Rows of[kMost];
};

template <int kMost>
RowGroup<kMost> make_row_group(const Rows* copies, int count) {
  RowGroup<kMost> group = {};
  group.rows = copies[0].rows;
  for (int i = 0; i < count; ++i) {
    if (copies[i].lane_bits > group.lane_bits) group.lane_bits = copies[i].lane_bits;
  }
  const uint32_t chunk = uint32_t{kRowPacks} << group.lane_bits;
  uint32_t chunks = 0;
  for (int i = 0; i < kMost; ++i) {
    group.first[i] = i < count ? chunks : ~uint32_t{0};
    if (i >= count) continue;
    group.of[i] = copies[i];
    group.of[i].lane_bits = group.lane_bits;
    chunks += (copies[i].packs + chunk - 1) / chunk;
  }
  group.chunks = Division(chunks);
  return group;
}

struct RowPlace {
  const char* src;
  char* dst;
};

GPU_DEVICE RowPlace place_of(const Rows& r, uint32_t row) {
  RowPlace at = {r.src, r.dst};
  const int outermost = r.levels - 1;
#pragma unroll 1
  for (int d = 0; d < outermost; ++d) {
    const uint32_t place = take_remainder(r.sizes[d], &row);
    at.src += place * r.src_steps[d];
    at.dst += place * r.dst_steps[d];
  }
  at.src += row * r.src_steps[outermost];
  at.dst += row * r.dst_steps[outermost];
  return at;
}

// A pack between its load and its store.
template <class T, bool kAligned>
class RowPack {
 public:
  GPU_DEVICE RowPack() : to_(nullptr) {}

  // If the row has a pack of that number.
  GPU_DEVICE void load(const Rows& r, const RowPlace& row, uint32_t pack) {
    if (pack >= r.packs) return;
    const int64_t head = kAligned ? 0 : -behind_pack(row.dst) & 15;
    const int64_t at = head + int64_t{16} * pack;
    if (!kAligned && at + 16 > r.bytes) return;
    to_ = row.dst + at;
    from_ = row.src + at;
    if constexpr (kAligned) {
      low_ = load_words(from_);
    } else {
      const uint32_t skew = behind_pack(from_);
      const char* const first = from_ - skew;
      covered_ = first >= r.src && first + (skew == 0 ? 16 : 32) <= r.src_end;
      if (!covered_) return;
      low_ = load_words(first);
      high_ = {};  // not low_: a copy would wait for it before the next load
      if (skew != 0) high_ = load_words(first + 16);
    }
  }

  GPU_DEVICE void store() const {
    if (to_ == nullptr) return;
    if constexpr (kAligned) {
      store_words(to_, low_);
    } else if (covered_) {
      store_words(to_, cut_words(low_, high_, behind_pack(from_)));
    } else {
#pragma unroll 1
      for (int j = 0; j < kPack<T>; ++j) {
        reinterpret_cast<T*>(to_)[j] = reinterpret_cast<const T*>(from_)[j];
      }
    }
  }

 private:
  char* to_;  // null: none
  const char* from_;
  bool covered_;  // two aligned loads are all the source's
  Words low_, high_;
};

// Of a row what is in no pack: element by element, those of a team in turn.
template <class T>
GPU_DEVICE void copy_row_ends(const Rows& r, const RowPlace& row, uint32_t lane) {
  const int64_t places = r.packs == 0 ? r.bytes / int64_t{sizeof(T)} : 2 * kPack<T>;
#pragma unroll 1
  for (int place = static_cast<int>(lane); place < places; place += 1 << r.lane_bits) {
    const int64_t at = end_at<T>(r, row.dst, place);
    if (at >= 0) {
      reinterpret_cast<T*>(row.dst)[at] = reinterpret_cast<const T*>(row.src)[at];
    }
  }
}

// Packs of one row: first, and the same lane's of the team's next turns. They are behind a multiple
// of 16 bytes by the same, so one question answers for all what may be read.
template <class T>
GPU_DEVICE void copy_chunk(const Rows& r, const RowPlace& row, uint32_t first) {
  const int64_t begin = (-behind_pack(row.dst) & 15) + int64_t{16} * first;
  const int step = 16 << r.lane_bits;
  const int64_t left = r.bytes - begin;
  if (left < 16) return;
  const int bytes = left < kRowPacks * step ? static_cast<int>(left) : kRowPacks * step;
  const char* const from = row.src + begin;
  const uint32_t skew = behind_pack(from);
  if (from - skew < r.src || from - skew + (kRowPacks - 1) * step + 32 > r.src_end) {
#pragma unroll 1
    for (int k = 0; k < kRowPacks; ++k) {
      RowPack<T, false> pack;
      pack.load(r, row, first + static_cast<uint32_t>(k << r.lane_bits));
      pack.store();
    }
    return;
  }
  Words low[kRowPacks], high[kRowPacks] = {};  // high: not low, as RowPack
#pragma unroll
  for (int k = 0; k < kRowPacks; ++k) {
    if (k * step + 16 > bytes) continue;
    low[k] = load_words(from - skew + k * step);
    if (skew != 0) high[k] = load_words(from - skew + k * step + 16);
  }
#pragma unroll
  for (int k = 0; k < kRowPacks; ++k) {
    if (k * step + 16 > bytes) continue;
    store_words(row.dst + begin + k * step, cut_words(low[k], high[k], skew));
  }
}

template <class T>
GPU_DEVICE void copy_aligned_chunk(const Rows& r, const RowPlace& row, uint32_t first) {
  RowPack<T, true> packs[kRowPacks];
#pragma unroll
  for (int k = 0; k < kRowPacks; ++k) {
    packs[k].load(r, row, first + static_cast<uint32_t>(k << r.lane_bits));
  }
#pragma unroll
  for (int k = 0; k < kRowPacks; ++k) packs[k].store();
}

// Copies in one launch: of rows of whole packs one.
constexpr int kMostTogether = 4;
template <bool kAligned>
using RowGroupOf = RowGroup<kAligned ? 1 : kMostTogether>;

// T: any type of the element's size; of no account where all is aligned.
template <class T, bool kAligned>
GPU_KERNEL(kRowThreads)
copy_chunks(const GPU_CONSTANT RowGroupOf<kAligned> group) {
  await_earlier();
  const uint32_t lane = static_cast<uint32_t>(thread_id()) & ((1u << group.lane_bits) - 1);
  uint32_t row = static_cast<uint32_t>(block_id()) * (kRowThreads >> group.lane_bits) +
                 (static_cast<uint32_t>(thread_id()) >> group.lane_bits);
  uint32_t chunk = take_remainder(group.chunks, &row);
  if (row >= group.rows) return;
  int which = 0;
  if constexpr (!kAligned) {
#pragma unroll
    for (int i = 1; i < kMostTogether; ++i) which = chunk >= group.first[i] ? i : which;
    chunk -= group.first[which];
  }
  const Rows& r = group.of[which];
  const RowPlace at = place_of(r, row);
  const uint32_t first = (chunk * kRowPacks << group.lane_bits) + lane;
  if constexpr (kAligned) {
    copy_aligned_chunk<T>(r, at, first);
  } else {
    copy_chunk<T>(r, at, first);
    if (chunk == 0) copy_row_ends<T>(r, at, lane);
  }
}

template <class T, bool kAligned>
GPU_KERNEL(kRowThreads)
copy_short_rows(const GPU_CONSTANT Rows r) {
  await_earlier();
  const uint32_t lane = static_cast<uint32_t>(thread_id()) & ((1u << r.lane_bits) - 1);
  const uint32_t teams = kRowThreads >> r.lane_bits;
  const uint32_t first = static_cast<uint32_t>(block_id()) * (teams * kRowPacks) +
                         (static_cast<uint32_t>(thread_id()) >> r.lane_bits);
  RowPlace at[kRowPacks];
  RowPack<T, kAligned> packs[kRowPacks];
#pragma unroll
  for (int k = 0; k < kRowPacks; ++k) {
    const uint32_t row = first + static_cast<uint32_t>(k) * teams;
    at[k].dst = nullptr;
    if (row >= r.rows) continue;
    at[k] = place_of(r, row);
    packs[k].load(r, at[k], lane);
  }
#pragma unroll
  for (int k = 0; k < kRowPacks; ++k) packs[k].store();
  if constexpr (!kAligned) {
#pragma unroll
    for (int k = 0; k < kRowPacks; ++k) {
      if (at[k].dst != nullptr) copy_row_ends<T>(r, at[k], lane);
    }
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_COPY_ROWS_H_
