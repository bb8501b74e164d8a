// softmax of one dense row. Short rows stay in registers between their two reductions; longer ones
// in cache, the exponentials kept in dst (float) or in scratch (bfloat16, so that they are rounded
// once); rows beyond the cache are read twice, the maximum running, and exponentiated twice.
#ifndef POLYOPS_CPU_SOFTMAX_ROW_H_
#define POLYOPS_CPU_SOFTMAX_ROW_H_

#include "simd/exp.h"
#include "simd/sweep.h"

namespace polyops::cpu {
namespace {

// Longest row kept in registers, in vectors: half of them, exp needs the others.
constexpr int kMaxRowRegisters = F32::kLanes == 1 ? 1 : F32::kRegisters / 2;
// Longest row whose exponentials are kept: with its source, about the second-level cache.
constexpr int64_t kMaxKeptRow = 1 << 16;

template <class V>
inline V minus_infinity() {
  return V::set1(-__builtin_inff());
}

template <class V>
inline V lowest() {
  constexpr bool kDouble = sizeof(typename V::Scalar) == sizeof(double);
  return V::set1(kDouble ? -__DBL_MAX__ : -__FLT_MAX__);
}

template <class V, int K, class E>
inline void softmax_row_in_registers(const E* src, E* dst, int64_t n) {
  constexpr int kTail = (K - 1) * V::kLanes;
  const Part tail{n - kTail};
  V x[K];
  constexpr int kPaired = (K - 1) / 2 * 2;  // vectors taken two by two
#pragma GCC unroll 8
  for (int k = 0; k < kPaired; k += 2) {
    const Pair<V> pair = load_pair(src + k * V::kLanes);
    x[k] = pair.first;
    x[k + 1] = pair.second;
  }
  if constexpr (kPaired < K - 1) x[kPaired] = load<V>(src + kPaired * V::kLanes);
  x[K - 1] = fill(load<V>(src + kTail, tail), minus_infinity<V>(), tail);
  V top = x[0];
#pragma GCC unroll 16
  for (int k = 1; k < K; ++k) top = max(top, x[k]);
  top = V::set1(reduce_max(top));
  V sum = V::zero();
#pragma GCC unroll 16
  for (int k = 0; k < K; ++k) {
    x[k] = exp_nonpositive(x[k] - top);
    sum = sum + x[k];
  }
  const V scale = V::set1(1 / reduce_add(sum));
#pragma GCC unroll 8
  for (int k = 0; k < kPaired; k += 2) {
    store_pair(dst + k * V::kLanes, Pair<V>{x[k] * scale, x[k + 1] * scale});
  }
  if constexpr (kPaired < K - 1) store(dst + kPaired * V::kLanes, x[kPaired] * scale);
  store(dst + kTail, x[K - 1] * scale, tail);
}

template <class V, class E>
inline V row_max(const E* src, int64_t n) {
  V top[kUnroll];
  clear(top, minus_infinity<V>());
  sweep<V, kUnroll>(n, [&](int64_t i, int u, auto lanes) {
    const auto x = fill(load<V>(src + i, lanes), minus_infinity<V>(), lanes);
    fold(top, u, x, [](V a, V b) { return max(a, b); });
  });
  return V::set1(highest(top));
}

// n <= kMaxKeptRow. kept, in the order of load_pair's of src: n values; may be dst, which may be
// src.
template <class V, class E>
inline void softmax_row_kept(const E* src, typename V::Scalar* kept, E* dst, int64_t n) {
  const V top = row_max<V>(src, n);
  typename V::Scalar whole = 0;
  for_each_block<V>(n, [&](int64_t begin, int64_t count) {
    V sum[kUnroll];
    clear(sum);
    fill_with<V, kUnroll>(kept + begin, count, [&](int64_t i, int u, auto lanes) {
      const auto e = exp_nonpositive(load<V>(src + begin + i, lanes) - top);
      add(sum, u, fill(e, V::zero(), lanes));
      return e;
    });
    whole += total(sum);
  });
  const V scale = V::set1(1 / whole);
  fill_with<V, kUnroll>(
      dst, n, [&](int64_t i, int, auto lanes) { return load<V>(kept + i, lanes) * scale; });
}

template <class V, class E>
inline void softmax_row_streamed(const E* src, E* dst, int64_t n) {
  // Never -inf: after a block of nothing but -inf the sum is still 0 and not NaN.
  V top = lowest<V>();
  typename V::Scalar whole = 0;
  for_each_block<V>(n, [&](int64_t begin, int64_t count) {
    const V new_top = max(top, row_max<V>(src + begin, count));
    V sum[kUnroll];
    clear(sum);
    sweep<V, kUnroll>(count, [&](int64_t i, int u, auto lanes) {
      const auto e = exp_nonpositive(load<V>(src + begin + i, lanes) - new_top);
      add(sum, u, fill(e, V::zero(), lanes));
    });
    whole = whole * reduce_max(exp_nonpositive(top - new_top)) + total(sum);
    top = new_top;
  });
  const V scale = V::set1(1 / whole);
  fill_with<V, kUnroll>(dst, n, [&](int64_t i, int, auto lanes) {
    return exp_nonpositive(load<V>(src + i, lanes) - top) * scale;
  });
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_SOFTMAX_ROW_H_
