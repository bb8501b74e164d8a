// The tile of columns that a block has, or a cluster of blocks together: then each block has a
// share of the rows. And one value of all threads of a column.
#ifndef POLYOPS_GPU_SOFTMAX_TILE_H_
#define POLYOPS_GPU_SOFTMAX_TILE_H_

#include "division.h"
#include "gpu.h"
#include "max_sum.h"
#include "walk.h"

namespace polyops::gpu {
namespace {

constexpr int kColumnThreads = 1024;

template <int N>
struct Tiles {
  Walk<N> outer;
  int64_t strides[N];  // along dim
  int n;
  uint32_t groups;  // of columns, one to a thread
  Division tiles;   // of groups, one to a block or cluster
  int across_log2;  // groups in a tile
  int down_log2;    // threads one above the other
  int blocks_log2;  // of a cluster
  int parked;       // chunks
  int parts_at;     // bytes of shared memory before merge_columns() has its own
  int share;        // rows of a block: n, or a part of it where there are clusters
};

// Where a thread stands.
template <int N>
struct Place {
  int across, down;  // groups of columns and rows of the block's threads
  int down_log2;
  int group, first;  // this thread's in the tile, and its first row
  int begin, end;    // rows of this block
  uint32_t row;      // of tiles
  uint32_t column;   // this thread's group among those of all tiles
  bool inside;

  GPU_DEVICE explicit Place(const Tiles<N>& p) {
    across = 1 << p.across_log2;
    down_log2 = p.down_log2;
    down = 1 << down_log2;
    group = thread_id() & (across - 1);
    first = thread_id() >> p.across_log2;
    begin = 0;
    end = p.n;
    if (p.blocks_log2 > 0) {
      begin = cluster_rank() * p.share;
      if (begin + p.share < end) end = begin + p.share;
    }
    row = static_cast<uint32_t>(block_id()) >> p.blocks_log2;
    column = take_remainder(p.tiles, &row) * across + group;
    inside = column < p.groups;
  }

  // Where the thread's columns are in each tensor: asked once for the inputs, and for the output
  // when it is time, rather than kept in registers while the inputs fill them.
  GPU_DEVICE void find(const Tiles<N>& p, int wide, int64_t (&at)[N]) const {
    p.outer.offsets(row, at);
#pragma unroll
    for (int t = 0; t < N; ++t) at[t] += int64_t{column} * wide;
  }

  // Of the rows from `from` on, those that some thread has, and those that this one has.
  GPU_DEVICE int live(int from) const { return (end - from + down - 1) >> down_log2; }
  GPU_DEVICE int mine(int from) const { return inside ? live(from + first) : 0; }
};

// ---- Of a wave: lanes that are `across` apart or a multiple of it have the same column.

template <int kWide>
GPU_DEVICE void merge_waves(int across, float (&x)[kWide]) {
  for (int mask = across; mask < wave_size(); mask *= 2) {
#pragma unroll
    for (int j = 0; j < kWide; ++j) x[j] += shuffle_xor(x[j], mask);
  }
}

// All know the largest before they add up: one exp each.
template <int kWide>
GPU_DEVICE void merge_waves(int across, MaxSum (&x)[kWide]) {
  if (across >= wave_size()) return;
  float top[kWide];
#pragma unroll
  for (int j = 0; j < kWide; ++j) top[j] = x[j].max;
  for (int mask = across; mask < wave_size(); mask *= 2) {
#pragma unroll
    for (int j = 0; j < kWide; ++j) top[j] = fmaxf(top[j], shuffle_xor(top[j], mask));
  }
#pragma unroll
  for (int j = 0; j < kWide; ++j) x[j].raise_to(top[j]);
  for (int mask = across; mask < wave_size(); mask *= 2) {
#pragma unroll
    for (int j = 0; j < kWide; ++j) x[j].sum += shuffle_xor(x[j].sum, mask);
  }
}

// ---- Of `count` parts in shared memory, `step` apart.

GPU_DEVICE float merge_parts(const float* x, int step, int count) {
  float all = 0;
#pragma unroll 4
  for (int i = 0; i < count; ++i) all += x[i * step];
  return all;
}
GPU_DEVICE MaxSum merge_parts(const MaxSum* x, int step, int count) {
  MaxSum all;
#pragma unroll 4
  for (int i = 0; i < count; ++i) all.max = fmaxf(all.max, x[i * step].max);
#pragma unroll 4
  for (int i = 0; i < count; ++i) {
    MaxSum part = x[i * step];
    part.raise_to(all.max);
    all.sum += part.sum;
  }
  return all;
}

GPU_DEVICE void mail_part(Mailbox* box, float* place, int rank, float x) {
  mail(box, 0, place, rank, x);
}
GPU_DEVICE void mail_part(Mailbox* box, MaxSum* place, int rank, const MaxSum& x) {
  mail(box, 0, &place->max, rank, x.max);
  mail(box, 0, &place->sum, rank, x.sum);
}

// ---- Of the tile.

// Parts that merge_columns() has in shared memory: a column's of each wave, and of each block where
// there are several. No more than it needs, for the cache has what is left (columns.h).
inline int64_t parts_of(int threads, int columns, int blocks) {
  constexpr int kFewestLanes = 32;
  return int64_t{columns} * (threads / kFewestLanes + (blocks > 1 ? blocks : 0));
}

template <class Part, int N>
GPU_DEVICE Part* parts_behind(void* memory, const Tiles<N>& p) {
  return reinterpret_cast<Part*>(static_cast<char*>(memory) + p.parts_at);
}

// Within waves by shuffles, then wave by wave through `shared`, parts_of() them, then block by
// block. A tile whose block is one thread high has nothing to merge; else a wave holds whole rows
// of it. Of a cluster all threads have opened the box and called cluster_arrive(); its blocks mail
// what they have, for a cluster_barrier() waits until all of the device sees what they wrote.
// `finish` is called for what a column comes to, by one thread of the block where there are many.
template <int kWide, class Part, int N, class Finish>
GPU_DEVICE void merge_columns(const Place<N>& place, int blocks, Part* shared, Mailbox* box,
                              Part (&x)[kWide], Finish finish) {
  const int waves = block_threads() / wave_size();
  if (place.down > 1) merge_waves(place.across, x);
  if (place.down == 1 || waves == 1) {
#pragma unroll
    for (int j = 0; j < kWide; ++j) x[j] = finish(x[j]);
    return;
  }
  const int columns = place.across * kWide;
  if (thread_id() % wave_size() < place.across) {
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      shared[thread_id() / wave_size() * columns + j * place.across + place.group] = x[j];
    }
  }
  barrier();
  if (blocks > 1) {
    Part* const slots = shared + waves * columns;
    cluster_wait();  // all have begun
    for (int c = thread_id(); c < columns; c += block_threads()) {
      const Part part = merge_parts(shared + c, columns, waves);
      for (int rank = 0; rank < blocks; ++rank) {
        mail_part(box, slots + cluster_rank() * columns + c, rank, part);
      }
    }
    constexpr int kValues = sizeof(Part) / sizeof(float);
    await_mail(box, 0, kValues * columns * blocks);
    for (int c = thread_id(); c < columns; c += block_threads()) {
      shared[c] = finish(merge_parts(slots + c, columns, blocks));
    }
  } else {
    for (int c = thread_id(); c < columns; c += block_threads()) {
      shared[c] = finish(merge_parts(shared + c, columns, waves));
    }
  }
  barrier();
#pragma unroll
  for (int j = 0; j < kWide; ++j) x[j] = shared[j * place.across + place.group];
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_SOFTMAX_TILE_H_
