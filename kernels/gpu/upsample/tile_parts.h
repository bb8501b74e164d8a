// What forward_tiles.h and backward_tiles.h share: how work is cut into blocks, a table of rows,
// and where a row's elements are in shared memory.
#ifndef POLYOPS_GPU_UPSAMPLE_TILE_PARTS_H_
#define POLYOPS_GPU_UPSAMPLE_TILE_PARTS_H_

#include "image.h"

namespace polyops::gpu {
namespace {

// How the work is cut: a block has so many rows and columns in so many planes; of dst forward, of
// src backward.
struct Tiles {
  int lanes;  // threads side by side on a row of dst
  int planes;
  int columns;
  int rows;
  int across, chunks;       // blocks along a row, and down a plane
  int stride;               // floats of a row in shared memory
  int teams;                // backward: threads that have the same column
  int shared_log2;          // backward: of teams that share the finished rows of a plane
  int stagers;              // forward: threads side by side on a row of src
  bool packs;               // forward: rows of src begin at aligned packs
  int run_rows, run_pitch;  // forward: rows of dst that wait, or 0; elements of a plane's
};

constexpr int kFewestTileThreads = 128, kMostTilePlanes = 32;

// Rows and planes of a block, given its columns. Fewer where that leaves too few blocks.
inline void cut_rows(int rows, int most, int fewest, int planes, int needed, Tiles* tiles) {
  tiles->planes = tiles->lanes < kFewestTileThreads ? kFewestTileThreads / tiles->lanes : 1;
  if (tiles->planes > kMostTilePlanes) tiles->planes = kMostTilePlanes;
  if (tiles->planes > planes) tiles->planes = planes;
  tiles->chunks = (rows + most - 1) / most;
  const auto blocks = [&] {
    return int64_t{tiles->across} * tiles->chunks * ((planes + tiles->planes - 1) / tiles->planes);
  };
  while (blocks() < needed && rows >= 2 * fewest * tiles->chunks) tiles->chunks *= 2;
  while (blocks() < needed && tiles->planes > 1) tiles->planes /= 2;
  tiles->rows = (rows + tiles->chunks - 1) / tiles->chunks;
  tiles->chunks = (rows + tiles->rows - 1) / tiles->rows;
}
inline int64_t blocks_of(const Tiles& tiles, int planes) {
  return int64_t{tiles.across} * tiles.chunks * ((planes + tiles.planes - 1) / tiles.planes);
}
inline int whole_waves(int threads) { return (threads + 63) / 64 * 64; }

// What this block has. (The backward works out its own: this costs it a register too many.)
struct Tile {
  int column, stop_column, row, stop_row;
  int plane, planes;

  GPU_DEVICE Tile(const Tiles& tiles, int all_columns, int all_rows, int all_planes) {
    const auto id = static_cast<uint32_t>(block_id());
    const uint32_t rest = id / tiles.across, group = rest / tiles.chunks;
    column = static_cast<int>(id - rest * tiles.across) * tiles.columns;
    row = static_cast<int>(rest - group * tiles.chunks) * tiles.rows;
    plane = static_cast<int>(group) * tiles.planes;
    stop_column = least(column + tiles.columns, all_columns);
    stop_row = least(row + tiles.rows, all_rows);
    planes = least(tiles.planes, all_planes - plane);
  }

 private:
  GPU_DEVICE static int least(int a, int b) { return a < b ? a : b; }
};

// Where the element at that place of a row is in shared memory: lanes at a power of two from each
// other find different banks.
GPU_DEVICE int padded(int place) { return place + (place >> 5); }
constexpr int padded_width(int width) { return width + width / 32 + 1; }

// Floats that one row of all planes takes in shared memory, at most, kWide to a thread.
template <int kWide>
constexpr int kSlot = padded_width(kUpsampleThreads * kWide) + 2 * kMostTilePlanes;

// Of some rows of dst: the first row of src that each is made of, and by which weights.
template <class Mode>
struct RowTable {
  static constexpr int kRows = 64;
  float weight[kRows][Mode::kTaps];
  int first[kRows];

  GPU_DEVICE void set(int i, const Axis& axis, int row) {
    float t;
    first[i] = Mode::first(axis, row, &t);
    Mode::weights(t, weight[i]);
  }

  struct Row {
    float weight[Mode::kTaps];
    int first;
  };
  // The one at that place, or the last.
  GPU_DEVICE Row at(int i) const {
    i = i < kRows ? i : kRows - 1;
    Row row;
#pragma unroll
    for (int k = 0; k < Mode::kTaps; ++k) row.weight[k] = weight[i][k];
    row.first = first[i];
    return row;
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_UPSAMPLE_TILE_PARTS_H_
