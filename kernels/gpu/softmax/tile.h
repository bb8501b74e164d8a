// The tile of columns that a block has, or a cluster of blocks together: then each block has a
// share of the rows. And one value of all threads of a column.
#ifndef POLYOPS_GPU_SOFTMAX_TILE_H_
#define POLYOPS_GPU_SOFTMAX_TILE_H_

#include "gpu.h"
#include "max_sum.h"
#include "reduce.h"
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
  uint32_t tiles;   // of groups, one to a block or cluster
  int across_log2;  // groups in a tile
  int down_log2;    // threads one above the other
  int blocks_log2;  // of a cluster
  int parked;       // chunks
  int share;        // rows of a block: n, or a part of it where there are clusters
};

// Where a thread stands.
template <int N>
struct Place {
  int across, down;  // groups of columns and rows of the block's threads
  int across_log2, threads_log2, blocks_log2;
  int group, first;  // this thread's in the tile, and its first row
  int begin, end;    // rows of this block
  uint32_t column;   // this thread's group among those of all tiles
  bool inside;
  int64_t at[N];

  GPU_DEVICE Place(const Tiles<N>& p, int wide) {
    across = 1 << p.across_log2;
    down = 1 << p.down_log2;
    across_log2 = p.across_log2;
    threads_log2 = p.across_log2 + p.down_log2;
    blocks_log2 = p.blocks_log2;
    group = thread_id() & (across - 1);
    first = thread_id() >> p.across_log2;
    auto id = static_cast<uint32_t>(block_id());
    begin = 0;
    end = p.n;
    if (blocks_log2 > 0) {
      id >>= blocks_log2;
      begin = cluster_rank() * p.share;
      if (begin + p.share < end) end = begin + p.share;
    }
    const uint32_t row = id / p.tiles;
    column = (id - row * p.tiles) * across + group;
    inside = column < p.groups;
    p.outer.offsets(row, at);
#pragma unroll
    for (int t = 0; t < N; ++t) at[t] += int64_t{column} * wide;
  }
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

// ---- Tables in shared memory: of each column a part per wave or block. An element is left out
// behind a row of parts, so that a column's lie in different banks.

template <class Part>
struct PartTable {
  Part* parts;
  int columns;

  GPU_DEVICE Part& at(int row, int column) const { return parts[row * (columns + 1) + column]; }
};

GPU_DEVICE float merge_team(float x, int lanes) { return sum_of_lanes(x, lanes); }
GPU_DEVICE MaxSum merge_team(const MaxSum& x, int lanes) { return merge_lanes(x, lanes); }

// The 2^rows_log2 parts of each column, by as many lanes next to each other.
template <class Part>
GPU_DEVICE void merge_table(const PartTable<Part>& table, int rows_log2, Part* merged) {
  const int rows = 1 << rows_log2, row = thread_id() & (rows - 1);
  // All lanes come along for the shuffles.
  for (int begin = 0; begin < table.columns; begin += block_threads() >> rows_log2) {
    const int column = begin + (thread_id() >> rows_log2);
    Part x{};
    if (column < table.columns) x = table.at(row, column);
    x = merge_team(x, rows);
    if (row == 0 && column < table.columns) merged[column] = x;
  }
}

GPU_DEVICE void mail_part(Mailbox* box, float* place, int rank, float x) {
  mail(box, 0, place, rank, x);
}
GPU_DEVICE void mail_part(Mailbox* box, MaxSum* place, int rank, const MaxSum& x) {
  mail(box, 0, &place->max, rank, x.max);
  mail(box, 0, &place->sum, rank, x.sum);
}

// ---- Of the tile.

// What merge_columns() needs of the block's memory: two tables, and what they come to.
inline int64_t merge_bytes(int threads, int columns, int blocks) {
  constexpr int kNarrowestWave = 32;
  const int64_t rows = threads / kNarrowestWave + (blocks > 1 ? blocks : 0);
  const int64_t parts = rows * (columns + 1) + 2 * int64_t{columns};
  return (parts * static_cast<int64_t>(sizeof(MaxSum)) + 15) / 16 * 16;
}

// Within waves by shuffles, then wave by wave through `memory`, then block by block, which mail
// each other what they have. A tile whose block is one thread high has nothing to merge; else a
// wave holds whole rows of it. Of a cluster all threads have called cluster_arrive().
template <int kWide, class Part, int N>
GPU_DEVICE void merge_columns(const Place<N>& place, Part* memory, Mailbox* box, Part (&x)[kWide]) {
  if (place.down == 1) return;
  merge_waves(place.across, x);
  const int waves = block_threads() / wave_size();
  if (waves == 1) return;
  const int columns = place.across * kWide;
  const PartTable<Part> of_waves = {memory, columns};
  Part* merged = &of_waves.at(waves, 0);
  if (thread_id() % wave_size() < place.across) {
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      of_waves.at(thread_id() / wave_size(), j * place.across + place.group) = x[j];
    }
  }
  barrier();
  merge_table(of_waves, place.threads_log2 - (wave_size() == 32 ? 5 : 6), merged);
  barrier();
  if (place.blocks_log2 > 0) {
    const PartTable<Part> of_blocks = {merged + columns, columns};
    const int columns_log2 = place.across_log2 + (kWide == 4 ? 2 : 0);
    static_assert(kWide == 4 || kWide == 1);
    cluster_wait();  // all have begun
    for (int i = thread_id(); i < columns << place.blocks_log2; i += block_threads()) {
      const int column = i & (columns - 1);
      mail_part(box, &of_blocks.at(cluster_rank(), column), i >> columns_log2, merged[column]);
    }
    constexpr int kValues = sizeof(Part) / sizeof(float);
    await_mail(box, 0, kValues * columns << place.blocks_log2);
    merged = &of_blocks.at(1 << place.blocks_log2, 0);
    merge_table(of_blocks, place.blocks_log2, merged);
    barrier();
  }
#pragma unroll
  for (int j = 0; j < kWide; ++j) x[j] = merged[j * place.across + place.group];
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_SOFTMAX_TILE_H_
