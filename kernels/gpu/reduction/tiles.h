// How columns are cut into tiles, and their rows into chunks: teams of lanes, `across` packs of
// columns by `down` rows, each of which folds a tile of a chunk.
#ifndef POLYOPS_GPU_REDUCTION_TILES_H_
#define POLYOPS_GPU_REDUCTION_TILES_H_

#include "division.h"
#include "gpu.h"
#include "layout.h"

namespace polyops::gpu {
namespace {

constexpr int kFoldThreads = 256, kFoldThreadsLog2 = 8;
template <int kWide>
constexpr int kFoldRows = kWide == 1 ? 8 : 4;
// Blocks that an H200's 132 multiprocessors have registers for at the same time.
constexpr int64_t kFoldBlocks = int64_t{132} * 4;
// Where a lane has a column to itself from so many on, none meet.
constexpr int64_t kManyLanes = int64_t{1} << 18;
constexpr int kAloneRows = 32;

struct ColumnTiles {
  Walk<2> outer;  // dst, src
  int64_t stride, run_stride, dst_step;
  int32_t rows, width;  // rows of a run, columns
  int32_t part;         // rows of each chunk of a run but the last
  uint32_t tiles, parts, chunks, tasks;
  Division by_tiles, by_chunks, by_parts;
  int32_t across_log2, down_log2;
};

// Threads side by side: a power of two of which few have no columns.
inline int across_log2(int64_t packs) {
  int across = 5;
  while (across > 1 && divide_up(packs, 1 << across) * 9 << across > packs * 10) --across;
  return across;
}

// And one below the other, for so many rows.
inline int down_log2(int64_t rows, int across, int wide) {
  const int in_flight = wide == 1 ? kFoldRows<1> : kFoldRows<4>;
  int down = 0;
  while (across + down < kFoldThreadsLog2 && int64_t{in_flight} << down < rows) ++down;
  return down;
}

inline ColumnTiles make_tiles(const ReductionLayout& of, int wide, int across, int down,
                              int64_t part) {
  const int64_t tiles = divide_up(of.width / wide, 1 << across), parts = divide_up(of.n, part);
  const int64_t chunks = parts * of.count;
  return {of.kept,
          of.stride,
          of.run_stride,
          of.dst_step,
          static_cast<int32_t>(of.n),
          static_cast<int32_t>(of.width),
          static_cast<int32_t>(part),
          static_cast<uint32_t>(tiles),
          static_cast<uint32_t>(parts),
          static_cast<uint32_t>(chunks),
          static_cast<uint32_t>(of.kept.numel() * chunks * tiles),
          Division(static_cast<uint32_t>(tiles)),
          Division(static_cast<uint32_t>(chunks)),
          Division(static_cast<uint32_t>(parts)),
          across,
          down};
}

// Of chunks of that many rows.
inline ColumnTiles column_tiles_of(const ReductionLayout& of, int wide, int64_t part) {
  const int across = across_log2(of.width / wide);
  return make_tiles(of, wide, across, down_log2(part, across, wide), part);
}

inline ColumnTiles column_tiles(const ReductionLayout& of, int wide) {
  const int64_t packs = of.width / wide, outer = of.kept.numel();
  const bool alone = of.n <= kAloneRows && outer * packs >= kManyLanes;
  const int across = across_log2(packs), down = alone ? 0 : down_log2(of.n, across, wide);
  const int64_t blocks =
      outer * divide_up(packs, 1 << across) >> (kFoldThreadsLog2 - across - down);
  const int64_t batch = int64_t{wide == 1 ? kFoldRows<1> : kFoldRows<4>} << down;
  if (blocks >= kFoldBlocks || of.n <= 4 * batch) {
    return make_tiles(of, wide, across, down, of.n);
  }
  int64_t parts = kFoldBlocks / (of.count * (blocks > 0 ? blocks : 1));
  if (parts > of.n / (2 * batch)) parts = of.n / (2 * batch);
  if (parts < 1) parts = 1;
  return make_tiles(of, wide, across, down, divide_up(divide_up(of.n, parts), batch) * batch);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_REDUCTION_TILES_H_
