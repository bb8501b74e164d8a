// Averages of windows that are 8 elements wide and more, of contiguous planes: a team of lanes next to
// each other sums a window, so that it reads rows as they lie. Bound: memory, the image once.
#ifndef POLYOPS_GPU_POOL2D_TEAMS_H_
#define POLYOPS_GPU_POOL2D_TEAMS_H_

#include <cstdint>

#include "average.h"
#include "gpu.h"
#include "layout.h"
#include "reduce.h"

namespace polyops::gpu {
namespace {

constexpr int kTeamRows = 4;  // whose loads are in flight at once
constexpr int kMostLanesLog2 = 5;

template <class T, class AnyAxis>
GPU_KERNEL(kPoolThreads)
pool2d_teams(Average<T> op, Grid grid, int lanes_log2, AnyAxis high, AnyAxis wide) {
  const int lanes = 1 << lanes_log2, lane = thread_id() & (lanes - 1);
  const Place at(grid, high.out, (block_id() * kPoolThreads + thread_id()) >> lanes_log2);
  AveragePool<1> pool;
  if (at.inside) {  // a team without a window comes along for the shuffles
    const int left = wide.first_tap(at.column), right = wide.taps_end(at.column);
    const int top = high.first_tap(at.begin), bottom = high.taps_end(at.begin);
    const T* line = op.src + at.image * op.src_image + int64_t{top} * wide.in;
    for (int h = top; h < bottom; h += kTeamRows, line += kTeamRows * wide.in) {
      for (int w = left + lane; w < right; w += lanes) {
        T x[kTeamRows];
#pragma unroll
        for (int r = 0; r < kTeamRows; ++r) {
          x[r] = narrow<T>(0.0f);
          if (h + r < bottom) x[r] = line[r * wide.in + w];
        }
#pragma unroll
        for (int r = 0; r < kTeamRows; ++r) pool.sum[0] += widen(x[r]);
      }
    }
  }
  pool.sum[0] = sum_of_lanes(pool.sum[0], lanes);
  if (!at.inside || lane != 0) return;
  op.store(pool, at.image * op.dst_image + int64_t{at.begin} * wide.out + at.column, 0,
           op.of_column(at.column, wide), at.begin, high);
}

// width: of the windows, at least.
inline bool has_teams(const Images& images, int64_t width) {
  return images.channels == 1 && width >= 8;
}

template <class T, class AnyAxis>
int launch_teams(const Average<T>& op, const Images& images, int64_t width, const AnyAxis& high,
                 const AnyAxis& wide, const polyops_context* ctx) {
  int lanes_log2 = 3;
  while (lanes_log2 < kMostLanesLog2 && int64_t{2} << lanes_log2 <= width) ++lanes_log2;
  const Grid grid = make_grid(images, 1, wide.out, high.out, 1);
  return gpu::launch(pool2d_teams<T, AnyAxis>, grid.shape(lanes_log2), ctx, op, grid, lanes_log2,
                     high, wide);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_TEAMS_H_
