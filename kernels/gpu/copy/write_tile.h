// How a tile of copy goes from shared memory to the result, 16 bytes per access.
#ifndef POLYOPS_GPU_COPY_WRITE_TILE_H_
#define POLYOPS_GPU_COPY_WRITE_TILE_H_

#include <cstdint>

#include "cat/copy.h"
#include "copy/tiles.h"
#include "gpu.h"

namespace polyops::gpu {
namespace {

// Row x of the tile, elements first..end of it.
template <class T>
GPU_DEVICE void write_ends(const Tiles& t, const Words* tile, int x, uint32_t first, uint32_t end,
                           char* row) {
#pragma unroll 1
  for (uint32_t e = first; e < end; ++e) {
    const Words* const pack = &tile[slot_of<T>(t, x, static_cast<int>(e) / kPack<T>)];
    reinterpret_cast<T*>(row)[e] = reinterpret_cast<const Element<T>*>(pack)[e % kPack<T>].bits;
  }
}

// Pack p of those that row x of the tile has in the result. left: elements of the row from the
// tile's first one on. The last thread, which has no pack where rows begin anywhere, has what is
// before them.
template <class T>
GPU_DEVICE void write_pack(const Tiles& t, const TilePlace& at, const Words* tile, int x, int p,
                           char* row) {
  const uint32_t left = t.y_size - at.y;
  const uint32_t head = (-behind_pack(row) & 15) / static_cast<uint32_t>(sizeof(T));
  const uint32_t first = head + static_cast<uint32_t>(p) * kPack<T>;
  if (p >= t.owned) {
    if (at.y == 0) write_ends<T>(t, tile, x, 0, head < left ? head : left, row);
  } else if (first + kPack<T> <= left) {
    Words pack = tile[slot_of<T>(t, x, p)];
    if (head != 0) {
      const uint32_t byte = head * static_cast<uint32_t>(sizeof(T));
      pack = cut_words(pack, tile[slot_of<T>(t, x, p + 1)], byte);
    }
    store_words(row + int64_t{first} * int64_t{sizeof(T)}, pack);
  } else {
    write_ends<T>(t, tile, x, first, left, row);
  }
}

// A tile all of whose packs are there: nothing that a pack would have to ask.
template <class T>
GPU_DEVICE void write_inside(const Tiles& t, const TilePlace& at, const Words* tile) {
  const int high_bits = kTileBits<T> - t.wide_bits, last = (1 << high_bits) - 1;
  const int p = thread_id() & last, first = thread_id() >> high_bits;
  const int next = p < last ? p + 1 : last;
  char* row = at.dst + first * t.dst_step;
#pragma unroll
  for (int k = 0; k < kPack<T>; ++k, row += t.dst_step << t.wide_bits) {
    const int x = first + (k << t.wide_bits);
    const uint32_t head = -behind_pack(row) & 15;
    const Words pack = cut_words(tile[slot_of<T>(t, x, p)], tile[slot_of<T>(t, x, next)], head);
    if (p < t.owned) store_words(row + head + 16 * p, pack);
  }
  if (p < t.owned || at.y != 0) return;
#pragma unroll 1
  for (int k = 0; k < kPack<T>; ++k) {
    const int x = first + (k << t.wide_bits);
    char* const begin = at.dst + x * t.dst_step;
    const uint32_t head = (-behind_pack(begin) & 15) / static_cast<uint32_t>(sizeof(T));
    write_ends<T>(t, tile, x, 0, head, begin);
  }
}

template <class T, bool kAligned>
GPU_DEVICE void write_tile(const Tiles& t, const TilePlace& at, const Words* tile) {
  const int high_bits = kTileBits<T> - t.wide_bits, p = thread_id() & ((1 << high_bits) - 1);
  const int first = thread_id() >> high_bits;
  char* row = at.dst + first * t.dst_step;
  if (kAligned && at.y + static_cast<uint32_t>(p * kPack<T>) >= t.y_size) return;
#pragma unroll(kAligned ? kPack<T> : 1)
  for (int k = 0; k < kPack<T>; ++k) {
    const int x = first + (k << t.wide_bits);
    if (at.x + static_cast<uint32_t>(x) >= t.x_size) return;
    if constexpr (kAligned) {
      store_words(row + 16 * p, tile[slot_of<T>(t, x, p)]);
    } else {
      write_pack<T>(t, at, tile, x, p, row);
    }
    row += t.dst_step << t.wide_bits;
  }
}

template <class T>
GPU_DEVICE void write_anywhere(const Tiles& t, const TilePlace& at, const Words* tile) {
  const uint32_t packs = kTileThreads<T> >> t.wide_bits;
  const bool inside =
      t.x_size - at.x >= uint32_t{kPack<T>} << t.wide_bits && t.y_size - at.y >= kPack<T> * packs;
  if (!inside) {
    write_tile<T, false>(t, at, tile);
  } else if (static_cast<uint32_t>(t.owned) == packs) {  // rows begin where packs do
    write_tile<T, true>(t, at, tile);
  } else {
    write_inside<T>(t, at, tile);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_COPY_WRITE_TILE_H_
