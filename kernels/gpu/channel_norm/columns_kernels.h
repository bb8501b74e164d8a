// Moments, sums and lines of channels that lie next to each other. Bound: memory, each tensor once.
#ifndef POLYOPS_GPU_CHANNEL_NORM_COLUMNS_KERNELS_H_
#define POLYOPS_GPU_CHANNEL_NORM_COLUMNS_KERNELS_H_

#include "columns.h"

namespace polyops::gpu {
namespace {

template <class T>
GPU_DEVICE float pivot_of_column(const T* src, const Columns& of, int32_t column) {
  const T* p = src + column;
  return median(widen(p[0]), widen(p[of.rows / 2 * of.channels]),
                widen(p[(of.rows - 1) * of.channels]));
}

// moments: as slice_moments() leaves them, a column being a slice.
template <class T, int kWidth>
GPU_KERNEL(kRunThreads)
column_moments(const T* src, Columns of, float* moments) {
  GPU_SHARED(float, shared, (kColumnShared<3, kWidth>));
  const ColumnShare<kWidth> share(of, block_id());
  float pivot[kWidth] = {}, x[kWidth][3] = {};  // mean, squares, count
  float count = 0;
  if (share.ours) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) pivot[j] = pivot_of_column(src, of, share.column + j);
  }
  const T* const in[1] = {src};
  for_each_batch<1>(of, share, in, [&](int64_t, int rows, const auto& batch) {
    count += static_cast<float>(rows);
    const float share_of_one = reciprocal_fast(count);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      if (x[j][2] == 0) x[j][0] = batch[0][0][j] - pivot[j];
      float deviations = 0, squares = 0;
#pragma unroll
      for (int k = 0; k < kColumnRows; ++k) {
        if (k >= rows) break;
        const float d = (batch[0][k][j] - pivot[j]) - x[j][0];
        deviations += d;
        squares = fmaf(d, d, squares);
      }
      const float shift = deviations * share_of_one;
      x[j][0] += shift;
      x[j][1] += fmaf(-deviations, shift, squares);
      x[j][2] = count;
    }
  });
  const auto merge = [](float(&a)[3], const float(&b)[3]) {
    const Welford w = combined({a[0], a[1], a[2]}, {b[0], b[1], b[2]});
    a[0] = w.mean + w.low, a[1] = w.square, a[2] = w.count;
  };
  combine_columns<3, kWidth>(of, x, shared, merge, [&](int at, const float(&all)[3]) {
    const int32_t column = static_cast<int32_t>(block_id() % of.tiles) * of.across * kWidth + at;
    if (column >= of.channels) return;
    store_chunk(moments, int64_t{column} * of.chunks + share.chunk, {all[0], all[1], all[2]},
                pivot_of_column(src, of, column));
  });
}

// sums: as slice_sums() leaves them, [chunks][weight, bias][channels].
template <class T, int kWidth>
GPU_KERNEL(kRunThreads)
column_gradient_sums(const T* grad, const T* src, Statistics statistics, Columns of, float* sums) {
  GPU_SHARED(float, shared, (kColumnShared<2, kWidth>));
  const ColumnShare<kWidth> share(of, block_id());
  float mean[kWidth] = {}, x[kWidth][2] = {};
  if (share.ours) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) mean[j] = load_value<T>(statistics.mean, share.column + j);
  }
  const T* const in[2] = {grad, src};
  for_each_batch<2>(of, share, in, [&](int64_t, int rows, const auto& batch) {
#pragma unroll
    for (int k = 0; k < kColumnRows / 2; ++k) {
      if (k >= rows) break;
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        x[j][0] = fmaf(batch[0][k][j], batch[1][k][j] - mean[j], x[j][0]);
        x[j][1] += batch[0][k][j];
      }
    }
  });
  const auto merge = [](float(&a)[2], const float(&b)[2]) {
    a[0] += b[0];
    a[1] += b[1];
  };
  combine_columns<2, kWidth>(of, x, shared, merge, [&](int at, const float(&all)[2]) {
    const int32_t column = static_cast<int32_t>(block_id() % of.tiles) * of.across * kWidth + at;
    if (column >= of.channels) return;
    float* out = sums + int64_t{share.chunk} * 2 * of.channels + column;
    out[0] = all[0] * rstd_of<T>(statistics, column);
    out[of.channels] = all[1];
  });
}

// The last rows first, which an earlier pass may have left in a cache.
template <class T, int kInputs, int kWidth, class Lines>
GPU_KERNEL(kRunThreads)
map_columns(RunPointers<T, kInputs> p, Columns of, Lines line) {
  const ColumnShare<kWidth> share(of, grid_blocks() - 1 - block_id());
  if (!share.ours) return;
  decltype(line(0)) f[kWidth];
#pragma unroll
  for (int j = 0; j < kWidth; ++j) f[j] = line(share.column + j);
  for_each_batch<kInputs>(of, share, p.in, [&](int64_t row, int rows, const auto& batch) {
#pragma unroll
    for (int k = 0; k < kColumnRows / kInputs; ++k) {
      if (k >= rows) break;
      float y[kWidth];
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        Operands<kInputs> operands;
#pragma unroll
        for (int i = 0; i < kInputs; ++i) operands.x[i] = batch[i][k][j];
        y[j] = f[j](operands);
      }
      store_columns(p.out + (row + int64_t{k} * share.step) * of.channels + share.column, y);
    }
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CHANNEL_NORM_COLUMNS_KERNELS_H_
