// The gradient of averages whose windows lie side by side, of one share each, in contiguous planes:
// every element has its window's. A thread loads what kWide neighbours of a row get, once for all
// rows of their windows. Bound: memory, the gradients once each.
#ifndef POLYOPS_GPU_POOL2D_SPREAD_H_
#define POLYOPS_GPU_POOL2D_SPREAD_H_

#include <cstdint>

#include "average.h"
#include "axis.h"
#include "gpu.h"
#include "layout.h"
#include "tap.h"

namespace polyops::gpu {
namespace {

// How the windows lie under kWide elements of a row that begin at a multiple of it: kWide / 2 of
// two, one to each, one, or anyhow.
enum class Under { kTwos, kEach, kOne, kAny };

template <class T, int kWide, Under kUnder>
GPU_DEVICE void load_shares(const AverageGradient<T>& op, const T* line, int column,
                            const Axis& wide, float (&x)[kWide]) {
  if constexpr (kUnder == Under::kTwos) {
    Tap<T, kWide / 2> tap;
    float pairs[kWide / 2];
    tap.load(line + column / 2);
    tap.get(pairs);
#pragma unroll
    for (int j = 0; j < kWide; ++j) x[j] = pairs[j / 2] * op.share;
  } else if constexpr (kUnder == Under::kEach) {
    Tap<T, kWide> tap;
    tap.load(line + column);
    tap.get(x);
#pragma unroll
    for (int j = 0; j < kWide; ++j) x[j] *= op.share;
  } else {
#pragma unroll
    for (int j = 0; j < (kUnder == Under::kOne ? 1 : kWide); ++j) {
      const int window = static_cast<int>(wide.stride.quotient(column + j));
      x[j] = window < wide.out ? widen(line[window]) * op.share : 0;
    }
    if constexpr (kUnder == Under::kOne) {
#pragma unroll
      for (int j = 1; j < kWide; ++j) x[j] = x[0];
    }
  }
}

template <class T, int kWide, Under kUnder>
GPU_KERNEL(kPoolThreads)
pool2d_spread(AverageGradient<T> op, Grid grid, int rows, Axis high, Axis wide) {
  await_earlier();
  const Place at(grid, rows);
  if (!at.inside) return;
  const int column = at.column * kWide;
  float x[kWide] = {};
  if (at.begin < high.out) {
    load_shares<T, kWide, kUnder>(
        op, op.grad_dst + at.image * op.dst_image + int64_t{at.begin} * wide.out, column, wide, x);
  }
  const int top = at.begin * high.size, end = top + high.size;
  const int bottom = end < high.in ? end : high.in;
  T* out = op.grad_src + at.image * op.src_image + int64_t{top} * wide.in + column;
#pragma unroll 4
  for (int h = top; h < bottom; ++h, out += wide.in) Tap<T, kWide>::store(out, x);
}

inline bool is_whole(const Axis& a) {
  return a.even && a.padding == 0 && static_cast<int>(a.stride.divisor) == a.size;
}
inline bool lies_side_by_side(const Images& images, const Axis& high, const Axis& wide) {
  return images.channels == 1 && is_whole(high) && is_whole(wide);
}

template <class T, int kWide>
int launch_spread_of(const AverageGradient<T>& op, const Images& images, const Axis& high,
                     const Axis& wide, const polyops_context* ctx) {
  const int rows = (high.in + high.size - 1) / high.size;
  const Grid grid = make_grid(images, 1, wide.in / kWide, rows, 1);
  const auto launch = [&](auto kernel) {
    return gpu::launch(kernel, grid.shape(), ctx, op, grid, rows, high, wide);
  };
  if constexpr (kWide > 1) {
    const bool aligned = reinterpret_cast<uintptr_t>(op.grad_dst) % 16 == 0;
    if (wide.size == 2 && aligned) return launch(pool2d_spread<T, kWide, Under::kTwos>);
    if (wide.size == 1 && aligned) return launch(pool2d_spread<T, kWide, Under::kEach>);
    if (wide.size % kWide == 0) return launch(pool2d_spread<T, kWide, Under::kOne>);
  }
  return launch(pool2d_spread<T, kWide, Under::kAny>);
}

template <class T>
int launch_spread(const AverageGradient<T>& op, const Images& images, const Axis& high,
                  const Axis& wide, const polyops_context* ctx) {
  if (reinterpret_cast<uintptr_t>(op.grad_src) % 16 == 0) {
    if constexpr (kPack<T> == 8) {
      if (wide.in % 8 == 0) return launch_spread_of<T, 8>(op, images, high, wide, ctx);
    }
    if (wide.in % 4 == 0) return launch_spread_of<T, 4>(op, images, high, wide, ctx);
    if (wide.in % 2 == 0) return launch_spread_of<T, 2>(op, images, high, wide, ctx);
  }
  return launch_spread_of<T, 1>(op, images, high, wide, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_SPREAD_H_
