// Pools: a thread goes down a column of results. Bound: memory, the image once and its results.
// Windows overlap; who needs an element again finds it in L1, or has it: of the usual windows, 2 to 5
// high at strides of 1 and 2, each row of taps is reduced once, and kept for the windows below. Any other
// window goes tap by tap.
//
// An op is a type with
//   using Element; template <int kWide> using Pool    what is reduced: begin() with one tap, add()
//                                                     those behind it; kAbsent changes nothing
//   const Element* src; int64_t src_image, dst_image  elements of an image
//   store<kWide>(pool, at, first, rows, columns)      the result at that element of dst
#ifndef POLYOPS_GPU_POOL2D_FORWARD_H_
#define POLYOPS_GPU_POOL2D_FORWARD_H_

#include <cstdint>

#include "axis.h"
#include "gpu.h"
#include "layout.h"
#include "tap.h"

namespace polyops::gpu {
namespace {

// Rows of results whose taps are loaded at once: some 12 loads in flight.
template <int kWide, int kStride>
inline constexpr int kRowsBatch = kWide > 2 ? 1 : 4 / kStride;

// Where a thread's column of results begins in dst.
template <int kWide, class Op>
GPU_DEVICE int64_t results_at(const Op& op, const Place& at, int channels) {
  return at.image * op.dst_image + at.column * channels + at.group * kWide;
}

template <class Op, int kWide, class AnyAxis>
GPU_KERNEL(kPoolThreads)
pool2d_taps(Op op, Grid grid, int channels, AnyAxis high, AnyAxis wide) {
  using T = typename Op::Element;
  const Place at(grid, high.out);
  if (!at.inside) return;
  const T* src = op.src + at.image * op.src_image + at.group * kWide;
  const int left = wide.first_tap(at.column), right = wide.taps_end(at.column);
  for (int row = at.begin; row < at.end; ++row) {
    const int top = high.first_tap(row), bottom = high.taps_end(row);
    typename Op::template Pool<kWide> pool;
    for (int h = top; h < bottom; h += high.step()) {
      for (int w = left; w < right; w += wide.step()) {
        const int place = h * wide.in + w;
        Tap<T, kWide> tap;
        float x[kWide];
        tap.load(src + place * channels);
        tap.get(x);
        pool.add(x, place);
      }
    }
    op.store(pool, results_at<kWide>(op, at, channels) + int64_t{row} * (wide.out * channels),
             top * wide.in + left, row, at.column, high, wide);
  }
}

// Windows kSize wide and high. Of one channel of contiguous planes, or of packs.
template <class Op, int kWide, int kSize, int kStride>
GPU_KERNEL(kPoolThreads)
pool2d_rows(Op op, Grid grid, int all_channels, Axis high, Axis wide) {
  using T = typename Op::Element;
  using Pool = typename Op::template Pool<kWide>;
  constexpr int kKept = kSize - kStride;  // rows that the next window has, too
  constexpr int kNew = kRowsBatch<kWide, kStride> * kStride;
  const int channels = kWide == 1 ? 1 : all_channels;
  const Place at(grid, high.out);
  if (!at.inside) return;
  const int left = at.column * kStride - wide.padding;
  int top = at.begin * kStride - high.padding;
  const T* line = op.src + at.image * op.src_image + at.group * kWide + left * channels +
                  int64_t{top} * (wide.in * channels);
  int64_t result = results_at<kWide>(op, at, channels) + int64_t{at.begin} * (wide.out * channels);
  bool inside[kSize];
#pragma unroll
  for (int k = 0; k < kSize; ++k) inside[k] = left + k >= 0 && left + k < wide.in;

  Tap<T, kWide> taps[kNew][kSize];
  Pool rows[kKept + kNew];
  // Row h, which is the one below the last.
  const auto load = [&](int r, int h) {
    const bool there = h >= 0 && h < high.in;
#pragma unroll
    for (int k = 0; k < kSize; ++k) {
      taps[r][k].fill(Pool::kAbsent);
      if (there && inside[k]) taps[r][k].load(line + k * channels);
    }
    line += wide.in * channels;
  };
  const auto reduce = [&](int r, int h, Pool* row) {
#pragma unroll
    for (int k = 0; k < kSize; ++k) {
      float x[kWide];
      taps[r][k].get(x);
      const int place = h * wide.in + left + k;
      if (k == 0) {
        row->begin(x, place);
      } else {
        row->add(x, place);
      }
    }
  };
#pragma unroll
  for (int r = 0; r < kKept; ++r) load(r % kNew, top + r), reduce(r % kNew, top + r, &rows[r]);
  for (int row = at.begin; row < at.end; row += kNew / kStride, top += kNew) {
#pragma unroll
    for (int r = 0; r < kNew; ++r) load(r, top + kKept + r);
#pragma unroll
    for (int r = 0; r < kNew; ++r) reduce(r, top + kKept + r, &rows[kKept + r]);
#pragma unroll
    for (int b = 0; b < kNew / kStride; ++b) {
      if (row + b >= at.end) break;
      Pool pool = rows[b * kStride];
#pragma unroll
      for (int r = 1; r < kSize; ++r) pool.merge(rows[b * kStride + r]);
      const int first_h = top + b * kStride < 0 ? 0 : top + b * kStride;
      const int first_w = left < 0 ? 0 : left;
      op.store(pool, result, first_h * wide.in + first_w, row + b, at.column, high, wide);
      result += wide.out * channels;
    }
#pragma unroll
    for (int r = 0; r < kKept; ++r) rows[r] = rows[kNew + r];
  }
}

// Windows kSize wide and high at a stride.
inline bool is_square(const polyops_pool2d_window& w, int64_t size, int64_t stride) {
  bool square = true;
  for (int d = 0; d < 2; ++d) {
    square = square && w.size[d] == size && w.stride[d] == stride && w.dilation[d] == 1;
  }
  return square;
}

template <class Op, int kWide>
int launch_windows(const Op& op, const polyops_pool2d_window& window, const Images& images,
                   const Axis& high, const Axis& wide, const polyops_context* ctx) {
  const auto launch = [&](auto kernel, int batch) {
    const Grid grid = make_grid(ctx, images, kWide, wide.out, high.out, batch);
    return gpu::launch(kernel, grid.shape(), ctx, op, grid, images.channels, high, wide);
  };
  if (kWide > 1 || images.channels == 1) {
    if (is_square(window, 3, 2)) return launch(pool2d_rows<Op, kWide, 3, 2>, kRowsBatch<kWide, 2>);
    if (is_square(window, 2, 2)) return launch(pool2d_rows<Op, kWide, 2, 2>, kRowsBatch<kWide, 2>);
    if (is_square(window, 3, 1)) return launch(pool2d_rows<Op, kWide, 3, 1>, kRowsBatch<kWide, 1>);
    if constexpr (kWide <= 2) {
      if (is_square(window, 5, 1)) {
        return launch(pool2d_rows<Op, kWide, 5, 1>, kRowsBatch<kWide, 1>);
      }
    }
  }
  return launch(pool2d_taps<Op, kWide, Axis>, 1);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_FORWARD_H_
