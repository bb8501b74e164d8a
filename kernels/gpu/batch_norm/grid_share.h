// How the blocks of a grid (grid.h) and their threads share rows of channels next to each other.
#ifndef POLYOPS_GPU_BATCH_NORM_GRID_SHARE_H_
#define POLYOPS_GPU_BATCH_NORM_GRID_SHARE_H_

#include "channel_norm/columns_kernels.h"

namespace polyops::gpu {
namespace {

constexpr int kGridThreads = 512;
constexpr int kGridAcross = 8;  // packs: 128 bytes of a row
constexpr int kGridRows = 8;    // in flight of a thread, of all tensors
constexpr int kGridStages = 4;  // in which the rows in shared memory arrive
constexpr int kGridBatch = 4;   // of those at a time

struct GridColumns {
  Columns of;
  int32_t held, stage;  // rows of a thread that there is room for; of a stage, whole batches
  int32_t turns;        // tiles that a team takes, if two do; of one turn all tiles have blocks

  // A block's tile in its first turn, and its place among those that share it.
  GPU_DEVICE int32_t tile() const {
    const auto block = static_cast<int32_t>(block_id());
    return turns == 1 ? block % of.tiles : block / of.chunks;
  }
  GPU_DEVICE int32_t chunk() const {
    const auto block = static_cast<int32_t>(block_id());
    return turns == 1 ? block / of.tiles : block % of.chunks;
  }
};
constexpr int kGridTeams = 2;

// What a thread takes.
template <class T>
struct GridShare {
  ColumnShare<kPack<T>> rest;  // what there is no room for
  int64_t first, stride;       // elements to the first row, from that to the next one
  int32_t held;
  Words* place;  // of the first row

  GPU_DEVICE GridShare(const GridColumns& grid, int32_t tile, Words* memory)
      : rest(grid.of, int64_t{grid.chunk()} * grid.of.tiles + tile),
        first(int64_t{rest.row} * grid.of.channels + rest.column),
        stride(int64_t{rest.step} * grid.of.channels),
        place(memory + thread_id()) {
    const int32_t left = rest.end - rest.row;
    const int32_t rows = left > 0 ? (left + rest.step - 1) / rest.step : 0;
    held = rows < grid.held ? rows : grid.held;
    rest.row += held * rest.step;
  }
  GPU_DEVICE bool ours() const { return rest.ours; }
  // Of row k of the i-th tensor.
  GPU_DEVICE Words* at(const GridColumns& grid, int i, int32_t k) const {
    return place + (i * grid.held + k) * block_threads();
  }
  GPU_DEVICE int32_t end_of(const GridColumns& grid, int stage) const {
    const int32_t end = (stage + 1) * grid.stage;
    return end < held ? end : held;
  }
  template <int kInputs>
  GPU_DEVICE void copy(const GridColumns& grid, const T* const (&in)[kInputs], int32_t k) const {
#pragma unroll
    for (int i = 0; i < kInputs; ++i) copy_16_later(at(grid, i, k), in[i] + first + k * stride);
  }
  template <int kInputs>
  GPU_DEVICE void begin(const GridColumns& grid, const T* const (&in)[kInputs]) const {
    int32_t k = 0;
    for (int stage = 0; stage < kGridStages; ++stage) {
      for (; k < end_of(grid, stage); ++k) copy(grid, in, k);
      close_copies();
    }
  }
  template <int kInputs, int kRows>
  GPU_DEVICE void load(const GridColumns& grid, int32_t k,
                       Held<T, kPack<T>> (&x)[kInputs][kRows]) const {
#pragma unroll
    for (int i = 0; i < kInputs; ++i) {
#pragma unroll
      for (int j = 0; j < kRows; ++j) x[i][j].words = *at(grid, i, k + j);
    }
  }
  // Calls f(k, x[kInputs][rows]) for batches of the rows from k on.
  template <int kInputs, class F>
  GPU_DEVICE void for_each_held(const GridColumns& grid, int32_t k, int32_t end, F f) const {
    for (; k + kGridBatch <= end; k += kGridBatch) {
      Held<T, kPack<T>> x[kInputs][kGridBatch];
      load(grid, k, x);
      f(k, x);
    }
#pragma unroll 1
    for (; k < end; ++k) {
      Held<T, kPack<T>> x[kInputs][1];
      load(grid, k, x);
      f(k, x);
    }
  }
  // The same of all, as they arrive.
  template <int kInputs, int kStage = 0, class F>
  GPU_DEVICE void for_each_arriving(const GridColumns& grid, F f) const {
    if constexpr (kStage < kGridStages) {
      wait_copies<kGridStages - 1 - kStage>();
      for_each_held<kInputs>(grid, kStage * grid.stage, end_of(grid, kStage), f);
      for_each_arriving<kInputs, kStage + 1>(grid, f);
    }
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_BATCH_NORM_GRID_SHARE_H_
