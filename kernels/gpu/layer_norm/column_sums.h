// The workspace of the gradients, [blocks][parameters][stride], into grad_weight and grad_bias:
// after the rows, when nothing else runs, so latency is all there is: its blocks are launched when
// all of the rows' run. A thread takes four columns of some rows, all of whose loads are issued
// before the first is used; a block few columns, so that many blocks share them. Of long rows there
// are few sums of many columns: each thread has all of four of these, and meets nobody.
#ifndef POLYOPS_GPU_LAYER_NORM_COLUMN_SUMS_H_
#define POLYOPS_GPU_LAYER_NORM_COLUMN_SUMS_H_

#include "layout.h"
#include "store.h"

namespace polyops::gpu {
namespace {

constexpr int kSumThreads = 256;
constexpr int kSumBlocks = 4;       // registers for all loads of a thread at once
constexpr int kSumRows = 9;         // of a thread at a time
constexpr int kMostSumGroups = 16;  // of four columns, of a block
constexpr int kLeastSumGroups = 2;  // a sector's

// tiles: of a parameter, each of 4 << groups_log2 columns.
template <class Norm, class T>
GPU_KERNEL(kSumThreads, kSumBlocks)
column_sums(const float* sums, int64_t stride, int32_t blocks, int32_t tiles, int groups_log2,
            Values grad_weight, Values grad_bias, int32_t n) {
  await_earlier();
  GPU_SHARED(Words, shared, kSumThreads / 32 * kMostSumGroups);
  const int groups = 1 << groups_log2, parts = kSumThreads >> groups_log2;
  const auto block = static_cast<int32_t>(block_id());
  const bool is_bias = block >= tiles;
  const Values out = is_bias ? grad_bias : grad_weight;
  const int32_t first = (is_bias ? block - tiles : block) << (groups_log2 + 2);  // column
  const int in_block = thread_id() & (groups - 1);
  const int32_t column = first + in_block * 4;
  const int64_t row = Norm::kParameters * stride;
  const int part = thread_id() >> groups_log2;
  const float* from = sums + (is_bias ? stride : 0) + column + part * row;
  if (out.data == nullptr) return;
  float sum[4] = {};
  for (int b = part; b < blocks && column < n; b += kSumRows * parts) {
    Words x[kSumRows];
#pragma unroll
    for (int i = 0; i < kSumRows; ++i) {
      x[i] = {};
      if (b + i * parts < blocks) x[i] = load_words(from);
      from += parts * row;
    }
#pragma unroll
    for (int i = 0; i < kSumRows; ++i) {
#pragma unroll
      for (int j = 0; j < 4; ++j) sum[j] += float_of_bits(x[i].w[j]);
    }
  }
  for (int mask = groups; mask < wave_size(); mask *= 2) {
#pragma unroll
    for (int j = 0; j < 4; ++j) sum[j] += shuffle_xor(sum[j], mask);
  }
  const int wave = thread_id() / wave_size(), waves = kSumThreads / wave_size();
  if (thread_id() % wave_size() < groups) {
    shared[wave * groups + in_block] = {
        {float_bits(sum[0]), float_bits(sum[1]), float_bits(sum[2]), float_bits(sum[3])}};
  }
  barrier();
  const int32_t at = first + thread_id();
  if (thread_id() >= 4 * groups || at >= n) return;
  float all = 0;
  for (int w = 0; w < waves; ++w) {
    all += float_of_bits(shared[w * groups + thread_id() / 4].w[thread_id() % 4]);
  }
  store_value<T>(out, at, all);
}

constexpr int kWideSumThreads = 128;
constexpr int kWideSumBlocks = 4;   // registers for all loads of a thread at once
constexpr int kWideSumColumns = 4;  // 16 bytes of a thread
constexpr int kWideSumRows = 16;    // of a thread at a time

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
  for (int b = 0; b < blocks; b += kWideSumRows) {
    Words x[kWideSumRows];
#pragma unroll
    for (int i = 0; i < kWideSumRows; ++i) {
      x[i] = {};
      if (b + i < blocks) x[i] = load_words(from);
      from += kParameters * stride;
    }
#pragma unroll
    for (int i = 0; i < kWideSumRows; ++i) {
#pragma unroll
      for (int j = 0; j < kWideSumColumns; ++j) sum[j] += float_of_bits(x[i].w[j]);
    }
  }
  store_sums<T>(out, column, n, sum);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_COLUMN_SUMS_H_
