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
#include "gpu.h"

namespace polyops::gpu {
namespace {

// An element where packs are.
template <class T>
struct Element {
  T bits;
} __attribute__((may_alias));

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

template <class T>
GPU_DEVICE void read_aligned(const Tiles& t, const TilePlace& at, Words* tile) {
  const Block<T> block(t, at);
  if (block.columns == 0 || block.rows == 0) return;
  Words rows[kPack<T>];
  const char* p = block.src;
#pragma unroll
  for (int j = 0; j < kPack<T>; ++j, p += t.src_step) rows[j] = load_words(p);
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

template <class T, bool kAligned>
GPU_DEVICE void write_tile(const Tiles& t, const TilePlace& at, const Words* tile) {
  const int high_bits = kTileBits<T> - t.wide_bits, p = thread_id() & ((1 << high_bits) - 1);
  const int first = thread_id() >> high_bits;
  char* row = at.dst + first * t.dst_step;
  if (kAligned && at.y + static_cast<uint32_t>(p * kPack<T>) >= t.y_size) return;
#pragma unroll
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

// T: any type of the element's size.
template <class T>
GPU_KERNEL(kTileThreads<T>)
copy_aligned_tiles(const GPU_CONSTANT Tiles t) {
  GPU_SHARED(Words, tile, kTileThreads<T> * kPack<T>);
  const TilePlace at = place_of<T>(t, static_cast<uint32_t>(block_id()));
  read_aligned<T>(t, at, tile);
  barrier();
  write_tile<T, true>(t, at, tile);
}

template <class T>
GPU_KERNEL(kTileThreads<T>, 3)
copy_tiles(const GPU_CONSTANT Tiles t) {
  GPU_SHARED(Words, tile, kTileThreads<T> * kPack<T>);
  const TilePlace at = place_of<T>(t, static_cast<uint32_t>(block_id()));
  read_anywhere<T>(t, at, tile);
  barrier();
  write_tile<T, false>(t, at, tile);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_COPY_TURN_H_
