// Averages of windows that are 8 elements wide and more, of contiguous planes: a team of lanes next
// to each other sums a window, so that it reads rows as they lie. Bound: memory, the image once.
#ifndef POLYOPS_GPU_POOL2D_TEAMS_H_
#define POLYOPS_GPU_POOL2D_TEAMS_H_

#include <cstdint>

#include "average.h"
#include "axis.h"
#include "gpu.h"
#include "layout.h"
#include "reduce.h"
#include "tap.h"

namespace polyops::gpu {
namespace {

constexpr int kTeamRows = 8;  // whose loads are in flight at once
constexpr int kMostLanesLog2 = 5;

// Adds up elements [left, right) of some rows, each `pitch` behind the one before: of every step-th
// piece of kWide, kRows of them at once.
template <int kWide, int kRows, class T>
GPU_DEVICE void sum_rows(const T* line, int rows, int pitch, int left, int right, int step,
                         float* sum) {
  for (int h = 0; h < rows; h += kRows, line += kRows * pitch) {
    for (int w = left; w < right; w += step) {
      Tap<T, kWide> taps[kRows];
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        taps[r].fill(0);
        if (h + r < rows) taps[r].load(line + r * pitch + w);
      }
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        float x[kWide];
        taps[r].get(x);
#pragma unroll
        for (int j = 0; j < kWide; ++j) *sum += x[j];
      }
    }
  }
}

// kWide: elements of a lane's load, which every window begins at a multiple of and is one long.
template <class T, int kWide>
GPU_KERNEL(kPoolThreads)
pool2d_teams(Average<T> op, Grid grid, int lanes_log2, Axis high, Axis wide) {
  await_earlier();
  const int lanes = 1 << lanes_log2, lane = thread_id() & (lanes - 1);
  const Place at(grid, high.out, (block_id() * kPoolThreads + thread_id()) >> lanes_log2);
  AveragePool<1> pool;
  if (at.inside) {  // a team without a window comes along for the shuffles
    const int left = wide.first_tap(at.column), right = wide.taps_end(at.column);
    const int top = high.first_tap(at.begin), bottom = high.taps_end(at.begin);
    const T* line = op.src + at.image * op.src_image + int64_t{top} * wide.in;
    sum_rows<kWide, kTeamRows>(line, bottom - top, wide.in, left + lane * kWide, right,
                               lanes * kWide, &pool.sum[0]);
  }
  pool.sum[0] = sum_of_lanes(pool.sum[0], lanes);
  if (!at.inside || lane != 0) return;
  op.store(pool, at.image * op.dst_image + int64_t{at.begin} * wide.out + at.column, 0,
           op.of_column(at.column, wide), at.begin, high);
}

// width: of the windows.
inline bool has_teams(const Images& images, int64_t width) {
  return images.channels == 1 && width >= 8;
}

// Whether packs of so many begin where windows do.
inline bool goes_by_packs(const Axis& wide, int pack) {
  return wide.size % pack == 0 && wide.padding % pack == 0 && wide.in % pack == 0 &&
         static_cast<int>(wide.stride.divisor) % pack == 0;
}
template <class T>
bool goes_by_packs(const Average<T>& op, const Axis& wide) {
  return reinterpret_cast<uintptr_t>(op.src) % 16 == 0 && goes_by_packs(wide, kPack<T>);
}

// Of lanes, for so many loads of a row.
inline int team_of(int64_t loads) {
  int lanes_log2 = 0;
  while (lanes_log2 < kMostLanesLog2 && int64_t{2} << lanes_log2 <= loads) ++lanes_log2;
  return lanes_log2;
}

template <class T>
int launch_teams(const Average<T>& op, const Images& images, const Axis& high, const Axis& wide,
                 const polyops_context* ctx) {
  const bool packs = goes_by_packs(op, wide);
  const int lanes_log2 = team_of(packs ? wide.size / kPack<T> : wide.size);
  const Grid grid = make_grid(images, 1, wide.out, high.out, 1);
  return gpu::launch(packs ? pool2d_teams<T, kPack<T>> : pool2d_teams<T, 1>, grid.shape(lanes_log2),
                     ctx, op, grid, lanes_log2, high, wide);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_TEAMS_H_
