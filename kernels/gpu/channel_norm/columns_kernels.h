// Moments, sums and lines of channels that lie next to each other. Bound: memory, each tensor once.
#ifndef POLYOPS_GPU_CHANNEL_NORM_COLUMNS_KERNELS_H_
#define POLYOPS_GPU_CHANNEL_NORM_COLUMNS_KERNELS_H_

#include "columns.h"

namespace polyops::gpu {
namespace {

// Of the first row, one in the middle and the last.
template <class T, int kWidth>
GPU_DEVICE void pivots_of(const T* src, const Columns& of, int32_t column, float (&pivot)[kWidth]) {
  const T* p = src + column;
  const auto first = Held<T, kWidth>::load(p);
  const auto middle = Held<T, kWidth>::load(p + int64_t{of.rows / 2} * of.channels);
  const auto last = Held<T, kWidth>::load(p + int64_t{of.rows - 1} * of.channels);
#pragma unroll
  for (int j = 0; j < kWidth; ++j) pivot[j] = median(first[j], middle[j], last[j]);
}

// Of the columns of a thread: deviations from the pivots.
template <int kWidth>
struct ColumnWelford {
  float pivot[kWidth], mean[kWidth], square[kWidth], count;

  // As Welford::add_batch() of each column.
  template <int kRows, class T>
  GPU_DEVICE void add(const Held<T, kWidth> (&x)[kRows]) {
    count += kRows;
    const float inverse = reciprocal_fast(count);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      float deviations = 0, squares = 0;
#pragma unroll
      for (int k = 0; k < kRows; ++k) {
        const float d = (x[k][j] - pivot[j]) - mean[j];
        deviations += d;
        squares = fmaf(d, d, squares);
      }
      const float shift = deviations * inverse;
      mean[j] += shift;
      square[j] += fmaf(-deviations, shift, squares);
    }
  }
};

constexpr int kColumnMoments = 3;

// Of the block's columns, [chunks][mean - pivot, squares, count][channels].
template <class T, int kWidth>
GPU_DEVICE void store_column_moments(const Columns& of, const ColumnShare<kWidth>& share,
                                     const ColumnWelford<kWidth>& w, float* shared,
                                     float* moments) {
  float x[kWidth][kColumnMoments];
#pragma unroll
  for (int j = 0; j < kWidth; ++j) x[j][0] = w.mean[j], x[j][1] = w.square[j], x[j][2] = w.count;
  const auto merge = [](float(&a)[kColumnMoments], const float(&b)[kColumnMoments]) {
    const Welford both = combined({a[0], a[1], a[2]}, {b[0], b[1], b[2]});
    a[0] = both.mean + both.low, a[1] = both.square, a[2] = both.count;
  };
  combine_columns<kColumnMoments, kWidth>(
      of, x, shared, merge, [&](int at, const float(&all)[kColumnMoments]) {
        const int32_t column = share.tile * of.across * kWidth + at;
        if (column >= of.channels) return;
        float* out = moments + int64_t{share.chunk} * kColumnMoments * of.channels + column;
#pragma unroll
        for (int v = 0; v < kColumnMoments; ++v) out[int64_t{v} * of.channels] = all[v];
      });
}

// moments: see store_column_moments(); pivots: [channels].
template <class T, int kWidth>
GPU_KERNEL(kRunThreads, column_blocks(1))
column_moments(const T* src, Columns of, float* moments, float* pivots) {
  GPU_SHARED(float, shared, (kColumnShared<kColumnMoments, kWidth>));
  const ColumnShare<kWidth> share(of, block_id());
  ColumnWelford<kWidth> w = {};
  if (share.row < share.end) {
    pivots_of(src, of, share.column, w.pivot);
    const auto first = Held<T, kWidth>::load(src + int64_t{share.row} * of.channels + share.column);
#pragma unroll
    for (int j = 0; j < kWidth; ++j) w.mean[j] = first[j] - w.pivot[j];
  }
  if (share.ours && share.chunk == 0 && thread_id() < of.across) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) pivots[share.column + j] = w.pivot[j];
  }
  const T* const in[1] = {src};
  for_each_batch<kColumnRows, false>(of, share, in,
                                     [&](int64_t, int64_t, const auto& x) { w.add(x[0]); });
  store_column_moments<T, kWidth>(of, share, w, shared, moments);
}

// Of a channel, in a wave, each lane of which gets the same bits: of what the block's threads have made
// of column_moments(). shared: [mean, squares, count][parts][kSumColumns].
GPU_DEVICE Welford moments_of_column(const float* shared, int column, float inv_n) {
  const int parts = block_threads() / kSumColumns, lane = thread_id() % wave_size();
  const float *squares = shared + block_threads(), *counts = squares + block_threads();
  float center[1] = {};
  for (int i = lane; i < parts; i += wave_size()) {
    const int at = i * kSumColumns + column;
    center[0] = fmaf(shared[at], counts[at] * inv_n, center[0]);
  }
  sum_lanes(center, wave_size());
  float sums[3] = {};
  for (int i = lane; i < parts; i += wave_size()) {
    const int at = i * kSumColumns + column;
    const float d = shared[at] - center[0], count = counts[at];
    sums[0] = fmaf(d, count, sums[0]);
    sums[1] += fmaf(d * count, d, squares[at]);
    sums[2] += count;
  }
  sum_lanes(sums, wave_size());
  return moved(center[0], sums[0], sums[1], sums[2]);
}

// Of column c, of the chunks first, first + parts, ...
GPU_DEVICE Welford moments_of_chunks(const float* moments, int32_t c, int32_t channels,
                                     int32_t chunks, int32_t first, int parts) {
  if (first >= chunks) return {};
  const float* from = moments + int64_t{first} * kColumnMoments * channels + c;
  const int64_t step = int64_t{parts} * kColumnMoments * channels;
  const float center = from[0];
  float deviations = 0, squares = 0, count = 0;
#pragma unroll 4
  for (int32_t chunk = first; chunk < chunks; chunk += parts) {
    const float n = from[int64_t{2} * channels], d = from[0] - center;
    deviations = fmaf(d, n, deviations);
    squares += fmaf(d * n, d, from[channels]);
    count += n;
    from += step;
  }
  return moved(center, deviations, squares, count);
}

// Of the columns of a thread: sums of grad (src - mean) and of grad.
template <int kWidth>
struct ColumnProducts {
  float mean[kWidth], x[kWidth][2];

  template <class T>
  GPU_DEVICE void load_means(const Statistics& statistics, int32_t column) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) mean[j] = load_value<T>(statistics.mean, column + j);
  }
  template <int kRows, class T>
  GPU_DEVICE void add(const Held<T, kWidth> (&batch)[2][kRows]) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      float product = 0, sum = 0;
#pragma unroll
      for (int k = 0; k < kRows; ++k) {
        const float g = batch[0][k][j];
        product = fmaf(g, batch[1][k][j] - mean[j], product);
        sum += g;
      }
      x[j][0] += product;
      x[j][1] += sum;
    }
  }
};

// Of the block's columns, as slice_sums() leaves them, [chunks][weight, bias][channels].
template <class T, int kWidth>
GPU_DEVICE void store_column_products(const Columns& of, const ColumnShare<kWidth>& share,
                                      ColumnProducts<kWidth>& w, const Statistics& statistics,
                                      float* shared, float* sums) {
  const auto merge = [](float(&a)[2], const float(&b)[2]) {
    a[0] += b[0];
    a[1] += b[1];
  };
  combine_columns<2, kWidth>(of, w.x, shared, merge, [&](int at, const float(&all)[2]) {
    const int32_t column = share.tile * of.across * kWidth + at;
    if (column >= of.channels) return;
    float* out = sums + int64_t{share.chunk} * 2 * of.channels + column;
    out[0] = all[0] * rstd_of<T>(statistics, column);
    out[of.channels] = all[1];
  });
}

template <class T, int kWidth>
GPU_KERNEL(kRunThreads, column_blocks(2))
column_gradient_sums(const T* grad, const T* src, Statistics statistics, Columns of, float* sums) {
  GPU_SHARED(float, shared, (kColumnShared<2, kWidth>));
  const ColumnShare<kWidth> share(of, block_id());
  ColumnProducts<kWidth> w = {};
  if (share.ours) w.template load_means<T>(statistics, share.column);
  const T* const in[2] = {grad, src};
  for_each_batch<kColumnRows, false>(of, share, in,
                                     [&](int64_t, int64_t, const auto& x) { w.add(x); });
  store_column_products<T, kWidth>(of, share, w, statistics, shared, sums);
}

// The lines of a thread's columns, which the block has made together, a thread a column: each field
// of all columns, then the next one, in `shared`.
template <int kWidth, class F, class Lines>
GPU_DEVICE void share_lines(const Columns& of, const ColumnShare<kWidth>& share, const Lines& line,
                            float* shared, F (&f)[kWidth]) {
  constexpr int kFields = sizeof(F) / sizeof(float);
  const int32_t columns = of.across * kWidth, first = share.tile * columns;
  for (int32_t at = thread_id(); at < columns && first + at < of.channels; at += block_threads()) {
    const F one = line(first + at);
#pragma unroll
    for (int v = 0; v < kFields; ++v) {
      shared[v * columns + at] = reinterpret_cast<const float*>(&one)[v];
    }
  }
  barrier();
  if (!share.ours) return;
#pragma unroll
  for (int v = 0; v < kFields; ++v) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      reinterpret_cast<float*>(&f[j])[v] = shared[v * columns + share.column - first + j];
    }
  }
}

// Rows of results, the first one's to `out`, `stride` elements apart.
template <class F, class T, int kInputs, int kWidth, int kRows>
GPU_DEVICE void map_batch(const F (&f)[kWidth], T* out, int64_t stride,
                          const Held<T, kWidth> (&batch)[kInputs][kRows]) {
#pragma unroll
  for (int k = 0; k < kRows; ++k) {
    float y[kWidth];
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      Operands<kInputs> operands;
#pragma unroll
      for (int i = 0; i < kInputs; ++i) operands.x[i] = batch[i][k][j];
      y[j] = f[j](operands);
    }
    store_columns(out + k * stride, y);
  }
}

// What a kernel stores besides; of lines that have something, another one.
template <class Lines>
GPU_DEVICE void keep_moments(const Lines&) {}

// Each thread's last rows first, which an earlier pass may have left in a cache.
template <class T, int kInputs, int kWidth, class Lines>
GPU_KERNEL(kRunThreads, column_blocks(kInputs))
map_columns(RunPointers<T, kInputs> p, Columns of, Lines line) {
  using F = decltype(line(0));
  GPU_SHARED(float, shared, sizeof(F) / sizeof(float) * kMostAcross * kWidth);
  const ColumnShare<kWidth> share(of, block_id());
  keep_moments(line);
  F f[kWidth];
  share_lines(of, share, line, shared, f);
  for_each_batch<kColumnRows, true>(of, share, p.in,
                                    [&](int64_t at, int64_t stride, const auto& batch) {
                                      map_batch(f, p.out + at, stride, batch);
                                    });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CHANNEL_NORM_COLUMNS_KERNELS_H_
