// The workspace of the gradients, [blocks][parameters][stride], into grad_weight and grad_bias:
// after the rows, when nothing else runs, so latency is all there is: its blocks are launched when
// all of the rows' run. A block takes a few columns; its threads have parts of the rows, all of
// whose loads are issued before the first is used. Of long rows there are few sums of many columns:
// each thread has four of these, and meets nobody.
#ifndef POLYOPS_GPU_LAYER_NORM_COLUMN_SUMS_H_
#define POLYOPS_GPU_LAYER_NORM_COLUMN_SUMS_H_

#include "layout.h"
#include "store.h"

namespace polyops::gpu {
namespace {

constexpr int kMostSumColumns =
    32;  // of a block; a whole wave's, or as few of them as a sector has
constexpr int kLeastSumColumns = 8;
constexpr int kSumThreads = 1024;  // at most
constexpr int kSumRows = 12;       // of a thread at a time

// columns: of a block, a power of two.
template <class Norm, class T>
GPU_KERNEL(kSumThreads)
column_sums(const float* sums, int64_t stride, int32_t blocks, int columns, Values grad_weight,
            Values grad_bias, int32_t n) {
  GPU_SHARED(float, shared, kSumThreads);
  await_earlier();
  constexpr int kParameters = Norm::kParameters;
  const bool is_bias = block_id() % kParameters != 0;
  const Values out = is_bias ? grad_bias : grad_weight;
  if (out.data == nullptr) return;
  const int in_block = thread_id() & (columns - 1);
  const int64_t column = block_id() / kParameters * columns + in_block;
  const int parts = block_threads() / columns;
  const int64_t row = kParameters * stride;
  float sum = 0;
  if (column < n) {
    int b = thread_id() / columns;
    const float* from = sums + (is_bias ? stride : 0) + column + b * row;
    for (; b < blocks; b += kSumRows * parts) {
      float x[kSumRows];
#pragma unroll
      for (int i = 0; i < kSumRows; ++i) {
        x[i] = b + i * parts < blocks ? from[0] : 0.0f;
        from += parts * row;
      }
#pragma unroll
      for (int i = 0; i < kSumRows; ++i) sum += x[i];
    }
  }
  for (int mask = columns; mask < wave_size(); mask *= 2) sum += shuffle_xor(sum, mask);
  const int wave = thread_id() / wave_size(), waves = block_threads() / wave_size();
  if (thread_id() % wave_size() < columns) shared[wave * columns + in_block] = sum;
  barrier();
  if (thread_id() >= columns || column >= n) return;
  for (int i = 1; i < waves; ++i) sum += shared[i * columns + in_block];
  store_value<T>(out, column, sum);
}

constexpr int kWideSumThreads = 128;
constexpr int kWideSumBlocks = 4;   // registers for all loads of a thread at once
constexpr int kWideSumColumns = 4;  // 16 bytes of a thread

template <class T>
GPU_DEVICE void store_sums(const Values& out, int64_t at, int32_t n,
                           const float (&sum)[kWideSumColumns]) {
  const auto store_as = [&]<class U>() {
    U* const p = static_cast<U*>(out.data) + at;
    const bool aligned = reinterpret_cast<uintptr_t>(p) % kStoreAlignment<U, kWideSumColumns> == 0;
    if (aligned && n - at >= kWideSumColumns) return store_elements(p, sum);
#pragma unroll
    for (int j = 0; j < kWideSumColumns; ++j) {
      if (at + j < n) p[j] = narrow<U>(sum[j]);
    }
  };
  if (sizeof(T) == 4 || out.is_float) return store_as.template operator()<float>();
  store_as.template operator()<T>();
}

template <class Norm, class T>
GPU_KERNEL(kWideSumThreads, kWideSumBlocks)
wide_column_sums(const float* sums, int64_t stride, int32_t blocks, Values grad_weight,
                 Values grad_bias, int32_t n) {
  await_earlier();
  constexpr int kParameters = Norm::kParameters;
  const bool is_bias = block_id() % kParameters != 0;
  const Values out = is_bias ? grad_bias : grad_weight;
  const int64_t column =
      (block_id() / kParameters * block_threads() + thread_id()) * kWideSumColumns;
  if (out.data == nullptr || column >= n) return;
  const float* from = sums + (is_bias ? stride : 0) + column;
  float sum[kWideSumColumns] = {};
  for (int b = 0; b < blocks; b += kSumRows) {
    Words x[kSumRows];
#pragma unroll
    for (int i = 0; i < kSumRows; ++i) {
      x[i] = {};
      if (b + i < blocks) x[i] = load_words(from);
      from += kParameters * stride;
    }
#pragma unroll
    for (int i = 0; i < kSumRows; ++i) {
#pragma unroll
      for (int j = 0; j < kWideSumColumns; ++j) sum[j] += float_of_bits(x[i].w[j]);
    }
  }
  store_sums<T>(out, column, n, sum);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_COLUMN_SUMS_H_
