// Any layout: a block per row, element by element, read twice.
#ifndef POLYOPS_GPU_SOFTMAX_STRIDED_H_
#define POLYOPS_GPU_SOFTMAX_STRIDED_H_

#include "layout.h"
#include "max_sum.h"
#include "reduce.h"

namespace polyops::gpu {
namespace {

constexpr int kStridedThreads = 512;

template <class T, int N>
struct StridedRows {
  const T* in[N - 1];
  T* out;
  Walk<N> walk;
  int64_t strides[N];
  int n;
};

template <class T>
GPU_KERNEL(kStridedThreads)
softmax_strided(StridedRows<T, 2> p) {
  GPU_SHARED(float, shared, 2 * kMostWaves);
  int64_t at[2];
  find_row(p.walk, static_cast<uint32_t>(block_id()), at);
  const T* src = p.in[0] + at[0];
  MaxSum sum;
  for (int i = thread_id(); i < p.n; i += block_threads()) {
    const float x = widen(src[i * p.strides[0]]);
    sum.raise_to(x);
    sum.sum += exp_from(x, shift_of(sum.max));
  }
  const Normalize<T> normalize(merge_block(sum, shared));
  for (int i = thread_id(); i < p.n; i += block_threads()) {
    p.out[at[1] + i * p.strides[1]] = narrow<T>(normalize(widen(src[i * p.strides[0]])));
  }
}

template <class T>
GPU_KERNEL(kStridedThreads)
softmax_backward_strided(StridedRows<T, 3> p) {
  GPU_SHARED(float, shared, kMostWaves);
  int64_t at[3];
  find_row(p.walk, static_cast<uint32_t>(block_id()), at);
  const T* grad = p.in[0] + at[0];
  const T* y = p.in[1] + at[1];
  float sum = 0;
  for (int i = thread_id(); i < p.n; i += block_threads()) {
    sum = fmaf(widen(grad[i * p.strides[0]]), widen(y[i * p.strides[1]]), sum);
  }
  sum = reduce_block(sum, shared, Sum());
  for (int i = thread_id(); i < p.n; i += block_threads()) {
    const float g = widen(grad[i * p.strides[0]]), v = widen(y[i * p.strides[1]]);
    p.out[at[2] + i * p.strides[2]] = narrow<T>(v * (g - sum));
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_SOFTMAX_STRIDED_H_
