// What a launch of tiles copies. x: the dimension whose elements lie next to each other in the
// source, y: that of the result. A tile is wide * high blocks, one of each thread; a block is as
// many rows of the source as a pack has elements, so that a thread turns it over in its registers.
#ifndef POLYOPS_GPU_COPY_TILES_H_
#define POLYOPS_GPU_COPY_TILES_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "walk.h"

namespace polyops::gpu {
namespace {

// Blocks of a tile, and threads. Of bytes a block is 16 x 16, and 64 registers.
template <class T>
inline constexpr int kTileBits = sizeof(T) == 1 ? 7 : 8;
template <class T>
inline constexpr int kTileThreads = 1 << kTileBits<T>;
// Of a tile's blocks along x.
template <class T>
inline constexpr int kMostWideBits = kTileBits<T> / 2 + 2;

struct Tiles {
  const char* src;
  char* dst;
  const char* src_end;  // behind its last element
  int64_t src_step;     // bytes from one y to the next
  int64_t dst_step;     // bytes from one x to the next
  uint32_t x_size, y_size;
  int wide_bits;  // log2 of the blocks along x
  int owned;      // packs of y that a tile writes: all that it reads, or one less
  bool of_packs;  // rows of the source are whole packs of 16 aligned bytes all over
  bool to_packs;  // rows of the result are
  Division x_tiles, y_tiles;
  int outer;  // dimensions of which tiles have one place, innermost first
  Division sizes[POLYOPS_MAX_RANK - 2];
  int64_t src_steps[POLYOPS_MAX_RANK - 2];
  int64_t dst_steps[POLYOPS_MAX_RANK - 2];
};

// The dimension whose elements lie next to each other in the source, if it is not the result's; or
// 0.
inline int turned_dimension(const Walk<2>& walk) {
  if (walk.strides[1][0] != 1) return 0;
  for (int d = 1; d < walk.rank; ++d) {
    if (walk.strides[0][d] == 1) return d;
  }
  return 0;
}

struct TileShape {
  int wide_bits;
  double waste;  // elements of all tiles for each of the tensor's
};

// Of those the one that reaches out least; the square one among equals, whose rows are the longest.
// spare: packs of y that are read twice.
template <class T>
TileShape best_shape(int64_t x_size, int64_t y_size, int spare) {
  constexpr int kSquare = kTileBits<T> / 2;
  const auto padded = [](int64_t size, int64_t tile) {
    return static_cast<double>((size + tile - 1) / tile * tile) / static_cast<double>(size);
  };
  TileShape best = {};
  for (int away = 0; away <= 2; ++away) {
    for (const int bits : {kSquare + away, kSquare - away}) {
      const int64_t wide = int64_t{kPack<T>} << bits, packs = (kTileThreads<T> >> bits) - spare;
      const double waste = padded(x_size, wide) * padded(y_size, kPack<T> * packs) *
                           static_cast<double>(packs + spare) / static_cast<double>(packs);
      // Short rows cost a little; where those of the result begin anywhere, their parts are to be
      // long.
      const bool high = spare > 0 && bits == kSquare - 1;
      const double cost = waste * (high ? 0.98 : 1 + 0.1 * away);
      if (best.waste == 0 || cost < best.waste) best = {bits, cost};
    }
  }
  return best;
}

// Bytes from the first element of the source to behind the last one.
inline int64_t source_bytes(const Walk<2>& walk, int64_t width) {
  int64_t last = 0;
  for (int d = 0; d < walk.rank; ++d) last += (walk.sizes[d] - 1) * walk.strides[0][d];
  return (last + 1) * width;
}

// x: its dimension in the walk. cut: rows of the result are written by their own packs.
template <class T>
Tiles make_tiles(const Walk<2>& walk, int x, const void* src, void* dst, bool cut = true) {
  constexpr int64_t kWidth = sizeof(T);
  Tiles t = {};
  t.src = static_cast<const char*>(src);
  t.dst = static_cast<char*>(dst);
  t.src_end = t.src + source_bytes(walk, kWidth);
  t.src_step = walk.strides[0][0] * kWidth;
  t.dst_step = walk.strides[1][x] * kWidth;
  t.x_size = static_cast<uint32_t>(walk.sizes[x]);
  t.y_size = static_cast<uint32_t>(walk.sizes[0]);
  uint64_t from = reinterpret_cast<uintptr_t>(src) | static_cast<uint64_t>(t.src_step);
  uint64_t to = reinterpret_cast<uintptr_t>(dst) | static_cast<uint64_t>(t.dst_step);
  for (int d = 1; d < walk.rank; ++d) {
    if (d == x) continue;
    t.sizes[t.outer] = Division(static_cast<uint32_t>(walk.sizes[d]));
    t.src_steps[t.outer] = walk.strides[0][d] * kWidth;
    t.dst_steps[t.outer] = walk.strides[1][d] * kWidth;
    from |= static_cast<uint64_t>(t.src_steps[t.outer]);
    to |= static_cast<uint64_t>(t.dst_steps[t.outer]);
    ++t.outer;
  }
  t.of_packs = from % 16 == 0 && t.x_size % kPack<T> == 0;
  t.to_packs = to % 16 == 0 && t.y_size % kPack<T> == 0;
  // Rows that begin anywhere take from the tile what their first whole pack begins with.
  const int spare = cut && to % 16 != 0 ? 1 : 0;
  t.wide_bits = best_shape<T>(t.x_size, t.y_size, spare).wide_bits;
  t.owned = (kTileThreads<T> >> t.wide_bits) - spare;
  const uint32_t wide = uint32_t{kPack<T>} << t.wide_bits, high = kPack<T> * uint32_t(t.owned);
  t.x_tiles = Division((t.x_size + wide - 1) / wide);
  t.y_tiles = Division((t.y_size + high - 1) / high);
  return t;
}

inline int64_t tile_count(const Tiles& t) {
  int64_t n = int64_t{t.x_tiles.divisor} * t.y_tiles.divisor;
  for (int d = 0; d < t.outer; ++d) n *= t.sizes[d].divisor;
  return n;
}

// ---- On the device.

// An element where packs are.
template <class T>
struct Element {
  T bits;
} __attribute__((may_alias));

// A block's tile: where its first element is, and what number it has in its plane.
struct TilePlace {
  const char* src;
  char* dst;
  uint32_t x, y;
};

template <class T>
GPU_DEVICE TilePlace place_of(const Tiles& t, uint32_t block) {
  TilePlace at = {t.src, t.dst, 0, 0};
  at.x = take_remainder(t.x_tiles, &block) * (uint32_t{kPack<T>} << t.wide_bits);
  at.y = take_remainder(t.y_tiles, &block) * (kPack<T> * static_cast<uint32_t>(t.owned));
#pragma unroll 1
  for (int d = 0; d < t.outer; ++d) {
    const uint32_t place = take_remainder(t.sizes[d], &block);
    at.src += place * t.src_steps[d];
    at.dst += place * t.dst_steps[d];
  }
  at.src += at.y * t.src_step + int64_t{at.x} * int64_t{sizeof(T)};
  at.dst += at.x * t.dst_step + int64_t{at.y} * int64_t{sizeof(T)};
  return at;
}

// Where the tile's row x has its pack of that number.
template <class T>
GPU_DEVICE int slot_of(const Tiles& t, int x, int pack) {
  return ((x << (kTileBits<T> - t.wide_bits)) + pack) ^ (x / kPack<T> & 7);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_COPY_TILES_H_
