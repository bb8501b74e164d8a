// Averages of the usual windows of contiguous volumes, in rows of whole packs that have a whole
// number of results: a thread sums a pack, and what a window reaches over on its sides, over all
// rows that its windows have, and only then across. Bound: memory, the image and the results once
// each.
#ifndef POLYOPS_GPU_POOL3D_PACKS_H_
#define POLYOPS_GPU_POOL3D_PACKS_H_

#include <cstdint>

#include "layout.h"
#include "polyops/ops/pool3d.h"
#include "pool2d/average.h"
#include "pool2d/axis.h"
#include "pool2d/tap.h"

namespace polyops::gpu {
namespace {

// Planes and rows of them whose loads are issued together.
template <int kSize>
inline constexpr int kPacksPlanes = kSize > 2 ? 1 : 2;
template <int kSize>
inline constexpr int kPacksRows = kSize > 2 ? 3 : 2;

// kSize, kStride, kPadding: of the width.
template <class T, int kWide, int kSize, int kStride, int kPadding>
GPU_KERNEL(kPoolThreads, 4)
pool3d_packs(Average<T> op, Grid grid, Division planes, Axis deep, Axis high, Axis wide) {
  await_earlier();
  constexpr int kRight = kSize - kStride > kPadding ? kSize - kStride - kPadding : 0;
  constexpr int kResults = kWide / kStride;
  constexpr int kPlanes = kPacksPlanes<kSize>, kLines = kPlanes * kPacksRows<kSize>;
  static_assert(kPadding <= 1 && kRight <= 1);
  const PlaceInVolume at(grid, planes, high.out);
  if (!at.inside) return;
  const int front = deep.first_inside(at.plane), back = deep.taps_end(at.plane);
  const int top = high.first_inside(at.begin), bottom = high.taps_end(at.begin);
  const int column = at.column * kWide;
  const bool has_left = column > 0, has_right = column + kWide < wide.in;
  const T* plane = op.src + at.image * op.src_image + (front * high.in + top) * wide.in + column;
  float sums[kPadding + kWide + kRight] = {};
#pragma unroll 1
  for (int z = front; z < back; z += kPlanes, plane += kPlanes * high.in * wide.in) {
    const T* line = plane;
#pragma unroll 1
    for (int h = top; h < bottom; h += kLines / kPlanes, line += kLines / kPlanes * wide.in) {
      Tap<T, kWide> taps[kLines];
      Tap<T, 1> left[kLines], right[kLines];
#pragma unroll
      for (int r = 0; r < kLines; ++r) {
        const bool there = z + r % kPlanes < back && h + r / kPlanes < bottom;
        const T* from = line + (r % kPlanes * high.in + r / kPlanes) * wide.in;
        taps[r].fill(0);
        left[r].fill(0);
        right[r].fill(0);
        if (there) taps[r].load(from);
        if (kPadding > 0 && there && has_left) left[r].load(from - 1);
        if (kRight > 0 && there && has_right) right[r].load(from + kWide);
      }
#pragma unroll
      for (int r = 0; r < kLines; ++r) {
        float x[kWide], side[1];
        taps[r].get(x);
#pragma unroll
        for (int j = 0; j < kWide; ++j) sums[kPadding + j] += x[j];
        left[r].get(side);
        if constexpr (kPadding > 0) sums[0] += side[0];
        right[r].get(side);
        if constexpr (kRight > 0) sums[kPadding + kWide] += side[0];
      }
    }
  }
  const float share = op.share * (deep.weight(at.plane) * high.weight(at.begin));
  const int first = at.column * kResults;
  float results[kResults];
#pragma unroll
  for (int j = 0; j < kResults; ++j) {
    results[j] = sums[j * kStride];
#pragma unroll
    for (int k = 1; k < kSize; ++k) results[j] += sums[j * kStride + k];
    results[j] *= share * wide.weight(first + j);
  }
  T* out = op.dst + at.image * op.dst_image + (at.plane * high.out + at.begin) * wide.out;
  Tap<T, kResults>::store(out + first, results);
}

// Calls f.operator()<kSize, kStride, kPadding>() if packs are made for that width.
template <class F>
bool with_width_of(const Axis& wide, F f) {
  const auto is = [&](int size, uint32_t stride, int padding) {
    return wide.size == size && wide.stride.divisor == stride && wide.padding == padding;
  };
  if (is(1, 1, 0)) return f.template operator()<1, 1, 0>(), true;
  if (is(2, 2, 0)) return f.template operator()<2, 2, 0>(), true;
  if (is(3, 2, 1)) return f.template operator()<3, 2, 1>(), true;
  return false;
}

// Whether it was launched, and what that returned.
template <class T>
bool launch_packs(const Average<T>& op, const Images& images, const Axis& deep, const Axis& high,
                  const Axis& wide, const polyops_context* ctx, int* status) {
  constexpr int kHalf = 4;
  const bool whole = wide.out * static_cast<int64_t>(wide.stride.divisor) == wide.in;
  if (!whole || wide.in % kHalf != 0 || !all_aligned(op.src, op.dst)) return false;
  return with_width_of(wide, [&]<int kSize, int kStride, int kPadding>() {
    const auto launch = [&]<int kWide>() {
      const Grid grid = make_grid(images, 1, wide.in / kWide, high.out, 1);
      *status = gpu::launch(pool3d_packs<T, kWide, kSize, kStride, kPadding>, grid.shape(), ctx, op,
                            grid, Division(static_cast<uint32_t>(deep.out)), deep, high, wide);
    };
    if (wide.in % kPack<T> == 0) {
      launch.template operator()<kPack<T>>();
    } else {
      launch.template operator()<kHalf>();
    }
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL3D_PACKS_H_
