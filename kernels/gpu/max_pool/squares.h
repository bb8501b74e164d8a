// The gradient of largest elements of windows 3 by 3 at stride 2 in contiguous planes: a thread
// goes down a column of squares of 2 by 2 elements, each of which has four windows, two of them
// those of the square before. Two rows of windows are always on their way. A row that is none is
// not read: what was read before stands for it, and is taken for nothing. Nobody adds to what
// another one writes. Bound: memory, gradients and indices once; 59 instructions per square.
#ifndef POLYOPS_GPU_MAX_POOL_SQUARES_H_
#define POLYOPS_GPU_MAX_POOL_SQUARES_H_

#include <cstdint>

#include "gpu.h"
#include "pool2d/axis.h"
#include "pool2d/backward.h"
#include "pool2d/largest.h"
#include "pool2d/layout.h"
#include "pool2d/tap.h"

namespace polyops::gpu {
namespace {

// A row's two windows of a square, as they are in memory.
template <class T>
struct RawGiven {
  T grads[2];
  HalfPack indices[2];
};

// What a window gives, never -0, and to which place.
struct Given {
  float grad;
  int at;
};

// A column of squares. kEven: all are of 2 by 2 elements, and those of a row are one access.
template <class T, int kShift, bool kEven>
struct SquareColumn {
  using Windows = SquareWindows<3, 2, kShift>;
  static_assert(Windows::kCount == 2);

  const T* grads;  // of the image's first row
  const int64_t* indices;
  T* out;                    // the next square's first element
  int line, taken, windows;  // where the rows begin that are read and taken next, and their size
  uint32_t end[2];  // where rows end that have this column's windows, or 0 if they have not
  int place, high, wide;
  bool alone;  // the column has no second element

  GPU_DEVICE SquareColumn(const LargestGradient<T>& op, const Place& at, const Axis& high_axis,
                          const Axis& wide_axis)
      : windows(wide_axis.out), high(high_axis.in - 2 * at.begin), wide(wide_axis.in) {
    const int row = Windows::first(at.begin, high_axis);
    const int window = Windows::first(at.column, wide_axis);
    const int needed = row + at.end - at.begin + 1;
    const int rows = needed < high_axis.out ? needed : high_axis.out;
    line = taken = row * windows;
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const bool inside = window + c >= 0 && window + c < windows;
      end[c] = inside ? static_cast<uint32_t>(rows * windows) : 0;
    }
    grads = op.grad_dst + at.image * op.dst_image + window;
    indices = op.indices + at.image * op.dst_image + window;
    place = 2 * at.begin * wide + 2 * at.column;
    out = op.grad_src + at.image * op.src_image + place;
    alone = 2 * at.column + 1 == wide;
  }

  GPU_DEVICE void read(RawGiven<T>* raw) {
    const auto at = static_cast<uint32_t>(line);
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      if (at >= end[c]) continue;
      raw->indices[c] = reinterpret_cast<const HalfPack*>(indices + at)[c];
      raw->grads[c] = (grads + at)[c];
    }
    line += windows;
  }

  // Whether a row is behind the last one is asked by the sign of a difference. By a comparison like
  // read()'s nvcc looks at an index, and waits for it, as soon as it is asked for. (What is before
  // the first row, or beside a row, was never read.)
  GPU_DEVICE void take(const RawGiven<T>& raw, Given (&next)[2]) {
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const uint32_t none = (end[c] - 1 - static_cast<uint32_t>(taken)) & 0x80000000;
      next[c].at = place_of(raw.indices[c].w[0], raw.indices[c].w[1] | none);
      next[c].grad = widen(raw.grads[c]) + 0.0f;
    }
    taken += windows;
  }

  GPU_DEVICE void put(const Given (&above)[2], const Given (&below)[2]) {
    float sums[2][2];
#pragma unroll
    for (int e = 0; e < 4; ++e) {
      const int i = e / 2, j = e % 2, here = place + i * wide + j;
      bool first = true;
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        if (!Windows::has(n / 2, i) || !Windows::has(n % 2, j)) continue;
        const Given& from = n < 2 ? above[n % 2] : below[n % 2];
        const float before = first ? 0.0f : sums[i][j];
        sums[i][j] = from.at != here ? before : first ? from.grad : before + from.grad;
        first = false;
      }
    }
    store(out, sums[0]);
    if (kEven || high > 1) store(out + wide, sums[1]);
    high -= 2;
    place += 2 * wide;
    out += 2 * wide;
  }

  GPU_DEVICE void store(T* to, const float (&sums)[2]) const {
    if constexpr (kEven) {
      Tap<T, 2>::store(to, sums);
    } else {
      to[0] = narrow<T>(sums[0]);
      if (!alone) to[1] = narrow<T>(sums[1]);
    }
  }
};

template <class T, int kShift, bool kEven>
GPU_KERNEL(kPoolThreads)
pool2d_squares(LargestGradient<T> op, Grid grid, Axis high, Axis wide) {
  await_earlier();
  const Place at(grid, (high.in + 1) / 2);
  if (!at.inside) return;
  SquareColumn<T, kShift, kEven> column(op, at, high, wide);
  RawGiven<T> raw[3];
#pragma unroll
  for (int i = 0; i < 6; ++i) {
    raw[i / 2].grads[i % 2] = narrow<T>(0.0f);
    raw[i / 2].indices[i % 2] = {{~0u, ~0u}};
  }
  Given first[2], second[2], third[2];
#pragma unroll
  for (int i = 0; i < 3; ++i) column.read(&raw[i]);
  column.take(raw[0], first);
#pragma unroll 1
  for (int squares = at.end - at.begin;; squares -= 2) {
    // All that is on its way is waited for here, as one, and the next two rows are asked for.
    column.take(raw[1], second);
    column.take(raw[2], third);
    column.read(&raw[1]);
    column.read(&raw[2]);
    column.put(first, second);
    if (squares == 1) break;
    column.put(second, third);
    if (squares == 2) break;
#pragma unroll
    for (int c = 0; c < 2; ++c) first[c] = third[c];
  }
}

template <class T, int kShift>
int launch_squares_of(const LargestGradient<T>& op, const Images& images, const Axis& high,
                      const Axis& wide, const polyops_context* ctx) {
  const Grid grid = make_grid(ctx, images, 1, (wide.in + 1) / 2, (high.in + 1) / 2, 1);
  const bool even = high.in % 2 == 0 && goes_by_pairs(op.grad_src, wide);
  return gpu::launch(even ? pool2d_squares<T, kShift, true> : pool2d_squares<T, kShift, false>,
                     grid.shape(), ctx, op, grid, high, wide);
}

// Whether it was launched, and what that returned.
template <class T>
bool launch_squares(const LargestGradient<T>& op, const polyops_pool2d_window& window,
                    const Images& images, const Axis& high, const Axis& wide,
                    const polyops_context* ctx, int* status) {
  if (images.channels != 1 || !is_square(window, 3, 2) || high.padding != wide.padding)
    return false;
  *status = high.padding % 2 == 0 ? launch_squares_of<T, 0>(op, images, high, wide, ctx)
                                  : launch_squares_of<T, 1>(op, images, high, wide, ctx);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_MAX_POOL_SQUARES_H_
