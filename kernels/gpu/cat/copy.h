// How cat's kernel copies rows. A row is cut by where the result has its packs of 16 aligned bytes:
// so every store is whole, and what an input has elsewhere is put together of two aligned loads,
// the second of which is the next lane's first. Elements before the first pack and behind the last
// are copied by other blocks, since lanes that had them among packs would hold up their wave.
#ifndef POLYOPS_GPU_CAT_COPY_H_
#define POLYOPS_GPU_CAT_COPY_H_

#include <cstdint>

#include "gpu.h"
#include "pieces.h"

namespace polyops::gpu {
namespace {

GPU_DEVICE uint32_t behind_pack(const void* p) {
  return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(p) % 16);
}

// 16 of the 32 bytes, from that byte on.
GPU_DEVICE Words cut_words(const Words& low, const Words& high, uint32_t byte) {
  uint32_t w[8];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    w[i] = low.w[i];
    w[4 + i] = high.w[i];
  }
#pragma unroll
  for (int i = 0; i < 6; ++i) w[i] = (byte & 8) != 0 ? w[i + 2] : w[i];
#pragma unroll
  for (int i = 0; i < 5; ++i) w[i] = (byte & 4) != 0 ? w[i + 1] : w[i];
  Words cut;
#pragma unroll
  for (int i = 0; i < 4; ++i) cut.w[i] = funnel_right(w[i], w[i + 1], 8 * (byte & 3));
  return cut;
}

// A pack of the result: what it takes to store it. Of the input's bytes, only those of its own rows
// are read: where that leaves no room for two aligned loads, at both ends of the input, elements
// are.
struct CatPack {
  char* to;  // null: none
  const char* from;
  uint32_t skew;  // bytes by which from is behind a multiple of 16
  bool alone;     // by elements
};

template <int kLevels>
GPU_DEVICE CatPack pack_at(const Piece<kLevels>& p, uint32_t item) {
  CatPack pack = {nullptr, nullptr, 0, false};
  if (item >= p.rows * p.packs) return pack;
  const uint32_t row = p.row_of_pack(item);
  const CatRow r = row_of(p, row);
  const int64_t at = (-behind_pack(r.dst) & 15) + int64_t{16} * (item - row * p.packs);
  if (at + 16 > p.bytes) return pack;
  pack.to = r.dst + at;
  pack.from = r.src + at;
  pack.skew = behind_pack(pack.from);
  const char* const begin = p.dense != 0 ? p.src : r.src;
  const char* const end = begin + (p.dense != 0 ? p.rows * p.bytes : p.bytes);
  const char* const first = pack.from - pack.skew;
  pack.alone = pack.skew != 0 && (first < begin || first + 32 > end);
  return pack;
}

template <class T, int kLevels>
GPU_DEVICE void copy_packs(const Piece<kLevels>& p, uint32_t block) {
  CatPack pack[kCatPacks];
  Words low[kCatPacks], high[kCatPacks];
#pragma unroll
  for (int k = 0; k < kCatPacks; ++k) {
    pack[k] = pack_at(p, block * kCatItems + k * kCatThreads + thread_id());
    if (pack[k].to == nullptr || pack[k].alone) continue;
    low[k] = load_words(pack[k].from - pack[k].skew);
    if (pack[k].skew != 0) high[k] = load_words(pack[k].from - pack[k].skew + 16);
  }
#pragma unroll
  for (int k = 0; k < kCatPacks; ++k) {
    if (pack[k].to == nullptr) continue;
    if (pack[k].alone) {
      for (int j = 0; j < kPack<T>; ++j) {
        reinterpret_cast<T*>(pack[k].to)[j] = reinterpret_cast<const T*>(pack[k].from)[j];
      }
    } else if (pack[k].skew != 0) {
      store_words(pack[k].to, cut_words(low[k], high[k], pack[k].skew));
    } else {
      store_words(pack[k].to, low[k]);
    }
  }
}

// The element of a row that has that place among its ends; negative if there is none. Rows: what
// has packs and bytes as a Piece.
template <class T, class Rows>
GPU_DEVICE int64_t end_at(const Rows& p, const char* dst, int place) {
  if (p.packs == 0) return place;
  const int64_t n = p.bytes / static_cast<int64_t>(sizeof(T));
  const int head = static_cast<int>((-behind_pack(dst) & 15) / sizeof(T));
  if (place < kPack<T>) return place < head ? place : -1;
  const int64_t at = head + (n - head) / kPack<T> * kPack<T> + place - kPack<T>;
  return at < n ? at : -1;
}

template <class T, int kLevels>
GPU_DEVICE void copy_ends(const Piece<kLevels>& p, uint32_t block) {
  T x[kCatPacks];
  T* to[kCatPacks];
#pragma unroll
  for (int k = 0; k < kCatPacks; ++k) {
    to[k] = nullptr;
    const uint32_t item = block * kCatItems + k * kCatThreads + thread_id();
    if (item >= p.rows * p.ends) continue;
    const uint32_t row = item / p.ends;
    const CatRow r = row_of(p, row);
    const int64_t at = end_at<T>(p, r.dst, static_cast<int>(item - row * p.ends));
    if (at < 0) continue;
    x[k] = reinterpret_cast<const T*>(r.src)[at];
    to[k] = reinterpret_cast<T*>(r.dst) + at;
  }
#pragma unroll
  for (int k = 0; k < kCatPacks; ++k) {
    if (to[k] != nullptr) *to[k] = x[k];
  }
}

// Where every piece is aligned: as copy_packs(), with nothing left of its questions.
template <int kLevels>
GPU_KERNEL(kCatThreads)
cat_aligned_pieces(const GPU_CONSTANT Pieces<kLevels> all) {
  await_earlier();
  const auto block = static_cast<uint32_t>(block_id());
  const int which = piece_of(all, block);
  const Piece<kLevels>& p = all.piece[which];
  const uint32_t first = (block - all.first_block[which]) * kCatItems + thread_id();
  const uint32_t count = p.rows * p.packs;
  char* to[kCatPacks];
  Words words[kCatPacks];
#pragma unroll
  for (int k = 0; k < kCatPacks; ++k) {
    const uint32_t item = first + k * kCatThreads;
    to[k] = nullptr;
    if (item >= count) continue;
    const uint32_t row = p.row_of_pack(item);
    const CatRow r = row_of(p, row);
    const int64_t at = int64_t{16} * (item - row * p.packs);
    words[k] = load_words(r.src + at);
    to[k] = r.dst + at;
  }
#pragma unroll
  for (int k = 0; k < kCatPacks; ++k) {
    if (to[k] != nullptr) store_words(to[k], words[k]);
  }
}

// T: any type of the element's size.
template <class T, int kLevels>
GPU_KERNEL(kCatThreads)
cat_pieces(const GPU_CONSTANT Pieces<kLevels> all) {
  await_earlier();
  const auto block = static_cast<uint32_t>(block_id());
  const int which = piece_of(all, block);
  const Piece<kLevels>& p = all.piece[which];
  const uint32_t own = block - all.first_block[which];
  if (own < p.pack_blocks) {
    copy_packs<T>(p, own);
  } else {
    copy_ends<T>(p, own - p.pack_blocks);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CAT_COPY_H_
