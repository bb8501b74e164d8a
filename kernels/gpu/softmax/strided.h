// Any layout, element by element. Where elements of a row are near each other, as every other one
// of a wider row's, a team of lanes has the row in registers, all its loads under way before the
// first is used; else a block per row reads it twice.
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
  await_earlier();
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

constexpr int kHeldThreads = 128;   // of blocks whose teams are parts of a wave
constexpr int kFewestHolders = 16;  // lanes, which have whole sectors of every other element
constexpr int kMostOfWave = 32;
constexpr int kHeld = 32;      // elements of a lane
constexpr int64_t kNear = 32;  // bytes

inline int holders_of(int n) {
  int lanes = kFewestHolders;
  while (lanes * kHeld < n) lanes *= 2;
  return lanes;
}

template <class T, class U>
bool is_held(const StridedRows<T, U, 2>& p) {
  return p.n <= kStridedThreads * kHeld && p.strides[0] * int64_t{sizeof(T)} <= kNear &&
         p.strides[1] * int64_t{sizeof(U)} <= kNear;
}

// A team of `lanes` takes a row: a part of a wave, or the block. kFull: each lane has kHeld.
template <class Op, class T, class U, bool kFull>
GPU_KERNEL(kStridedThreads)
softmax_held(StridedRows<T, U, 2> p, uint32_t rows, int lanes) {
  await_earlier();
  GPU_SHARED(float, shared, 2 * kMostWaves);
  const int lane = thread_id() & (lanes - 1);
  const uint32_t row =
      static_cast<uint32_t>(block_id()) * (block_threads() / lanes) + thread_id() / lanes;
  // A team without a row comes along for the shuffles.
  const int left = (row < rows ? p.n : 0) - lane;
  int64_t at[2];
  p.walk.offsets(row < rows ? row : rows - 1, at);
  T loaded[kHeld];
  const T* src = p.in[0] + at[0] + lane * p.strides[0];
  const int64_t src_step = lanes * p.strides[0], step = lanes * p.strides[1];
#pragma unroll
  for (int k = 0; k < kHeld; ++k, src += src_step) {
    if (kFull || k * lanes < left) loaded[k] = *src;
  }
  float x[kHeld], top = kMinusInf, parts[2] = {};
#pragma unroll
  for (int k = 0; k < kHeld; ++k) {
    x[k] = kFull || k * lanes < left ? widen(loaded[k]) : kMinusInf;
    top = fmaxf(top, x[k]);
  }
  MaxSum sum;
  sum.max = top;
#pragma unroll
  for (int k = 0; k < kHeld; ++k) parts[k % 2] += exp_from(x[k], shift_of(top));
  sum.sum = parts[0] + parts[1];
  sum = lanes <= kMostOfWave ? merge_lanes(sum, lanes) : merge_block(sum, shared);
  if (left <= 0) return;
  const typename Op::template Normalize<U> normalize(sum);
  U* out = p.out + at[1] + lane * p.strides[1];
#pragma unroll
  for (int k = 0; k < kHeld; ++k, out += step) {
    if (kFull || k * lanes < left) *out = narrow<U>(normalize(x[k]));
  }
}

template <class Op, class T, class U>
GPU_KERNEL(kStridedThreads)
softmax_backward_strided(StridedRows<T, U, 3> p) {
  await_earlier();
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
