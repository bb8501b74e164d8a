// Softmax and its gradient along a dimension beside one of unit stride. A block takes a tile of
// columns, four (or, where rows are not aligned to that, one) to a thread, with as many threads
// along dim as it needs to hold the tile in registers, 128 bytes per thread. A longer one a cluster
// holds, each block its share of the rows, so that tiles need not get narrow. What is longer still,
// or where there are no clusters, a block parks in shared memory, or reads again, last first; what
// is a little longer than a thread holds it parks, too, rather than merge. A tile's lines are half
// used at least, and all of them under way at once: they wait for places in the cache, which is to
// have what shared memory does not need (64x4096x256 bf16 on an H200: 75 us, with all of it shared
// 104).
#ifndef POLYOPS_GPU_SOFTMAX_COLUMNS_H_
#define POLYOPS_GPU_SOFTMAX_COLUMNS_H_

#include "layout.h"
#include "park.h"
#include "piece.h"
#include "reduce.h"
#include "tile.h"

namespace polyops::gpu {
namespace {

// A thread's rows are looked at in fours: some thread has one of them, or nobody.
constexpr int kFours = 4;

// Of a thread's rows from p on, `step` apart, those it has, `mine`; others hold `fill`, but no
// thread has more than `live`.
template <class T, int kWide, int kRows>
GPU_DEVICE void load_rows(const T* p, int64_t step, int mine, int live, float fill,
                          Piece<T, kWide> (&x)[kRows]) {
  if (mine >= kRows) {  // nothing to ask of each, nothing to fill
#pragma unroll
    for (int k = 0; k < kRows; ++k) x[k].load(p + k * step);
    return;
  }
#pragma unroll
  for (int k = 0; k < kRows; ++k) {
    if (k % kFours == 0 && k >= live) break;
    x[k].fill(fill);
    if (k < mine) x[k].load(p);
    p += step;
  }
}
template <class T, int kWide, int kRows, int N>
GPU_DEVICE void load_rows(const T* column, int64_t stride, const Place<N>& place, int begin,
                          float fill, Piece<T, kWide> (&x)[kRows]) {
  load_rows(column + (begin + place.first) * stride, stride << place.down_log2, place.mine(begin),
            place.live(begin), fill, x);
}

// What a call asks for: a thread holds `rows` rows, `wide` columns of them, `bytes` of each in all
// tensors together. Tiles are 32 bytes across, a sector of memory, to 128; of single elements 32.
struct ColumnNeeds {
  int wide, rows, bytes;
  int part_bytes;                   // of what a column comes to
  int narrowest_log2, widest_log2;  // groups
};

struct TileThreads {
  int across_log2, down_log2;
  int blocks = 1;  // of the cluster
};

// What one block holds, or parks. Tiles are narrow where only such a one can be held. What 512
// threads hold and park decides, 128 KB: there are two such blocks on a multiprocessor. Beyond it
// 1024. `many`: there are columns enough that twice what it holds is a single thread's.
inline TileThreads block_tile(const ColumnNeeds& needs, int64_t groups, int n, bool many) {
  const int narrowest_log2 = needs.narrowest_log2, widest_log2 = needs.widest_log2;
  int down_log2 = 0;  // threads one above the other; as many as hold the tile without parking, ...
  const bool alone = many && n <= 2 * needs.rows;
  while (!alone && down_log2 < 9 - widest_log2 && (int64_t{needs.rows} << down_log2) < n) {
    ++down_log2;
  }
  // ... across in blocks of 128 if there is nothing to merge, of 256, or of 512.
  int across_log2 = down_log2 == 0 ? 7 : down_log2 < 3 ? 5 : 8 - down_log2;
  if (across_log2 < widest_log2) across_log2 = widest_log2;
  const int64_t held = int64_t{128 << 10} / needs.bytes;  // rows of a tile one group across
  while (across_log2 > narrowest_log2 && (held >> across_log2) < n) --across_log2, ++down_log2;
  while (across_log2 > 0 && (int64_t{1} << (across_log2 - 1)) >= groups) {
    --across_log2;
    if ((int64_t{needs.rows} << down_log2) < n) ++down_log2;
  }
  if ((held >> across_log2) < n) down_log2 = 10 - across_log2;
  if (across_log2 + down_log2 < 6) down_log2 = 6 - across_log2;  // whole waves
  if (down_log2 > 0 && across_log2 > 5) across_log2 = 5;
  return {across_log2, down_log2};
}

// The fewest blocks of a cluster that hold the columns in registers, of 256 threads rather than of
// 512, in tiles down to 64 bytes across: of four blocks on a multiprocessor some load while others
// store. Of 512 in tiles of 32 bytes rather than not at all.
inline TileThreads cluster_tile(const ColumnNeeds& needs, int64_t groups, int n, int most) {
  int widest = needs.widest_log2;
  while (widest > 0 && (int64_t{1} << (widest - 1)) >= groups) --widest;
  for (int threads = 8; threads <= 9; ++threads) {
    const int narrowest = needs.narrowest_log2 + (threads == 8 ? 1 : 0);
    for (int across = widest; across == widest || across >= narrowest; --across) {
      const int64_t chunk = int64_t{needs.rows} << (threads - across);
      int blocks = 1;
      while (blocks < most && blocks * chunk < n) blocks *= 2;
      if (blocks * chunk >= n) return {across, threads - across, blocks};
    }
  }
  return {};
}

// Completes p, of which n and strides are known.
template <int N>
LaunchShape choose_tile(const Columns<N>& columns, const polyops_context* ctx,
                        const ColumnNeeds& needs, Tiles<N>* p) {
  const int64_t groups = columns.width / needs.wide;
  constexpr int64_t kMany = 1024;  // of a multiprocessor
  const bool many = columns.outer.numel() * groups >= kMany * multiprocessors(ctx);
  TileThreads tile = block_tile(needs, groups, p->n, many);
  if (tile.down_log2 > 0 && (int64_t{needs.rows} << tile.down_log2) < p->n &&
      most_cluster(ctx) > 1) {
    const TileThreads held = cluster_tile(needs, groups, p->n, most_cluster(ctx));
    if (held.blocks > 1) tile = held;
  }
  p->outer = columns.outer;
  p->groups = static_cast<uint32_t>(groups);
  p->across_log2 = tile.across_log2;
  p->down_log2 = tile.down_log2;
  p->blocks_log2 = 0;
  while (1 << p->blocks_log2 < tile.blocks) ++p->blocks_log2;
  p->tiles =
      Division(static_cast<uint32_t>((groups + (1 << tile.across_log2) - 1) >> tile.across_log2));
  p->share = (p->n + tile.blocks - 1) / tile.blocks;
  const int threads = 1 << (tile.across_log2 + tile.down_log2);
  const int64_t chunk = int64_t{needs.rows} << tile.down_log2;
  const int columns_of_tile = needs.wide << tile.across_log2;
  const int64_t parts =
      tile.down_log2 == 0 ? 0 : parts_of(threads, columns_of_tile, tile.blocks) * needs.part_bytes;
  const Parking parked =
      parking(ctx, threads, (p->share + chunk - 1) / chunk,
              int64_t{threads} * needs.rows * needs.bytes, parts + sizeof(Mailbox));
  p->parked = parked.chunks;
  p->parts_at = static_cast<int>(parked.bytes);
  const int64_t blocks = columns.outer.numel() * p->tiles.divisor * tile.blocks;
  return {blocks, threads, parked.bytes + static_cast<size_t>(parts), tile.blocks};
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_SOFTMAX_COLUMNS_H_
