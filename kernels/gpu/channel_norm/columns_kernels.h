// Sums and lines of channels that lie next to each other. Bound: memory, each tensor once.
#ifndef POLYOPS_GPU_CHANNEL_NORM_COLUMNS_KERNELS_H_
#define POLYOPS_GPU_CHANNEL_NORM_COLUMNS_KERNELS_H_

#include "columns_moments.h"

namespace polyops::gpu {
namespace {

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
        const float d = batch[1][k][j] - mean[j];
        product = k == 0 ? g * d : fmaf(g, d, product);
        sum = k == 0 ? g : sum + g;
      }
      x[j][0] += product;
      x[j][1] += sum;
    }
  }
};

// Of the block's columns: store(column, sums).
template <int kWidth, class Store>
GPU_DEVICE void combine_products(const Columns& of, ColumnProducts<kWidth>& w, float* shared,
                                 Store store) {
  const auto merge = [](float(&a)[2], const float(&b)[2]) {
    a[0] += b[0];
    a[1] += b[1];
  };
  combine_columns(of, w.x, shared, merge, store);
}

// sums: as slice_sums() leaves them, [chunks][weight, bias][channels].
template <class T, int kWidth>
GPU_KERNEL(kRunThreads, column_blocks(2))
column_gradient_sums(const T* grad, const T* src, Statistics statistics, Columns of, float* sums) {
  await_earlier();
  GPU_SHARED(float, shared, (kColumnShared<2, kWidth>));
  const ColumnShare<kWidth> share(of, block_id());
  ColumnProducts<kWidth> w = {};
  if (share.ours) w.template load_means<T>(statistics, share.column);
  const T* const in[2] = {grad, src};
  for_each_batch<kColumnRows, false>(of, share, in,
                                     [&](int64_t, int64_t, const auto& x) { w.add(x); });
  combine_products(of, w, shared, [&](int at, const float(&all)[2]) {
    const int32_t column = share.tile * of.across * kWidth + at;
    if (column >= of.channels) return;
    float* out = sums + int64_t{share.chunk} * 2 * of.channels + column;
    out[0] = all[0] * rstd_of<T>(statistics, column);
    out[of.channels] = all[1];
  });
}

// A thread's lines, of those that the block has left in `shared`: each field of all columns, then
// the next one.
template <int kWidth, class F>
GPU_DEVICE void take_lines(const Columns& of, const float* shared, F (&f)[kWidth]) {
  const ColumnPlaces<kWidth> places(of);
#pragma unroll
  for (int v = 0; v < static_cast<int>(sizeof(F) / sizeof(float)); ++v) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      reinterpret_cast<float*>(&f[j])[v] =
          shared[v * places.size() + places.at(thread_id() & (of.across - 1), j)];
    }
  }
}

template <int kWidth, class F>
GPU_DEVICE void leave_line(const Columns& of, int32_t column, const F& line, float* shared) {
  const ColumnPlaces<kWidth> places(of);
#pragma unroll
  for (int v = 0; v < static_cast<int>(sizeof(F) / sizeof(float)); ++v) {
    shared[v * places.size() + places.of(column)] = reinterpret_cast<const float*>(&line)[v];
  }
}

// The lines of a thread's columns, which the block makes together, a thread a column.
template <int kWidth, class F, class Lines>
GPU_DEVICE void share_lines(const Columns& of, const ColumnShare<kWidth>& share, const Lines& line,
                            float* shared, F (&f)[kWidth]) {
  const int32_t columns = of.across * kWidth, first = share.tile * columns;
  for (int32_t at = thread_id(); at < columns && first + at < of.channels; at += block_threads()) {
    const F one = line(first + at);
    leave_line<kWidth>(of, at, one, shared);
  }
  barrier();
  if (share.ours) take_lines(of, shared, f);
}

// Rows of results, the first one's to `out`, `stride` elements apart; kOnce: leaving the caches to
// what is read.
template <bool kOnce, class F, class T, int kInputs, int kWidth, int kRows>
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
    store_columns<kOnce>(out + k * stride, y);
  }
}

// What a kernel stores besides; of lines that have something, another one.
template <class Lines>
GPU_DEVICE void keep_moments(const Lines&) {}

// Each thread's last rows first, which an earlier pass may have left in a cache.
template <class T, int kInputs, int kWidth, class Lines>
GPU_KERNEL(kRunThreads, column_blocks(kInputs))
map_columns(RunPointers<T, kInputs> p, Columns of, Lines line) {
  await_earlier();
  using F = decltype(line(0));
  GPU_SHARED(float, shared, sizeof(F) / sizeof(float) * ColumnPlaces<kWidth>::kMost);
  const ColumnShare<kWidth> share(of, block_id());
  keep_moments(line);
  F f[kWidth];
  share_lines(of, share, line, shared, f);
  for_each_batch<kColumnRows, true>(of, share, p.in,
                                    [&](int64_t at, int64_t stride, const auto& batch) {
                                      map_batch<false>(f, p.out + at, stride, batch);
                                    });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CHANNEL_NORM_COLUMNS_KERNELS_H_
