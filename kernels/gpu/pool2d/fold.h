// Averages of windows 2 wide that lie side by side in contiguous planes, each of a whole size: a
// thread adds up kWide neighbours of each row of their windows, and has kWide / 2 results. Bound:
// memory, the image and the results once each.
#ifndef POLYOPS_GPU_POOL2D_FOLD_H_
#define POLYOPS_GPU_POOL2D_FOLD_H_

#include <cstdint>

#include "average.h"
#include "axis.h"
#include "gpu.h"
#include "layout.h"
#include "spread.h"
#include "tap.h"

namespace polyops::gpu {
namespace {

constexpr int kFoldRows = 2;  // whose loads are issued together

template <class T, int kWide>
GPU_KERNEL(kPoolThreads)
pool2d_fold(Average<T> op, Grid grid, Axis high, Axis wide) {
  await_earlier();
  const Place at(grid, high.out);
  if (!at.inside) return;
  const T* line = op.src + at.image * op.src_image + int64_t{at.begin * high.size} * wide.in +
                  at.column * kWide;
  float sums[kWide / 2] = {};
  for (int h = 0; h < high.size; h += kFoldRows) {
    Tap<T, kWide> taps[kFoldRows];
#pragma unroll
    for (int r = 0; r < kFoldRows; ++r) {
      taps[r].fill(0);
      if (h + r < high.size) taps[r].load(line);
      line += wide.in;
    }
#pragma unroll
    for (int r = 0; r < kFoldRows; ++r) {
      float x[kWide];
      taps[r].get(x);
#pragma unroll
      for (int j = 0; j < kWide / 2; ++j) sums[j] += x[2 * j] + x[2 * j + 1];
    }
  }
#pragma unroll
  for (int j = 0; j < kWide / 2; ++j) sums[j] *= op.share;
  T* out = op.dst + at.image * op.dst_image + int64_t{at.begin} * wide.out;
  Tap<T, kWide / 2>::store(out + at.column * (kWide / 2), sums);
}

// A divisor that is given hides windows that hang over the edge.
inline bool folds(const Images& images, const Axis& high, const Axis& wide) {
  const auto whole = [](const Axis& a) { return int64_t{a.out} * a.size <= a.in; };
  return lies_side_by_side(images, high, wide) && wide.size == 2 && whole(high) && whole(wide);
}

template <class T, int kWide>
int launch_fold_of(const Average<T>& op, const Images& images, const Axis& high, const Axis& wide,
                   const polyops_context* ctx) {
  const Grid grid = make_grid(images, 1, wide.in / kWide, high.out, 1);
  return gpu::launch(pool2d_fold<T, kWide>, grid.shape(), ctx, op, grid, high, wide);
}

// Whether it was launched, and what that returned.
template <class T>
bool launch_fold(const Average<T>& op, const Images& images, const Axis& high, const Axis& wide,
                 const polyops_context* ctx, int* status) {
  const bool aligned = reinterpret_cast<uintptr_t>(op.src) % 16 == 0 &&
                       reinterpret_cast<uintptr_t>(op.dst) % 16 == 0;
  if (!aligned || !folds(images, high, wide) || wide.in % 2 != 0) return false;
  if constexpr (kPack<T> == 8) {
    if (wide.in % 8 == 0) {
      *status = launch_fold_of<T, 8>(op, images, high, wide, ctx);
      return true;
    }
  }
  *status = wide.in % 4 == 0 ? launch_fold_of<T, 4>(op, images, high, wide, ctx)
                             : launch_fold_of<T, 2>(op, images, high, wide, ctx);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_FOLD_H_
