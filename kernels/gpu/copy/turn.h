// Copies that turn two dimensions over, by tiles: 16 bytes per access on both sides. A thread reads
// a block of as many rows as a pack has elements, turns it over in its registers (of 4 and 8 bytes
// that is free, of 2 it takes 4 byte permutes a pack) and puts it into shared memory as packs of
// the result's rows. Packs stand there so that 8 threads next to each other meet 8 different groups
// of 4 banks, when they write and when they read.
//
// Rows of the source that begin anywhere are put together of two aligned loads. Rows of the result
// that do are cut by where they have their packs: a tile reads one pack of y more than it writes.
#ifndef POLYOPS_GPU_COPY_TURN_H_
#define POLYOPS_GPU_COPY_TURN_H_

#include <cstdint>

#include "cat/copy.h"
#include "copy/tiles.h"
#include "copy/write_tile.h"
#include "gpu.h"

namespace polyops::gpu {
namespace {

// Row i of the result: element i of each row.
template <class T>
GPU_DEVICE Words column_of(const Words (&rows)[kPack<T>], int i) {
  Words column;
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    if constexpr (sizeof(T) == 8) {
      column.w[k] = rows[k / 2].w[2 * i + k % 2];
    } else if constexpr (sizeof(T) == 4) {
      column.w[k] = rows[k].w[i];
    } else if constexpr (sizeof(T) == 2) {
      const uint32_t halves = i % 2 == 0 ? 0x5410 : 0x7632;
      column.w[k] = permute_bytes(rows[2 * k].w[i / 2], rows[2 * k + 1].w[i / 2], halves);
    } else {
      const uint32_t pairs = i % 4 < 2 ? 0x5140 : 0x7362, halves = i % 2 == 0 ? 0x5410 : 0x7632;
      const int j = 4 * k, w = i / 4;
      column.w[k] = permute_bytes(permute_bytes(rows[j].w[w], rows[j + 1].w[w], pairs),
                                  permute_bytes(rows[j + 2].w[w], rows[j + 3].w[w], pairs), halves);
    }
  }
  return column;
}

template <class T>
GPU_DEVICE void put_block(const Tiles& t, const Words (&rows)[kPack<T>], int x, int pack,
                          Words* tile) {
#pragma unroll
  for (int i = 0; i < kPack<T>; ++i) tile[slot_of<T>(t, x + i, pack)] = column_of<T>(rows, i);
}

// A thread's block: which it is, and where it begins.
template <class T>
struct Block {
  int x, pack;             // in the tile
  uint32_t columns, rows;  // that there are from its first one on, up to 2^31; or none
  const char* src;

  GPU_DEVICE Block(const Tiles& t, const TilePlace& at)
      : x((thread_id() & ((1 << t.wide_bits) - 1)) * kPack<T>),
        pack(thread_id() >> t.wide_bits),
        columns(left(t.x_size, at.x + static_cast<uint32_t>(x))),
        rows(left(t.y_size, at.y + static_cast<uint32_t>(pack * kPack<T>))),
        src(at.src + pack * kPack<T> * t.src_step + x * int64_t{sizeof(T)}) {}

  GPU_DEVICE static uint32_t left(uint32_t size, uint32_t from) {
    return from < size ? size - from : 0;
  }
};

// kWhole: blocks have all of their rows. Those that are not there are the last one again.
template <class T, bool kWhole>
GPU_DEVICE void read_aligned(const Tiles& t, const TilePlace& at, Words* tile) {
  const Block<T> block(t, at);
  if (block.columns == 0 || block.rows == 0) return;
  Words rows[kPack<T>];
#pragma unroll
  for (uint32_t j = 0; j < kPack<T>; ++j) {
    const uint32_t row = kWhole || j < block.rows ? j : block.rows - 1;
    rows[j] = load_words(block.src + row * t.src_step);
  }
  put_block<T>(t, rows, block.x, block.pack, tile);
}

// At the source's ends, where packs would reach out of it.
template <class T>
GPU_DEVICE void read_elements(const Tiles& t, const Block<T>& block, Words* tile) {
#pragma unroll 1
  for (uint32_t j = 0; j < kPack<T> && j < block.rows; ++j) {
    const T* const row = reinterpret_cast<const T*>(block.src + j * t.src_step);
#pragma unroll 1
    for (uint32_t i = 0; i < kPack<T> && i < block.columns; ++i) {
      const int slot = slot_of<T>(t, block.x + static_cast<int>(i), block.pack);
      reinterpret_cast<Element<T>*>(&tile[slot])[j].bits = row[i];
    }
  }
}

template <class T>
GPU_DEVICE void read_anywhere(const Tiles& t, const TilePlace& at, Words* tile) {
  const Block<T> block(t, at);
  if (block.columns == 0 || block.rows == 0) return;
  const uint32_t last = (block.rows < kPack<T> ? block.rows : uint32_t{kPack<T>}) - 1;
  const char* const last_row = block.src + last * t.src_step;
  if (block.src - behind_pack(block.src) < t.src ||
      last_row - behind_pack(last_row) + 32 > t.src_end) {
    read_elements(t, block, tile);
    return;
  }
  // Rows that are not there are the last one again. No load may depend on the one before: neither
  // by what is behind, which begins as zeros, nor by a place that may be the same.
  Words rows[kPack<T>], behind[kPack<T>] = {};
  uint32_t skew[kPack<T>];
#pragma unroll
  for (uint32_t j = 0; j < kPack<T>; ++j) {
    const char* const p = block.src + (j < last ? j : last) * t.src_step;
    skew[j] = behind_pack(p);
    rows[j] = load_words(p - skew[j]);
    if (skew[j] != 0) behind[j] = load_words(p - skew[j] + 16);
  }
#pragma unroll
  for (uint32_t j = 0; j < kPack<T>; ++j) rows[j] = cut_words(rows[j], behind[j], skew[j]);
  put_block<T>(t, rows, block.x, block.pack, tile);
}

// T: any type of the element's size.
template <class T>
GPU_KERNEL(kTileThreads<T>)
copy_aligned_tiles(const GPU_CONSTANT Tiles t) {
  await_earlier();
  GPU_SHARED(Words, tile, kTileThreads<T> * kPack<T>);
  const TilePlace at = place_of<T>(t, static_cast<uint32_t>(block_id()));
  read_aligned<T, true>(t, at, tile);
  barrier();
  write_tile<T, true>(t, at, tile);
}

// kOfPacks: as the Tiles have it.
template <class T, bool kOfPacks>
GPU_KERNEL(kTileThreads<T>, kOfPacks ? 4 : 3)
copy_tiles(const GPU_CONSTANT Tiles t) {
  await_earlier();
  GPU_SHARED(Words, tile, kTileThreads<T> * kPack<T>);
  const TilePlace at = place_of<T>(t, static_cast<uint32_t>(block_id()));
  if constexpr (kOfPacks) {
    read_aligned<T, false>(t, at, tile);
  } else {
    read_anywhere<T>(t, at, tile);
  }
  barrier();
  write_anywhere<T>(t, at, tile);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_COPY_TURN_H_
