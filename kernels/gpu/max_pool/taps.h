// Any windows: a thread goes through one's taps, or through an element's windows, for kWide
// channels. Bound: memory, where neighbours find what they share in L1.
#ifndef POLYOPS_GPU_MAX_POOL_TAPS_H_
#define POLYOPS_GPU_MAX_POOL_TAPS_H_

#include <cstdint>

#include "gpu.h"
#include "pool2d/largest.h"
#include "pool2d/layout.h"
#include "pool2d/tap.h"
#include "volume.h"

namespace polyops::gpu {
namespace {

template <class T, int kWide, class AnyAxis>
GPU_KERNEL(kPoolThreads)
volume_taps(Largest<T> op, Grid grid, int channels, Axes<AnyAxis> axes) {
  await_earlier();
  const PlaceInVolume at(grid, axes.frames, axes.high.out);
  if (!at.inside) return;
  const T* src = op.src + at.image * op.src_image + at.group * kWide;
  const int64_t dst = at.image * op.dst_image + at.group * kWide;
  const Range deep = taps_of(axes.deep, at.plane), wide = taps_of(axes.wide, at.column);
  for (int row = at.begin; row < at.end; ++row) {
    const Range high = taps_of(axes.high, row);
    LargestPool<kWide> pool;
    for (int d = deep.begin; d < deep.end; d += axes.deep.step()) {
      for (int h = high.begin; h < high.end; h += axes.high.step()) {
        for (int w = wide.begin; w < wide.end; w += axes.wide.step()) {
          const int place = axes.place(d, h, w);
          Tap<T, kWide> tap;
          float x[kWide];
          tap.load(src + place * channels);
          tap.get(x);
          pool.add(x, place);
        }
      }
    }
    op.put(pool, dst + axes.result(at.plane, row, at.column) * channels,
           axes.place(deep.begin, high.begin, wide.begin));
  }
}

// Where an element has one window, as the one above it has, that is still there.
template <class T, int kWide, class AnyAxis>
GPU_KERNEL(kPoolThreads)
volume_windows(LargestGradient<T> op, Grid grid, int channels, Division frames,
               Axes<AnyAxis> axes) {
  await_earlier();
  const PlaceInVolume at(grid, frames, axes.high.in);
  if (!at.inside) return;
  const int64_t dst = at.image * op.dst_image + at.group * kWide;
  T* out = op.grad_src + at.image * op.src_image + at.group * kWide;
  const Range deep = windows_of(axes.deep, at.plane, at.plane);
  const Range wide = windows_of(axes.wide, at.column, at.column);
  const bool one = deep.count() == 1 && wide.count() == 1;
  typename LargestGradient<T>::template Entry<kWide> entry;
  entry.clear();
  int loaded = -1;
  for (int h = at.begin; h < at.end; ++h) {
    const int place = axes.place(at.plane, h, at.column);
    const Range high = windows_of(axes.high, h, h);
    float sum[kWide] = {};
    for (int d = deep.begin; d < deep.end; ++d) {
      for (int r = high.begin; r < high.end; ++r) {
#pragma unroll 1
        for (int c = wide.begin; c < wide.end; ++c) {
          if (!one || r != loaded) op.load(&entry, dst + axes.result(d, r, c) * channels);
          loaded = r;
          entry.add_to(sum, place);
        }
      }
    }
    Tap<T, kWide>::store(out + place * channels, sum);
  }
}

template <class T, int kWide, class AnyAxis>
int launch_taps(const Largest<T>& op, const Images& images, const Axes<AnyAxis>& axes,
                const polyops_context* ctx) {
  const Grid grid = frames_grid<kWide>(ctx, images, axes.deep.out, axes.wide.out, axes.high.out);
  return gpu::launch(volume_taps<T, kWide, AnyAxis>, grid.shape(), ctx, op, grid, images.channels,
                     axes);
}

template <class T, int kWide, class AnyAxis>
int launch_windows_of(const LargestGradient<T>& op, const Images& images, const Axes<AnyAxis>& axes,
                      const polyops_context* ctx) {
  const Grid grid = frames_grid<kWide>(ctx, images, axes.deep.in, axes.wide.in, axes.high.in);
  return gpu::launch(volume_windows<T, kWide, AnyAxis>, grid.shape(), ctx, op, grid,
                     images.channels, Division(static_cast<uint32_t>(axes.deep.in)), axes);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_MAX_POOL_TAPS_H_
