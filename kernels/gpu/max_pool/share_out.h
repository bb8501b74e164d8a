// The gradient of largest elements in contiguous images, of windows that share an image out: a
// thread has kWide neighbours of a row and goes down the rows, most of which get nothing: mostly it
// compares one index, and writes. Bound: memory, the image's gradient once.
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

// A window's index and gradient.
struct Winner {
  int window, at;
  float grad;

  template <class T>
  GPU_DEVICE void load(const LargestGradient<T>& op, int64_t line, int column) {
    int place[1];
    load_indices(op.indices + line + column, place);
    window = column;
    at = place[0];
    grad = widen(op.grad_dst[line + column]);
  }
  // What it gives to kWide elements from that place and column on.
  template <int kWide, class AnyAxis>
  GPU_DEVICE void add_to(float (&sum)[kWide], int place, int column, const AnyAxis& wide) const {
    const auto which = static_cast<uint32_t>(at - place);
    if (which >= kWide) return;
    if (kWide > 1) {  // those beside the window have it for nothing
      const int element = column + static_cast<int>(which);
      const Range its = windows_of(wide, element, element);
      if (window < its.begin || window >= its.end) return;
    }
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      if (which == static_cast<uint32_t>(j)) sum[j] += grad;
    }
  }
};

// Where elements begin that have other windows than one that has these.
template <class AnyAxis>
GPU_DEVICE int end_of(const AnyAxis& axis, const Range& windows) {
  int end = axis.in;
  if (windows.begin < windows.end) end = axis.taps_end(windows.begin);
  if (windows.end < axis.out) {
    const int next = axis.first_tap(windows.end);
    if (next < end) end = next;
  }
  return end;
}

template <class T, int kWide, class AnyAxis>
GPU_KERNEL(kPoolThreads)
volume_share_out(LargestGradient<T> op, Grid grid, Division frames, Axes<AnyAxis> axes) {
  await_earlier();
  const PlaceInVolume at(grid, frames, axes.high.in);
  if (!at.inside) return;
  const int column = at.column * kWide;
  const Range deep = windows_of(axes.deep, at.plane, at.plane);
  const Range wide = windows_of(axes.wide, column, column + kWide - 1);
  const int64_t dst = at.image * op.dst_image;
  T* out = op.grad_src + at.image * op.src_image;
  Range high = {0, 0};
  Winner winner = {0, -1, 0};
  int same = at.begin;  // rows before that one have the windows of `high`
  bool one = false;     // that is all: `winner` is the only window's
  for (int h = at.begin; h < at.end; ++h) {
    if (h == same) {
      high = windows_of(axes.high, h, h);
      same = end_of(axes.high, high);
      one = deep.count() == 1 && high.count() == 1 && wide.count() == 1;
      if (one) winner.load(op, dst + axes.result(deep.begin, high.begin, 0), wide.begin);
    }
    const int place = axes.place(at.plane, h, column);
    float sum[kWide] = {};
    if (one) {
      winner.add_to(sum, place, column, axes.wide);
    } else {
      for (int d = deep.begin; d < deep.end; ++d) {
        for (int r = high.begin; r < high.end; ++r) {
#pragma unroll 1
          for (int c = wide.begin; c < wide.end; ++c) {
            Winner each;
            each.load(op, dst + axes.result(d, r, 0), c);
            each.add_to(sum, place, column, axes.wide);
          }
        }
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
