// The gradient of averages whose windows lie side by side, 2 wide and of one share each, in
// contiguous volumes: every element has its window's. A thread loads what kWide neighbours of a row
// get, once for all rows of their windows. Bound: memory, the gradients once each.
#ifndef POLYOPS_GPU_POOL3D_SPREAD_H_
#define POLYOPS_GPU_POOL3D_SPREAD_H_

#include <cstdint>

#include "layout.h"
#include "pool2d/average.h"
#include "pool2d/axis.h"
#include "pool2d/spread.h"
#include "pool2d/tap.h"

namespace polyops::gpu {
namespace {

// planes: as many as there are windows, and one of what is left over. Of the rows the same.
template <class T, int kWide>
GPU_KERNEL(kPoolThreads)
pool3d_spread(AverageGradient<T> op, Grid grid, Division planes, int rows, Axis deep, Axis high,
              Axis wide) {
  await_earlier();
  const PlaceInVolume at(grid, planes, rows);
  if (!at.inside) return;
  const int column = at.column * kWide;
  float x[kWide] = {};
  if (at.plane < deep.out && at.begin < high.out) {
    const T* line =
        op.grad_dst + at.image * op.dst_image + (at.plane * high.out + at.begin) * wide.out;
    load_shares<T, kWide, Under::kTwos>(op, line, column, wide, x);
  }
  const int front = at.plane * deep.size, top = at.begin * high.size;
  const int back = front + deep.size < deep.in ? front + deep.size : deep.in;
  const int bottom = top + high.size < high.in ? top + high.size : high.in;
  T* plane = op.grad_src + at.image * op.src_image + (front * high.in + top) * wide.in + column;
  for (int z = front; z < back; ++z, plane += high.in * wide.in) {
    T* out = plane;
#pragma unroll 2
    for (int h = top; h < bottom; ++h, out += wide.in) Tap<T, kWide>::store(out, x);
  }
}

// Whether it was launched, and what that returned.
template <class T>
bool launch_spread(const AverageGradient<T>& op, int64_t volumes, const Axis& deep,
                   const Axis& high, const Axis& wide, const polyops_context* ctx, int* status) {
  if (wide.size != 2 || wide.in % 4 != 0 || !all_aligned(op.grad_src, op.grad_dst)) return false;
  if (!is_whole(deep) || !is_whole(high) || !is_whole(wide)) return false;
  const auto of = [](const Axis& a) { return (a.in + a.size - 1) / a.size; };
  const int rows = of(high), planes = of(deep);
  const auto launch = [&]<int kWide>() {
    const Grid grid = make_grid({volumes * planes, 1}, 1, wide.in / kWide, rows, 1);
    *status = gpu::launch(pool3d_spread<T, kWide>, grid.shape(), ctx, op, grid,
                          Division(static_cast<uint32_t>(planes)), rows, deep, high, wide);
  };
  if (wide.in % kPack<T> == 0) {
    launch.template operator()<kPack<T>>();
  } else {
    launch.template operator()<4>();
  }
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL3D_SPREAD_H_
