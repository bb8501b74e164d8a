// Few rows against an rhs with unit stride along k (nn.Linear's weight): every weight is read once
// where it lies. A tile of kDotRows x kDotColumns products runs along k in vectors; its sums over
// the lanes are taken together. Bound: the weights' bytes.
#ifndef POLYOPS_CPU_GEMM_DOT_H_
#define POLYOPS_CPU_GEMM_DOT_H_

#include <cstdint>

#include "gemm/packing.h"
#include "gemm/tile.h"

namespace polyops::cpu {
namespace {

template <class V>
inline constexpr int kDotColumns = V::kLanes >= 4 ? 4 : 1;
template <class V>
inline constexpr int kDotRows = V::kLanes / kDotColumns<V>;
inline constexpr int kDotMaxRows = 32;

template <class V, int kRows, class X>
inline void dot_step(V (&acc)[V::kLanes], const X (&a)[kRows], const X (&b)[kDotColumns<V>]) {
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int c = 0; c < kDotColumns<V>; ++c) {
      acc[r * kDotColumns<V> + c] = fma(a[r], b[c], acc[r * kDotColumns<V> + c]);
    }
  }
}

// sums[r * kLanes + c] = lhs row r . columns[c]; k in elements.
template <class V, int kRows, class E, class S>
void dot_tile(const E* lhs, int64_t lhs_m, const E* const* columns, int64_t k, S* sums) {
  using Operand = Operand<V, E>;
  constexpr int kColumns = kDotColumns<V>;
  constexpr int kStep = V::kLanes * kDepth<V, E>;
  V acc[V::kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < V::kLanes; ++i) acc[i] = V::zero();
  const E* from[kColumns];
#pragma GCC unroll 4
  for (int c = 0; c < kColumns; ++c) from[c] = columns[c];
  decltype(Operand::load(lhs)) a[kRows], b[kColumns];
  int64_t p = 0;
  for (; p + kStep <= k; p += kStep) {
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) b[c] = Operand::load(from[c] + p);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) a[r] = Operand::load(lhs + r * lhs_m + p);
    dot_step<V, kRows>(acc, a, b);
  }
  if (p < k) {
#pragma GCC unroll 4
    for (int c = 0; c < kColumns; ++c) b[c] = Operand::load_partial(from[c] + p, k - p);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) a[r] = Operand::load_partial(lhs + r * lhs_m + p, k - p);
    dot_step<V, kRows>(acc, a, b);
  }
  S lanes[V::kLanes];
  store(lanes, reduce_add_each(acc));
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    __builtin_memcpy(sums + r * V::kLanes, lanes + r * kColumns, kColumns * sizeof(S));
  }
}

template <class V, class E, class S>
inline void dot_rows(int64_t rows, const E* lhs, int64_t lhs_m, const E* const* columns, int64_t k,
                     S* sums) {
  if constexpr (kDotRows<V> == 4) {
    if (rows == 4) return dot_tile<V, 4>(lhs, lhs_m, columns, k, sums);
    if (rows == 3) return dot_tile<V, 3>(lhs, lhs_m, columns, k, sums);
  }
  if constexpr (kDotRows<V> >= 2) {
    if (rows == 2) return dot_tile<V, 2>(lhs, lhs_m, columns, k, sums);
  }
  return dot_tile<V, 1>(lhs, lhs_m, columns, k, sums);
}

// sums[rows][kLanes] of the first `width` <= kLanes columns of rhs; the other sums mean nothing.
template <class V, class E, class S>
void dot_strip(int64_t rows, int64_t width, const E* lhs, int64_t lhs_m, const E* rhs,
               int64_t rhs_n, int64_t k, S* sums) {
  constexpr int kColumns = kDotColumns<V>;
  const Split tiles(rows, kDotRows<V>);
  for (int64_t j = 0; j < width; j += kColumns) {
    const E* columns[kColumns];
    for (int c = 0; c < kColumns; ++c) columns[c] = rhs + min_of(j + c, width - 1) * rhs_n;
    for (int64_t i = 0; i < tiles.count; ++i) {
      const int64_t row = tiles.begin(i);
      dot_rows<V>(tiles.size(i), lhs + row * lhs_m, lhs_m, columns, k, sums + row * V::kLanes + j);
    }
  }
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_GEMM_DOT_H_
