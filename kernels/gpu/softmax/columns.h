// Softmax and its gradient along a dimension beside one of unit stride. A block takes a tile of
// columns, 16 bytes (or, where rows are not aligned to that, one element) to a thread, with as many
// threads along dim as it needs to hold the tile: 8 packs per thread. What is longer than a block
// holds is read again, last first, from L2.
#ifndef POLYOPS_GPU_SOFTMAX_COLUMNS_H_
#define POLYOPS_GPU_SOFTMAX_COLUMNS_H_

#include "layout.h"
#include "max_sum.h"
#include "park.h"
#include "piece.h"
#include "reduce.h"

namespace polyops::gpu {
namespace {

constexpr int kColumnThreads = 1024;

template <int N>
struct Tiles {
  Walk<N> outer;
  int64_t strides[N];  // along dim
  int n;
  uint32_t groups;  // of columns, one to a thread
  uint32_t tiles;   // of groups, one to a block
  int across_log2;  // groups in a tile
  int parked;       // chunks
};

// Where a thread stands.
template <int N>
struct Place {
  int across, down;  // groups of columns and rows of the block's threads
  int group, first;  // this thread's in the tile, and its first row
  bool inside;
  int64_t at[N];

  GPU_DEVICE Place(const Tiles<N>& p, int wide) {
    across = 1 << p.across_log2;
    down = block_threads() >> p.across_log2;
    group = thread_id() & (across - 1);
    first = thread_id() >> p.across_log2;
    const auto id = static_cast<uint32_t>(block_id());
    const uint32_t row = id / p.tiles;
    const uint32_t column = (id - row * p.tiles) * across + group;
    inside = column < p.groups;
    p.outer.offsets(row, at);
#pragma unroll
    for (int t = 0; t < N; ++t) at[t] += int64_t{column} * wide;
  }
};

template <class T, int kWide, int kRows, int N>
GPU_DEVICE void load_rows(const T* column, int64_t stride, const Place<N>& place, int begin, int n,
                          float fill, Piece<T, kWide> (&x)[kRows]) {
#pragma unroll
  for (int k = 0; k < kRows; ++k) {
    const int row = begin + place.first + k * place.down;
    x[k].fill(fill);
    if (place.inside && row < n) x[k].load(column + row * stride);
  }
}

// ---- One value of all threads of a column.

GPU_DEVICE float shuffle_part(float x, int mask) { return shuffle_xor(x, mask); }
GPU_DEVICE float merge(float a, float b) { return a + b; }
GPU_DEVICE MaxSum shuffle_part(const MaxSum& x, int mask) {
  MaxSum other;
  other.max = shuffle_xor(x.max, mask);
  other.sum = shuffle_xor(x.sum, mask);
  return other;
}

// Waves times columns of a tile: choose_tile() gives 32 groups of 8 columns to at most 8 waves.
constexpr int kMostParts = 32 * 8 * 8;

// Within waves by shuffles, then wave by wave through `shared`, kMostParts of them. A tile whose
// block is one thread high has nothing to merge; else a wave holds whole rows of it.
template <int kWide, class Part, int N>
GPU_DEVICE void merge_columns(const Place<N>& place, Part* shared, Part (&x)[kWide]) {
  if (place.down == 1) return;
#pragma unroll
  for (int j = 0; j < kWide; ++j) {
    for (int mask = place.across; mask < wave_size(); mask *= 2) {
      x[j] = merge(x[j], shuffle_part(x[j], mask));
    }
  }
  const int waves = block_threads() / wave_size();
  if (waves == 1) return;
  const int columns = place.across * kWide;
  if (thread_id() % wave_size() < place.across) {
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      shared[thread_id() / wave_size() * columns + j * place.across + place.group] = x[j];
    }
  }
  barrier();
  for (int c = thread_id(); c < columns; c += block_threads()) {
    Part all = shared[c];
    for (int w = 1; w < waves; ++w) all = merge(all, shared[w * columns + c]);
    shared[c] = all;
  }
  barrier();
#pragma unroll
  for (int j = 0; j < kWide; ++j) x[j] = shared[j * place.across + place.group];
}

// ---- How a call is cut into tiles.

// Completes p, of which n and strides are known. A thread holds `rows` rows, `bytes` of each in all
// tensors together. Tiles of packs are 128 bytes across, less where only a narrower one can be held,
// down to a sector of memory, 32 bytes. What 512 threads hold and park decides, 128 KB: there are two
// such blocks on a multiprocessor. Beyond it 1024.
template <int N>
LaunchShape choose_tile(const Columns<N>& columns, const polyops_context* ctx, int wide, int rows,
                        int bytes, Tiles<N>* p) {
  const int64_t groups = columns.width / wide;
  const int narrowest_log2 = wide == 1 ? 5 : 1;  // of single elements 32
  int down_log2 = 0;  // threads one above the other; as many as hold the tile without parking, ...
  while (down_log2 < 6 && (int64_t{rows} << down_log2) < p->n) ++down_log2;
  // ... across in blocks of 128 if there is nothing to merge, of 256, or of 512.
  int across_log2 = down_log2 == 0 ? 7 : down_log2 < 3 ? 5 : down_log2 < 6 ? 8 - down_log2 : 3;
  if (across_log2 < narrowest_log2) across_log2 = narrowest_log2;
  if (across_log2 + down_log2 > 9) down_log2 = 9 - across_log2;
  const int64_t held = int64_t{128 << 10} / bytes;  // rows of a tile one group across
  while (across_log2 > narrowest_log2 && (held >> across_log2) < p->n) --across_log2, ++down_log2;
  while (across_log2 > 0 && (int64_t{1} << (across_log2 - 1)) >= groups) {
    --across_log2;
    if ((int64_t{rows} << down_log2) < p->n) ++down_log2;
  }
  if ((held >> across_log2) < p->n) down_log2 = 10 - across_log2;
  if (across_log2 + down_log2 < 6) down_log2 = 6 - across_log2;  // whole waves
  if (down_log2 > 0 && across_log2 > 5) across_log2 = 5;
  p->outer = columns.outer;
  p->groups = static_cast<uint32_t>(groups);
  p->across_log2 = across_log2;
  p->tiles = static_cast<uint32_t>((groups + (1 << across_log2) - 1) >> across_log2);
  const int threads = 1 << (across_log2 + down_log2);
  const int64_t chunk = int64_t{rows} << down_log2;
  const Parking parked = parking(ctx, threads, (p->n + chunk - 1) / chunk,
                                 int64_t{threads} * rows * bytes, kMostParts * sizeof(MaxSum));
  p->parked = parked.chunks;
  return {columns.outer.numel() * p->tiles, threads, parked.bytes};
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_SOFTMAX_COLUMNS_H_
