// Copies that turn over a dimension of few elements which lie next to each other in the result,
// such as the channels of an image on its way to NHWC: the reverse of narrow.h. A block reads a
// part of each of the few rows, puts every element where it is in a dense run of the result, in
// shared memory, and writes that run, 16 bytes per access on both sides.
#ifndef POLYOPS_GPU_COPY_INTERLEAVE_H_
#define POLYOPS_GPU_COPY_INTERLEAVE_H_

#include <cstdint>

#include "copy/narrow.h"

namespace polyops::gpu {
namespace {

// A pack more of each row, where rows begin anywhere.
constexpr int kInterleaveLoads = kNarrowLoads + 1;

// Bytes of the longest y whose rows are not whole packs: tiles would write many ends. And elements,
// for each of which threads have a pack beyond those that fit.
constexpr int64_t kMostInterleaved = 512, kMostInterleavedRows = 256;

// x: its dimension in the walk, if it has one there.
inline bool is_interleaved(const Walk<2>& walk, int x, int64_t most) {
  return x != 0 && walk.sizes[0] <= most && walk.sizes[0] <= kMostInterleavedRows &&
         walk.strides[1][x] == walk.sizes[0] && walk.sizes[x] >= kLongRow;
}

// packs: those of a row of the source that a tile may touch.
template <class T>
Narrow make_interleaved(const Walk<2>& walk, int x, const void* src, void* dst) {
  Narrow n = {make_tiles<T>(walk, x, src, dst), {}};
  Tiles& t = n.tiles;
  const uint32_t room = (kNarrowBytes - 16) / (t.y_size * uint32_t{sizeof(T)}) / kPack<T>;
  t.wide_bits = 0;
  while (uint32_t{2} << t.wide_bits <= room) ++t.wide_bits;
  const uint32_t wide = uint32_t{kPack<T>} << t.wide_bits;
  t.x_tiles = Division((t.x_size + wide - 1) / wide);
  t.y_tiles = Division();
  n.packs = Division((uint32_t{1} << t.wide_bits) + 1);
  return n;
}

template <class T>
GPU_DEVICE T element_of(const Words& words, int i) {
  if constexpr (sizeof(T) == 8) {
    return words.w[2 * i] | uint64_t{words.w[2 * i + 1]} << 32;
  } else {
    constexpr int kIn = 4 / static_cast<int>(sizeof(T));
    return static_cast<T>(words.w[i / kIn] >> 8 * sizeof(T) * (i % kIn));
  }
}

// What a thread reads: an aligned pack of row y, whose first element has that place from the
// tile's.
struct RowPart {
  const char* from;
  int x;
  uint32_t y;
};

template <class T>
GPU_DEVICE RowPart part_of(const Narrow& n, const TilePlace& at, uint32_t item) {
  const uint32_t pack = take_remainder(n.packs, &item);
  const char* const row = at.src + item * n.tiles.src_step;
  const uint32_t skew = behind_pack(row);
  return {row - skew + 16 * pack,
          static_cast<int>(pack * kPack<T>) - static_cast<int>(skew / sizeof(T)), item};
}

// columns: of the tile. shift: bytes by which its run is behind a multiple of 16 in the result.
template <class T>
GPU_DEVICE void read_rows(const Narrow& n, const TilePlace& at, int columns, int shift,
                          uint32_t* words) {
  const Tiles& t = n.tiles;
  const uint32_t items = t.y_size * n.packs.divisor;
  const auto is_whole = [&](const RowPart& part) {
    return part.x >= 0 && part.x + kPack<T> <= columns && part.from >= t.src &&
           part.from + 16 <= t.src_end;
  };
  const auto step = static_cast<int>(t.y_size * sizeof(T));
  Words packs[kInterleaveLoads];
#pragma unroll
  for (int k = 0; k < kInterleaveLoads; ++k) {
    const auto item = static_cast<uint32_t>(k * kNarrowThreads + thread_id());
    if (item >= items) continue;
    const RowPart part = part_of<T>(n, at, item);
    if (is_whole(part)) packs[k] = load_words(part.from);
  }
#pragma unroll
  for (int k = 0; k < kInterleaveLoads; ++k) {
    const auto item = static_cast<uint32_t>(k * kNarrowThreads + thread_id());
    if (item >= items) continue;
    const RowPart part = part_of<T>(n, at, item);
    const int first = shift + part.x * step + static_cast<int>(part.y * sizeof(T));
    if (is_whole(part)) {
#pragma unroll
      for (int i = 0; i < kPack<T>; ++i) {
        put_element<T>(words, first + i * step, element_of<T>(packs[k], i));
      }
      continue;
    }
#pragma unroll 1
    for (int i = 0; i < kPack<T>; ++i) {
      if (part.x + i < 0 || part.x + i >= columns) continue;
      put_element<T>(words, first + i * step, reinterpret_cast<const T*>(part.from)[i]);
    }
  }
}

// first: of the aligned packs that the run touches.
template <class T>
GPU_DEVICE void write_packs(const uint32_t* words, int shift, int end, char* first) {
#pragma unroll 2
  for (int at = 16 * thread_id(); at < end; at += 16 * kNarrowThreads) {
    if (at >= shift && at + 16 <= end) {
      Words pack;
#pragma unroll
      for (int i = 0; i < 4; ++i) pack.w[i] = words[padded(at) / 4 + i];
      store_words(first + at, pack);
      continue;
    }
#pragma unroll 1
    for (int byte = at; byte < at + 16; byte += static_cast<int>(sizeof(T))) {
      if (byte < shift || byte >= end) continue;
      *reinterpret_cast<T*>(first + byte) = element_at<T>(words, byte);
    }
  }
}

template <class T>
GPU_KERNEL(kNarrowThreads, 5)
copy_interleaved(const GPU_CONSTANT Narrow n) {
  await_earlier();
  GPU_SHARED(uint32_t, words, kNarrowWords);
  const Tiles& t = n.tiles;
  const TilePlace at = place_of<T>(t, static_cast<uint32_t>(block_id()));
  const uint32_t wide = uint32_t{kPack<T>} << t.wide_bits, left = t.x_size - at.x;
  const auto columns = static_cast<int>(left < wide ? left : wide);
  const auto shift = static_cast<int>(behind_pack(at.dst));
  read_rows<T>(n, at, columns, shift, words);
  barrier();
  const int bytes = columns * static_cast<int>(t.y_size * sizeof(T));
  write_packs<T>(words, shift, shift + bytes, at.dst - shift);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_COPY_INTERLEAVE_H_
