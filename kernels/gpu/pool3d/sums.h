// Gradients of averages of the usual windows of contiguous volumes, and the averages themselves at
// stride 1, which are the same sums: a thread has a pack of a row and goes down its plane by
// squares of kStride rows. It sums a row of windows over the planes once, for every square that has
// it. Bound: memory, the gradients once each.
#ifndef POLYOPS_GPU_POOL3D_SUMS_H_
#define POLYOPS_GPU_POOL3D_SUMS_H_

#include <cstdint>

#include "layout.h"
#include "packs.h"
#include "pool2d/average.h"
#include "pool2d/axis.h"
#include "pool2d/backward.h"
#include "pool2d/tap.h"

namespace polyops::gpu {
namespace {

// To a result, at most.
template <int kSize, int kStride>
inline constexpr int kSumsPlanes = kSize == 3 && kStride == 2 ? 2 : 3;

// From windows to elements, each with a weight of its own; or, of as many, from elements to
// windows.
template <class T>
struct Sums {
  const T* src;
  T* dst;
  int64_t src_image, dst_image;
  float share;
};

// The windows of a pack, seen from its first element's number over kStride.
template <int kWide, int kSize, int kStride, int kPadding>
struct PackWindows {
  static constexpr int kOwn = kWide / kStride;
  static constexpr int kLeft = (kSize - 1 - kPadding) / kStride;
  static constexpr int kRight = (kWide - 1 + kPadding) / kStride - kOwn + 1;
  static constexpr int kCount = kLeft + kOwn + kRight;
  static_assert(kLeft <= 1 && kRight <= 1);

  // Whether the pack's j-th element is in its n-th window.
  GPU_DEVICE static constexpr bool has(int n, int j) {
    const int tap = j + kPadding - (n - kLeft) * kStride;
    return tap >= 0 && tap < kSize;
  }
};

// A row of windows: those of a pack, over some planes, each with its weight; 0: it is none of them.
template <class Windows, class T, int kPlanes>
GPU_DEVICE void sum_planes(const T* line, int64_t pitch, const float (&weights)[kPlanes],
                           bool has_left, bool has_right, float (&sums)[Windows::kCount]) {
  Tap<T, Windows::kOwn> taps[kPlanes];
  Tap<T, 1> left[kPlanes], right[kPlanes];
#pragma unroll
  for (int p = 0; p < kPlanes; ++p, line += pitch) {
    const bool there = weights[p] != 0;
    taps[p].fill(0);
    left[p].fill(0);
    right[p].fill(0);
    if (there) taps[p].load(line);
    if (Windows::kLeft > 0 && there && has_left) left[p].load(line - 1);
    if (Windows::kRight > 0 && there && has_right) right[p].load(line + Windows::kOwn);
  }
#pragma unroll
  for (int p = 0; p < kPlanes; ++p) {
    float x[Windows::kOwn], side[1];
    taps[p].get(x);
#pragma unroll
    for (int n = 0; n < Windows::kOwn; ++n) {
      sums[Windows::kLeft + n] = fmaf(x[n], weights[p], sums[Windows::kLeft + n]);
    }
    left[p].get(side);
    if constexpr (Windows::kLeft > 0) sums[0] = fmaf(side[0], weights[p], sums[0]);
    right[p].get(side);
    if constexpr (Windows::kRight > 0) {
      sums[Windows::kCount - 1] = fmaf(side[0], weights[p], sums[Windows::kCount - 1]);
    }
  }
}

// The elements of a square's i-th row.
template <class Windows, class Rows, int kWide>
GPU_DEVICE void sum_across(const float (&sums)[Rows::kCount][Windows::kCount], int i,
                           float (&x)[kWide]) {
  float all[Windows::kCount] = {};
#pragma unroll
  for (int r = 0; r < Rows::kCount; ++r) {
    if (!Rows::has(r, i)) continue;
#pragma unroll
    for (int n = 0; n < Windows::kCount; ++n) all[n] += sums[r][n];
  }
#pragma unroll
  for (int j = 0; j < kWide; ++j) {
    x[j] = 0;
#pragma unroll
    for (int n = 0; n < Windows::kCount; ++n) {
      if (Windows::has(n, j)) x[j] += all[n];
    }
  }
}

// kSize, kStride, kPadding: of rows and columns. kForward: results are windows, which elements are
// as many as.
template <class T, int kWide, int kSize, int kStride, int kPadding, bool kForward>
GPU_KERNEL(kPoolThreads, kStride == 1 ? 3 : 4)
pool3d_sums(Sums<T> op, Grid grid, Division planes, Axis deep, Axis high, Axis wide) {
  await_earlier();
  using Windows = PackWindows<kWide, kSize, kStride, kPadding>;
  using Rows = SquareWindows<kSize, kStride, kPadding % kStride>;
  static_assert(!kForward || kStride == 1);
  const PlaceInVolume at(grid, planes, (high.in + kStride - 1) / kStride);
  if (!at.inside) return;
  const int front = kForward ? deep.first_inside(at.plane) : deep.first_window(at.plane);
  const int back = kForward ? deep.taps_end(at.plane) : deep.windows_end(at.plane);
  const int column = at.column * kWide, first = at.column * Windows::kOwn;
  const bool has_left = first > 0, has_right = first + Windows::kOwn < wide.out;
  float by[kForward ? kWide : Windows::kCount];  // beside the image something, times 0
#pragma unroll
  for (int n = 0; n < static_cast<int>(sizeof by / sizeof by[0]); ++n) {
    by[n] = op.share * wide.weight(kForward ? column + n : first - Windows::kLeft + n);
  }
  const float of_plane = kForward ? deep.weight(at.plane) : 1;
  float weights[kSumsPlanes<kSize, kStride>];
#pragma unroll
  for (int p = 0; p < kSumsPlanes<kSize, kStride>; ++p) {
    weights[p] = front + p >= back ? 0 : kForward ? 1 : deep.weight(front + p);
  }
  const int64_t pitch = int64_t{high.out} * wide.out;
  const T* line = op.src + at.image * op.src_image + front * pitch + first;
  T* out = op.dst + at.image * op.dst_image + (at.plane * high.in + at.begin * kStride) * wide.in +
           column;
  int row = Rows::first(at.begin, high);
  float sums[Rows::kCount][Windows::kCount];
  const auto read = [&](float(&to)[Windows::kCount]) {
#pragma unroll
    for (int n = 0; n < Windows::kCount; ++n) to[n] = 0;
    if (row >= 0 && row < high.out) {
      sum_planes<Windows>(line + row * wide.out, pitch, weights, has_left, has_right, to);
      if constexpr (!kForward) {
        const float of_row = high.weight(row);
#pragma unroll
        for (int n = 0; n < Windows::kCount; ++n) to[n] *= by[n] * of_row;
      }
    }
    ++row;
  };
#pragma unroll
  for (int r = 0; r < Rows::kCount - 1; ++r) read(sums[r]);
#pragma unroll 1
  for (int square = at.begin; square < at.end; ++square) {
    read(sums[Rows::kCount - 1]);
#pragma unroll
    for (int i = 0; i < kStride; ++i, out += wide.in) {
      const int h = square * kStride + i;
      if (h >= high.in) break;
      float x[kWide];
      sum_across<Windows, Rows>(sums, i, x);
      if constexpr (kForward) {
        const float of_row = of_plane * high.weight(h);
#pragma unroll
        for (int j = 0; j < kWide; ++j) x[j] *= by[j] * of_row;
      }
      Tap<T, kWide>::store(out, x);
    }
#pragma unroll
    for (int r = 0; r < Rows::kCount - 1; ++r) {
#pragma unroll
      for (int n = 0; n < Windows::kCount; ++n) sums[r][n] = sums[r + 1][n];
    }
  }
}

// Calls f.operator()<kSize, kStride, kPadding>() if rows and columns are those that sums are made
// for, rows whole packs with a whole number of windows, and no more planes to a result than there
// is room for.
template <bool kForward, class F>
bool with_sums_of(const Axis& deep, const Axis& high, const Axis& wide, F f) {
  const auto is = [](const Axis& a, int size, uint32_t stride, int padding) {
    return a.size == size && a.stride.divisor == stride && a.padding == padding;
  };
  if (wide.in % 4 != 0 || wide.out * static_cast<int64_t>(wide.stride.divisor) != wide.in) {
    return false;
  }
  const auto both = [&]<int kSize, int kStride, int kPadding>() {
    const int64_t step = kForward ? 1 : deep.stride.divisor;
    const bool here = is(high, kSize, kStride, kPadding) && is(wide, kSize, kStride, kPadding) &&
                      deep.size <= step * kSumsPlanes<kSize, kStride>;
    if (here) f.template operator()<kSize, kStride, kPadding>();
    return here;
  };
  if (both.template operator()<3, 1, 1>()) return true;
  if constexpr (!kForward) {
    return both.template operator()<3, 2, 1>() || both.template operator()<2, 2, 0>() ||
           both.template operator()<1, 1, 0>();
  }
  return false;
}

// Whether it was launched, and what that returned.
template <bool kForward, class T>
bool launch_sums(const Sums<T>& op, int64_t volumes, const Axis& deep, const Axis& high,
                 const Axis& wide, const polyops_context* ctx, int* status) {
  if (!all_aligned(op.src, op.dst)) return false;
  const int planes = kForward ? deep.out : deep.in;
  return with_sums_of<kForward>(deep, high, wide, [&]<int kSize, int kStride, int kPadding>() {
    const auto launch = [&]<int kWide>() {
      const Grid grid = make_grid(ctx, {volumes * planes, 1}, 1, wide.in / kWide,
                                  (high.in + kStride - 1) / kStride, 1, (kSize - 1) / kStride);
      *status =
          gpu::launch(pool3d_sums<T, kWide, kSize, kStride, kPadding, kForward>, grid.shape(), ctx,
                      op, grid, Division(static_cast<uint32_t>(planes)), deep, high, wide);
    };
    if (wide.in % kPack<T> == 0) {
      launch.template operator()<kPack<T>>();
    } else {
      launch.template operator()<4>();
    }
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL3D_SUMS_H_
