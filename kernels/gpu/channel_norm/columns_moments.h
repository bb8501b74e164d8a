// Moments of channels that lie next to each other. Bound: memory, one read.
#ifndef POLYOPS_GPU_CHANNEL_NORM_COLUMNS_MOMENTS_H_
#define POLYOPS_GPU_CHANNEL_NORM_COLUMNS_MOMENTS_H_

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

  template <class T>
  GPU_DEVICE void begin(const Held<T, kWidth>& first) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) mean[j] = first[j] - pivot[j];
  }
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
        deviations = k == 0 ? d : deviations + d;
        squares = k == 0 ? d * d : fmaf(d, d, squares);
      }
      const float shift = deviations * inverse;
      mean[j] += shift;
      square[j] += fmaf(-deviations, shift, squares);
    }
  }
};

constexpr int kColumnMoments = 3;

// Of the block's columns: store(column, {mean - pivot, squares, count}).
template <int kWidth, class Store>
GPU_DEVICE void combine_moments(const Columns& of, const ColumnWelford<kWidth>& w, float* shared,
                                Store store) {
  float x[kWidth][kColumnMoments];
#pragma unroll
  for (int j = 0; j < kWidth; ++j) x[j][0] = w.mean[j], x[j][1] = w.square[j], x[j][2] = w.count;
  const auto merge = [](float(&a)[kColumnMoments], const float(&b)[kColumnMoments]) {
    const float count = a[2] + b[2], d = b[0] - a[0];
    const float share = count == 0 ? 0.0f : b[2] * reciprocal_fast(count);
    a[1] += fmaf(d * a[2], d * share, b[1]);
    a[0] = fmaf(d, share, a[0]);
    a[2] = count;
  };
  combine_columns(of, x, shared, merge, store);
}

// moments: [chunks][mean - pivot, squares, count][channels]; pivots: [channels].
template <class T, int kWidth>
GPU_KERNEL(kRunThreads, column_blocks(1))
column_moments(const T* src, Columns of, float* moments, float* pivots) {
  await_earlier();
  GPU_SHARED(float, shared, (kColumnShared<kColumnMoments, kWidth>));
  const ColumnShare<kWidth> share(of, block_id());
  ColumnWelford<kWidth> w = {};
  if (share.row < share.end) {
    pivots_of(src, of, share.column, w.pivot);
    w.begin(Held<T, kWidth>::load(src + int64_t{share.row} * of.channels + share.column));
  }
  if (share.ours && share.chunk == 0 && thread_id() < of.across) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) pivots[share.column + j] = w.pivot[j];
  }
  const T* const in[1] = {src};
  for_each_batch<kColumnRows, false>(of, share, in,
                                     [&](int64_t, int64_t, const auto& x) { w.add(x[0]); });
  combine_moments(of, w, shared, [&](int at, const float(&all)[kColumnMoments]) {
    const int32_t column = share.tile * of.across * kWidth + at;
    if (column >= of.channels) return;
    float* out = moments + int64_t{share.chunk} * kColumnMoments * of.channels + column;
#pragma unroll
    for (int v = 0; v < kColumnMoments; ++v) out[int64_t{v} * of.channels] = all[v];
  });
}

// Of a channel, in a wave, each lane of which gets the same bits: of what the block's threads have
// made of column_moments(). shared: [mean, squares, count][parts][kSumColumns].
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

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CHANNEL_NORM_COLUMNS_MOMENTS_H_
