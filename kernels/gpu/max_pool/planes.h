// The usual windows of three dimensions: a thread stays at a row and column of results, for kWide
// channels, and goes along the depth; what a frame has in its window is looked at once, and kept
// for the windows behind. A tap beside the image is taken for the next one that is in it, twice,
// which changes neither value nor index: so no load is masked. Bound: memory, the image once and
// its results; neighbours find what they share in L1.
#ifndef POLYOPS_GPU_MAX_POOL_PLANES_H_
#define POLYOPS_GPU_MAX_POOL_PLANES_H_

#include <cstdint>

#include "gpu.h"
#include "pool2d/largest.h"
#include "pool2d/layout.h"
#include "pool2d/tap.h"
#include "volume.h"
#include "windows.h"

namespace polyops::gpu {
namespace {

template <class T, int kWide, class C>
GPU_KERNEL(kPoolThreads)
volume_planes(Largest<T> op, Grid grid, int all_channels, Axes<Axis> axes) {
  await_earlier();
  constexpr int kSize = C::kSize;
  constexpr int kKept = C::kDeepSize > C::kDeepStride ? C::kDeepSize - C::kDeepStride : 0;
  const int channels = kWide == 1 ? 1 : all_channels;
  const Place at(grid, axes.deep.out);
  if (!at.inside) return;
  auto row = static_cast<uint32_t>(at.column);
  const auto column = static_cast<int>(take_remainder(axes.columns, &row));
  const int top = axes.high.start(static_cast<int>(row)), left = axes.wide.start(column);
  int places[kSize][kSize];  // in a frame
#pragma unroll
  for (int r = 0; r < kSize; ++r) {
#pragma unroll
    for (int c = 0; c < kSize; ++c) {
      places[r][c] =
          nearest(top + r, axes.high.in) * axes.wide.in + nearest(left + c, axes.wide.in);
    }
  }
  // Offsets of 32 bits reach everything, and become addresses in one instruction.
  const auto image = static_cast<uint32_t>(at.image * op.src_image + at.group * kWide);
  const int frame = axes.high.in * axes.wide.in;
  const auto look_at = [&](int d, LargestPool<kWide>* pool) {
    const int before = nearest(d, axes.deep.in) * frame;
    const uint32_t first = image + static_cast<uint32_t>(before * channels);
    Tap<T, kWide> taps[kSize][kSize];
#pragma unroll
    for (int r = 0; r < kSize; ++r) {
#pragma unroll
      for (int c = 0; c < kSize; ++c) {
        taps[r][c].load(op.src + (first + static_cast<uint32_t>(places[r][c] * channels)));
      }
    }
#pragma unroll
    for (int r = 0; r < kSize; ++r) {
#pragma unroll
      for (int c = 0; c < kSize; ++c) {
        float x[kWide];
        taps[r][c].get(x);
        if (r == 0 && c == 0) {
          pool->begin(x, places[0][0]);
        } else {
          pool->add(x, places[r][c]);
        }
      }
    }
#pragma unroll
    for (int j = 0; j < kWide; ++j) pool->at[j] += before;
  };

  LargestPool<kWide> frames[C::kDeepSize];
  int d = axes.deep.start(at.begin);
  int64_t dst = at.image * op.dst_image + at.group * kWide +
                int64_t{axes.result(at.begin, static_cast<int>(row), column)} * channels;
#pragma unroll
  for (int k = 0; k < kKept; ++k) look_at(d + k, &frames[k]);
  for (int z = at.begin; z < at.end; ++z, d += C::kDeepStride) {
#pragma unroll
    for (int k = kKept; k < C::kDeepSize; ++k) look_at(d + k, &frames[k]);
    LargestPool<kWide> pool = frames[0];
#pragma unroll
    for (int k = 1; k < C::kDeepSize; ++k) pool.merge(frames[k]);
    op.put_found(pool, dst);
    dst += int64_t{axes.high.out} * (axes.wide.out * channels);
#pragma unroll
    for (int k = 0; k < kKept; ++k) frames[k] = frames[k + C::kDeepStride];
  }
}

template <class T, int kWide, class C>
int launch_planes(const Largest<T>& op, const Images& images, const Axes<Axis>& axes,
                  const polyops_context* ctx) {
  constexpr int kKept = C::kDeepSize > C::kDeepStride ? C::kDeepSize - C::kDeepStride : 0;
  const Grid grid = make_grid(ctx, images, kWide, int64_t{axes.wide.out} * axes.high.out,
                              axes.deep.out, 1, kKept);
  return gpu::launch(volume_planes<T, kWide, C>, grid.shape(), ctx, op, grid, images.channels,
                     axes);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_MAX_POOL_PLANES_H_
