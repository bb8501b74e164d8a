// Averages of any windows of contiguous volumes: a team of lanes next to each other sums one, row
// by row as they lie; of narrow windows a lane alone. Bound: memory, the image once.
#ifndef POLYOPS_GPU_POOL3D_WINDOWS_H_
#define POLYOPS_GPU_POOL3D_WINDOWS_H_

#include <cstdint>

#include "layout.h"
#include "pool2d/average.h"
#include "pool2d/axis.h"
#include "pool2d/teams.h"
#include "reduce.h"

namespace polyops::gpu {
namespace {

constexpr int kWindowsRows = 4;  // whose loads are in flight at once

// kWide: elements of a lane's load, which every window begins at a multiple of and is one long.
template <class T, int kWide, class AnyAxis>
GPU_KERNEL(kPoolThreads, 4)
pool3d_windows(Average<T> op, Grid grid, Division planes, int lanes_log2, AnyAxis deep,
               AnyAxis high, AnyAxis wide) {
  await_earlier();
  const int lanes = 1 << lanes_log2, lane = thread_id() & (lanes - 1);
  const PlaceInVolume at(grid, planes, high.out,
                         (block_id() * kPoolThreads + thread_id()) >> lanes_log2);
  AveragePool<1> pool;
  if (at.inside) {  // a team without a window comes along for the shuffles
    const int left = wide.first_inside(at.column), right = wide.taps_end(at.column);
    const int top = high.first_inside(at.begin), rows = high.taps_end(at.begin) - top;
    const PlanesOf<AnyAxis> of_window(deep, at.plane);
    const T* line = op.src + at.image * op.src_image + (of_window.first * high.in + top) * wide.in;
    const int pitch = of_window.step * high.in * wide.in;
    for (int z = 0; z < of_window.count; ++z, line += pitch) {
      sum_rows<kWide, kWindowsRows>(line, rows, wide.in, left + lane * kWide, right, lanes * kWide,
                                    &pool.sum[0]);
    }
  }
  pool.sum[0] = sum_of_lanes(pool.sum[0], lanes);
  if (!at.inside || lane != 0) return;
  const int64_t result = (at.plane * high.out + at.begin) * wide.out + at.column;
  op.store(pool, at.image * op.dst_image + result, 0,
           op.of_column(at.column, wide) * deep.weight(at.plane), at.begin, high);
}

// Whether packs of so many begin where windows do.
inline bool windows_of_packs(const Axis& wide, int pack) { return goes_by_packs(wide, pack); }
inline bool windows_of_packs(const AdaptiveAxis& wide, int pack) {
  return wide.in % wide.out == 0 && wide.in / wide.out % pack == 0;
}

// width: of the windows, at least.
template <class T, class AnyAxis>
int launch_wide_windows(const Average<T>& op, const Images& images, int64_t width,
                        const AnyAxis& deep, const AnyAxis& high, const AnyAxis& wide,
                        const polyops_context* ctx) {
  const bool packs = all_aligned(op.src, nullptr) && windows_of_packs(wide, kPack<T>);
  const int lanes_log2 = team_of(packs ? width / kPack<T> : width >= 8 ? width : 1);
  const Grid grid = make_grid(images, 1, wide.out, high.out, 1);
  const auto launch = [&](auto kernel) {
    return gpu::launch(kernel, grid.shape(lanes_log2), ctx, op, grid,
                       Division(static_cast<uint32_t>(deep.out)), lanes_log2, deep, high, wide);
  };
  if (packs) return launch(pool3d_windows<T, kPack<T>, AnyAxis>);
  return launch(pool3d_windows<T, 1, AnyAxis>);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL3D_WINDOWS_H_
