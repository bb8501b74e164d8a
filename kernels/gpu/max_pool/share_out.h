// The gradient of largest elements in contiguous images, of windows that share an image out: a thread has
// kWide neighbours of a row and goes down the rows, most of which get nothing, so that it mostly looks
// at one index, in L1, and writes. Bound: memory, the image's gradient once.
#ifndef POLYOPS_GPU_MAX_POOL_SHARE_OUT_H_
#define POLYOPS_GPU_MAX_POOL_SHARE_OUT_H_

#include <cstdint>

#include "gpu.h"
#include "pool2d/largest.h"
#include "pool2d/layout.h"
#include "pool2d/tap.h"
#include "volume.h"

namespace polyops::gpu {
namespace {

// Adds what windows [windows.begin, windows.end) of a row of them give to kWide elements from that
// place and column on.
template <class T, int kWide, class AnyAxis>
GPU_DEVICE void add_windows(const LargestGradient<T>& op, int64_t line, const Range& windows,
                            int place, int column, const AnyAxis& wide, float (&sum)[kWide]) {
#pragma unroll 1
  for (int c = windows.begin; c < windows.end; ++c) {
    int at[1];
    load_indices(op.indices + line + c, at);
    const auto which = static_cast<uint32_t>(at[0] - place);
    if (which >= kWide) continue;
    if (kWide > 1) {
      const int element = column + static_cast<int>(which);
      const Range its = windows_of(wide, element, element);
      if (c < its.begin || c >= its.end) continue;
    }
    const float grad = widen(op.grad_dst[line + c]);
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      if (which == static_cast<uint32_t>(j)) sum[j] += grad;
    }
  }
}

template <class T, int kWide, class AnyAxis>
GPU_KERNEL(kPoolThreads)
volume_share_out(LargestGradient<T> op, Grid grid, Division frames, Axes<AnyAxis> axes) {
  const PlaceInVolume at(grid, frames, axes.high.in);
  if (!at.inside) return;
  const int column = at.column * kWide;
  const Range deep = windows_of(axes.deep, at.plane, at.plane);
  const Range wide = windows_of(axes.wide, column, column + kWide - 1);
  const int64_t dst = at.image * op.dst_image;
  T* out = op.grad_src + at.image * op.src_image;
  for (int h = at.begin; h < at.end; ++h) {
    const Range high = windows_of(axes.high, h, h);
    const int place = axes.place(at.plane, h, column);
    float sum[kWide] = {};
    for (int d = deep.begin; d < deep.end; ++d) {
      for (int r = high.begin; r < high.end; ++r) {
        add_windows(op, dst + axes.result(d, r, 0), wide, place, column, axes.wide, sum);
      }
    }
    Tap<T, kWide>::store(out + place, sum);
  }
}

template <class T, int kWide, class AnyAxis>
int launch_share_out_of(const LargestGradient<T>& op, int64_t images, const Axes<AnyAxis>& axes,
                        const polyops_context* ctx) {
  const Grid grid =
      frames_grid<1>(ctx, {images, 1}, axes.deep.in, axes.wide.in / kWide, axes.high.in);
  return gpu::launch(volume_share_out<T, kWide, AnyAxis>, grid.shape(), ctx, op, grid,
                     Division(static_cast<uint32_t>(axes.deep.in)), axes);
}

template <class T, class AnyAxis>
int launch_share_out(const LargestGradient<T>& op, int64_t images, const Axes<AnyAxis>& axes,
                     const polyops_context* ctx) {
  if (reinterpret_cast<uintptr_t>(op.grad_src) % 16 == 0) {
    if constexpr (kPack<T> == 8) {
      if (axes.wide.in % 8 == 0) return launch_share_out_of<T, 8>(op, images, axes, ctx);
    }
    if (axes.wide.in % 4 == 0) return launch_share_out_of<T, 4>(op, images, axes, ctx);
    if (axes.wide.in % 2 == 0) return launch_share_out_of<T, 2>(op, images, axes, ctx);
  }
  return launch_share_out_of<T, 1>(op, images, axes, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_MAX_POOL_SHARE_OUT_H_
