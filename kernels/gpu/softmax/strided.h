// Any layout: a block per row, element by element, read twice.
#ifndef POLYOPS_GPU_SOFTMAX_STRIDED_H_
#define POLYOPS_GPU_SOFTMAX_STRIDED_H_

#include "layout.h"
#include "max_sum.h"
#include "op.h"
#include "reduce.h"

namespace polyops::gpu {
namespace {

constexpr int kStridedThreads = 512;
// Of equal elements, as 16 bits have many, rounding goes one way: long sums are sums of short ones.
constexpr int kSummedApart = 16;

template <class T, class U, int N>
struct StridedRows {
  const T* in[N - 1];
  U* out;
  Walk<N> walk;
  int64_t strides[N];
  int n;
};

template <class Op, class T, class U>
GPU_KERNEL(kStridedThreads)
softmax_strided(StridedRows<T, U, 2> p) {
  GPU_SHARED(float, shared, 2 * kMostWaves);
  int64_t at[2];
  p.walk.offsets(static_cast<uint32_t>(block_id()), at);
  const T* src = p.in[0] + at[0];
  MaxSum sum;
  for (int begin = thread_id(); begin < p.n; begin += kSummedApart * block_threads()) {
    MaxSum part;
    for (int k = 0; k < kSummedApart; ++k) {
      const int i = begin + k * block_threads();
      if (i >= p.n) break;
      const float x = widen(src[i * p.strides[0]]);
      part.raise_to(x);
      part.sum += exp_from(x, shift_of(part.max));
    }
    sum = merge(sum, part);
  }
  const typename Op::template Normalize<U> normalize(merge_block(sum, shared));
  for (int i = thread_id(); i < p.n; i += block_threads()) {
    p.out[at[1] + i * p.strides[1]] = narrow<U>(normalize(widen(src[i * p.strides[0]])));
  }
}

template <class Op, class T, class U>
GPU_KERNEL(kStridedThreads)
softmax_backward_strided(StridedRows<T, U, 3> p) {
  GPU_SHARED(float, shared, kMostWaves);
  int64_t at[3];
  p.walk.offsets(static_cast<uint32_t>(block_id()), at);
  const T* grad = p.in[0] + at[0];
  const T* y = p.in[1] + at[1];
  float sum = 0;
  for (int i = thread_id(); i < p.n; i += block_threads()) {
    sum = Op::add_term(sum, widen(grad[i * p.strides[0]]), widen(y[i * p.strides[1]]));
  }
  sum = sum_of_block(sum, shared);
  for (int i = thread_id(); i < p.n; i += block_threads()) {
    const float g = widen(grad[i * p.strides[0]]), v = widen(y[i * p.strides[1]]);
    p.out[at[2] + i * p.strides[2]] = narrow<U>(Op::template gradient<U>(g, v, sum));
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_SOFTMAX_STRIDED_H_
