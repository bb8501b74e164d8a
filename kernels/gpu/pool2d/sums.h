// The gradient of averages whose windows overlap, 3 high at strides of 1 and 2, 5 at 1, and of 2
// at 2. A thread has a square of kStride elements, whose windows are the same but for constants,
// and goes down its column: it sums a row of windows once, for every square that has it. Bound:
// memory, the gradients once each.
#ifndef POLYOPS_GPU_POOL2D_SUMS_H_
#define POLYOPS_GPU_POOL2D_SUMS_H_

#include <cstdint>

#include "average.h"
#include "axis.h"
#include "backward.h"
#include "gpu.h"
#include "layout.h"
#include "stage.h"
#include "tap.h"

namespace polyops::gpu {
namespace {

// A row of windows, as a thread's squares have it: per column of the square.
template <int kWide, int kStride>
struct RowSums {
  float weight = 0;
  float sums[kStride][kWide] = {};
};

// line: the gradients of row Windows::first(begin) from the image's first column on, of this
// thread's channels; out: the square's first element. Two elements of a row are one access if
// `paired`.
template <class T, int kWide, int kSize, int kStride, int kShift>
GPU_DEVICE void sum_column(const T* line, T* out, float share, int channels, int square_column,
                           int begin, int end, bool paired, const Axis& high, const Axis& wide) {
  using Windows = SquareWindows<kSize, kStride, kShift>;
  constexpr int kWindows = Windows::kCount;
  const int column = Windows::first(square_column, wide), left = square_column * kStride;
  int row = Windows::first(begin, high);
  bool inside[kWindows];
  float by[kWindows];
#pragma unroll
  for (int c = 0; c < kWindows; ++c) {
    inside[c] = column + c >= 0 && column + c < wide.out;
    by[c] = inside[c] ? share * wide.weight(column + c) : 0;
  }
  line += column * channels;

  RowSums<kWide, kStride> rows[kWindows];
  const auto read = [&](RowSums<kWide, kStride>* sums) {
    *sums = {};
    const bool there = row >= 0 && row < high.out;
    Tap<T, kWide> taps[kWindows];
#pragma unroll
    for (int c = 0; c < kWindows; ++c) {
      taps[c].fill(0);
      if (there && inside[c]) taps[c].load(line + c * channels);
    }
    if (there) sums->weight = high.weight(row);
#pragma unroll
    for (int c = 0; c < kWindows; ++c) {
      float grad[kWide];
      taps[c].get(grad);
#pragma unroll
      for (int j = 0; j < kStride; ++j) {
        if (!Windows::has(c, j)) continue;
#pragma unroll
        for (int i = 0; i < kWide; ++i) {
          sums->sums[j][i] = fmaf(grad[i], by[c], sums->sums[j][i]);
        }
      }
    }
    line += wide.out * channels;
    ++row;
  };
#pragma unroll
  for (int r = 0; r < kWindows - 1; ++r) read(&rows[r]);
#pragma unroll 2
  for (int square = begin; square < end; ++square) {
    read(&rows[kWindows - 1]);
#pragma unroll
    for (int i = 0; i < kStride; ++i) {
      if (i > 0 && square * kStride + i >= high.in) break;
      float x[kStride][kWide] = {};
#pragma unroll
      for (int r = 0; r < kWindows; ++r) {
        if (!Windows::has(r, i)) continue;
#pragma unroll
        for (int j = 0; j < kStride; ++j) {
#pragma unroll
          for (int k = 0; k < kWide; ++k) {
            x[j][k] = fmaf(rows[r].sums[j][k], rows[r].weight, x[j][k]);
          }
        }
      }
      T* const here = out;
      out += wide.in * channels;
      if constexpr (kWide == 1 && kStride == 2) {
        if (paired) {
          const float pair[2] = {x[0][0], x[1][0]};
          Tap<T, 2>::store(here, pair);
          continue;
        }
      }
#pragma unroll
      for (int j = 0; j < kStride; ++j) {
        if (j == 0 || left + j < wide.in) Tap<T, kWide>::store(here + j * channels, x[j]);
      }
    }
#pragma unroll
    for (int r = 0; r < kWindows - 1; ++r) rows[r] = rows[r + 1];
  }
}

// Of packs of channels, or of one of contiguous planes.
template <class T, int kWide, int kSize, int kStride, int kShift>
GPU_KERNEL(kPoolThreads)
pool2d_sums(AverageGradient<T> op, Grid grid, int all_channels, bool paired, Axis high, Axis wide) {
  await_earlier();
  const int channels = kWide == 1 ? 1 : all_channels;
  const Place at(grid, (high.in + kStride - 1) / kStride);
  if (!at.inside) return;
  const int row = SquareWindows<kSize, kStride, kShift>::first(at.begin, high);
  const T* line = op.grad_dst + at.image * op.dst_image + at.group * kWide +
                  int64_t{row} * (wide.out * channels);
  T* out = op.grad_src + at.image * op.src_image + at.group * kWide +
           at.column * kStride * channels + int64_t{at.begin * kStride} * (wide.in * channels);
  sum_column<T, kWide, kSize, kStride, kShift>(line, out, op.share, channels, at.column, at.begin,
                                               at.end, paired, high, wide);
}

// The same of planes that a block has in shared memory.
template <class T, int kSize, int kStride, int kShift>
struct StagedSums {
  using Element = T;
  static constexpr bool kPlaces = false;
  const T* src;
  T* dst;
  float share;
  bool paired;
  Axis high, wide;

  GPU_DEVICE void column(const T* line, const StagedResults<T>& results, int column, int begin,
                         int end) const {
    sum_column<T, 1, kSize, kStride, kShift>(line, results.values + column * kStride, share, 1,
                                             column, begin, end, paired, high, wide);
  }
};

template <class T, int kWide, int kSize, int kStride, int kShift>
int launch_sums(const AverageGradient<T>& op, const Images& images, const Axis& high,
                const Axis& wide, const polyops_context* ctx) {
  using Windows = SquareWindows<kSize, kStride, kShift>;
  const int columns = (wide.in + kStride - 1) / kStride,
            squares = (high.in + kStride - 1) / kStride;
  const bool paired = goes_by_pairs(op.grad_src, wide);
  if constexpr (kWide == 1 && kStride > 1) {  // at stride 1 slide.h does it
    const Reach reach = {1, high.padding / kStride + Windows::kFirst, Windows::kCount, kStride};
    const Stage stage = make_stage(ctx, images.count, {high.out, wide.out, sizeof(T)},
                                   {high.in, wide.in, sizeof(T)}, columns, squares, reach);
    if (stage.slab_units > 0) {
      const StagedSums<T, kSize, kStride, kShift> work = {op.grad_dst, op.grad_src, op.share,
                                                          paired,      high,        wide};
      return launch_stage(work, stage, ctx);
    }
  }
  const Grid grid = make_grid(ctx, images, kWide, columns, squares, 1, Windows::kCount - 1);
  return gpu::launch(pool2d_sums<T, kWide, kSize, kStride, kShift>, grid.shape(), ctx, op, grid,
                     images.channels, paired, high, wide);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_SUMS_H_
