// Pools: a thread goes down a column of results. Bound: memory, the image once and its results.
// Windows overlap; who needs an element again finds it in L1, or has it: of the usual windows, 2 to
// 5 high at strides of 1 and 2, each row of taps is reduced once, and kept for the windows below.
// Any other window goes tap by tap.
//
// An op is a type with
//   using Element; template <int kWide> using Pool    what is reduced: begin() with one tap, add()
//                                                     those behind it; kAbsent changes nothing
//   const Element* src; int64_t src_image, dst_image  elements of an image
//   static constexpr bool kSlides                     slide.h does it at stride 1
//   of_column(column, wide)                           what store() wants of a column
//   store<kWide>(pool, at, first, of_column, row, high)    the result at that element of dst;
//                                                     first: the place of the first tap
#ifndef POLYOPS_GPU_POOL2D_FORWARD_H_
#define POLYOPS_GPU_POOL2D_FORWARD_H_

#include <cstdint>

#include "axis.h"
#include "gpu.h"
#include "layout.h"
#include "polyops/ops/pool2d.h"
#include "stage.h"
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
  await_earlier();
  using T = typename Op::Element;
  const Place at(grid, high.out);
  if (!at.inside) return;
  const T* src = op.src + at.image * op.src_image + at.group * kWide;
  const int left = wide.first_tap(at.column), right = wide.taps_end(at.column);
  const auto of_column = op.of_column(at.column, wide);
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
             top * wide.in + left, of_column, row, high);
  }
}

// A column of results, kBatch rows of it at a time. line: the first window's first row, from the
// image's first column on, of this thread's channels; result: where the first one goes in dst.
template <class Op, int kWide, int kSize, int kStride, int kBatch>
GPU_DEVICE void reduce_column(const Op& op, const typename Op::Element* line, int64_t result,
                              int channels, int column, int begin, int end, const Axis& high,
                              const Axis& wide) {
  using T = typename Op::Element;
  using Pool = typename Op::template Pool<kWide>;
  constexpr int kKept = kSize - kStride;  // rows that the next window has, too
  constexpr int kNew = kBatch * kStride;
  const int left = column * kStride - wide.padding;
  int top = begin * kStride - high.padding;
  const int needed = (end - 1) * kStride - high.padding + kSize;
  const int bottom = needed < high.in ? needed : high.in;
  const auto of_column = op.of_column(column, wide);
  line += left * channels;
  bool inside[kSize];
#pragma unroll
  for (int k = 0; k < kSize; ++k) inside[k] = left + k >= 0 && left + k < wide.in;

  Tap<T, kWide> taps[kNew][kSize];
  Pool rows[kKept + kNew];
  // Row h, which is the one below the last.
  const auto load = [&](int r, bool there) {
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
  const auto is_there = [&](int h) { return h >= 0 && h < bottom; };
#pragma unroll
  for (int r = 0; r < kKept; ++r) {
    load(r % kNew, is_there(top + r));
    reduce(r % kNew, top + r, &rows[r]);
  }
  for (int row = begin; row < end; row += kBatch, top += kNew) {
    const int next = top + kKept;
    if (next >= 0 && next + kNew <= bottom) {
#pragma unroll
      for (int r = 0; r < kNew; ++r) load(r, true);
    } else {
#pragma unroll
      for (int r = 0; r < kNew; ++r) load(r, is_there(next + r));
    }
#pragma unroll
    for (int r = 0; r < kNew; ++r) reduce(r, next + r, &rows[kKept + r]);
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      if (b > 0 && row + b >= end) break;
      Pool pool = rows[b * kStride];
#pragma unroll
      for (int r = 1; r < kSize; ++r) pool.merge(rows[b * kStride + r]);
      const int first_h = top + b * kStride < 0 ? 0 : top + b * kStride;
      const int first_w = left < 0 ? 0 : left;
      op.store(pool, result, first_h * wide.in + first_w, of_column, row + b, high);
      result += wide.out * channels;
    }
#pragma unroll
    for (int r = 0; r < kKept; ++r) rows[r] = rows[kNew + r];
  }
}

// Windows kSize wide and high. Of one channel of contiguous planes, or of packs.
template <class Op, int kWide, int kSize, int kStride>
GPU_KERNEL(kPoolThreads)
pool2d_rows(Op op, Grid grid, int all_channels, Axis high, Axis wide) {
  await_earlier();
  const int channels = kWide == 1 ? 1 : all_channels;
  const Place at(grid, high.out);
  if (!at.inside) return;
  const int top = at.begin * kStride - high.padding;
  reduce_column<Op, kWide, kSize, kStride, kRowsBatch<kWide, kStride>>(
      op, op.src + at.image * op.src_image + at.group * kWide + int64_t{top} * (wide.in * channels),
      results_at<kWide>(op, at, channels) + int64_t{at.begin} * (wide.out * channels), channels,
      at.column, at.begin, at.end, high, wide);
}

// The same of planes that a block has in shared memory.
template <class Op, int kSize, int kStride>
struct StagedRows {
  using Element = typename Op::Element;
  static constexpr bool kPlaces = Op::kPlaces;
  const Element* src;
  Element* dst;
  Op op;
  Axis high, wide;

  GPU_DEVICE int64_t* places() const { return op.indices; }
  GPU_DEVICE void column(const Element* line, const StagedResults<Element>& results, int column,
                         int begin, int end) const {
    const auto staged = op.staged(results);
    reduce_column<decltype(op.staged(results)), 1, kSize, kStride, kStride == 1 ? 2 : 1>(
        staged, line, column, 1, column, begin, end, high, wide);
  }
};

// Windows kSize wide and high at a stride.
inline bool is_square(const polyops_pool2d_window& w, int64_t size, int64_t stride) {
  bool square = true;
  for (int d = 0; d < 2; ++d) {
    square = square && w.size[d] == size && w.stride[d] == stride && w.dilation[d] == 1;
  }
  return square;
}

// Whether it was launched, and what that returned.
template <class Op, int kSize, int kStride>
bool launch_staged_rows(const Op& op, const Images& images, const Axis& high, const Axis& wide,
                        const polyops_context* ctx, int* status) {
  // Even rows of float32 are as fast straight from memory.
  if (kStride > 1 && sizeof(typename Op::Element) == 4 && wide.in % 8 == 0) return false;
  constexpr int64_t kBytes = sizeof(typename Op::Element);
  const Stage stage =
      make_stage(ctx, images.count, {high.in, wide.in, kBytes},
                 {high.out, wide.out, Op::kPlaces ? kBytes + int64_t{sizeof(int)} : kBytes},
                 wide.out, high.out, {kStride, -high.padding, kSize, 1});
  if (stage.slab_units == 0) return false;
  *status =
      launch_stage(StagedRows<Op, kSize, kStride>{op.src, op.dst, op, high, wide}, stage, ctx);
  return true;
}

template <class Op, int kWide>
int launch_windows(const Op& op, const polyops_pool2d_window& window, const Images& images,
                   const Axis& high, const Axis& wide, const polyops_context* ctx) {
  const auto launch = [&](auto kernel, int batch, int kept) {
    const Grid grid = make_grid(ctx, images, kWide, wide.out, high.out, batch, kept);
    return gpu::launch(kernel, grid.shape(), ctx, op, grid, images.channels, high, wide);
  };
  int status = POLYOPS_OK;
  // Whether the window is one of those that rows are made for.
  const auto rows = [&]<int kSize, int kStride>() {
    if (!is_square(window, kSize, kStride)) return false;
    if constexpr (kWide == 1 && !(Op::kSlides && kStride == 1)) {
      if (launch_staged_rows<Op, kSize, kStride>(op, images, high, wide, ctx, &status)) return true;
    }
    status =
        launch(pool2d_rows<Op, kWide, kSize, kStride>, kRowsBatch<kWide, kStride>, kSize - kStride);
    return true;
  };
  if (kWide > 1 || images.channels == 1) {
    if (rows.template operator()<3, 2>() || rows.template operator()<2, 2>() ||
        rows.template operator()<3, 1>()) {
      return status;
    }
    if constexpr (kWide <= 2) {
      if (rows.template operator()<5, 1>()) return status;
    }
  }
  return launch(pool2d_taps<Op, kWide, Axis>, 1, 0);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_FORWARD_H_
