// One call of gemm, brought to one form: dst rows have unit stride wherever that can be had, thin
// products lie flat, and a batch that shares its rhs is one tall product.
#ifndef POLYOPS_CPU_GEMM_PROBLEM_H_
#define POLYOPS_CPU_GEMM_PROBLEM_H_

#include <cstdint>

#include "gemm/target.h"
#include "polyops/ops/gemm.h"
#include "simd/simd.h"

namespace polyops::cpu {
namespace {

// dst[b, i, j] = alpha * sum_p lhs[b, i, p] rhs[b, p, j] + beta * addend[b, i, j]
template <class E, class S>
struct Problem {
  int64_t batch, m, n, k;
  const E* lhs;
  int64_t lhs_batch, lhs_m, lhs_k;
  const E* rhs;
  int64_t rhs_batch, rhs_k, rhs_n;
  const E* addend;
  int64_t addend_batch, addend_m, addend_n;
  E* dst;
  int64_t dst_batch, dst_m, dst_n;
  S alpha, beta;
  bool has_addend;
};

template <class T>
inline void swap_values(T& a, T& b) {
  const T old = a;
  a = b;
  b = old;
}

// dst^T = rhs^T lhs^T
template <class E, class S>
inline void transpose(Problem<E, S>& p) {
  swap_values(p.m, p.n);
  swap_values(p.lhs, p.rhs);
  swap_values(p.lhs_batch, p.rhs_batch);
  swap_values(p.lhs_m, p.rhs_n);
  swap_values(p.lhs_k, p.rhs_k);
  swap_values(p.addend_m, p.addend_n);
  swap_values(p.dst_m, p.dst_n);
}

// A dimension of one element has no stride of its own; it takes whichever suits.
inline int64_t stride_or(const polyops_tensor& t, int dim, int64_t free) {
  return t.sizes[dim] == 1 ? free : t.strides[dim];
}

template <class E, class S>
inline void fold_batch(Problem<E, S>& p) {
  if (p.batch == 1 || p.rhs_batch != 0) return;
  if (p.m == 1) {
    p.lhs_m = p.lhs_batch;
    p.dst_m = p.dst_batch;
    p.addend_m = p.addend_batch;
  }
  if (p.lhs_batch != p.m * p.lhs_m || p.dst_batch != p.m * p.dst_m) return;
  if (p.has_addend && p.addend_batch != p.m * p.addend_m) return;
  p.m *= p.batch;
  p.batch = 1;
}

// Where k is contiguous in both, rhs has to be copied. The weights of a layer, if they are more
// than lhs and dst together, are better read in the place of lhs, where they lie: then lhs is
// copied, and dst turned in the L1 cache. Emerald Rapids, 2 threads, against MKL, over 40 MB of
// weights by turns: 64 x 768 x 768 1.20 -> 1.33x, 32 x 4096 x 4096 1.22 -> 1.57x, 197 x 3072 x 768
// 1.21 -> 1.24x, from 128 rows on little else. Lost: 197 x 768 x 3072 (1.08 -> 1.03x), whose rows
// go by in 4 blocks of k, and rows that leave more than a tenth of their vectors empty (100 x 768 x
// 768 1.14 -> 1.05x).
template <class V, class E>
inline bool weights_in_place(const Problem<E, typename V::Scalar>& p) {
  if (V::kLanes == 1 || sizeof(E) != sizeof(typename V::Scalar)) return false;
  if (p.batch != 1 || p.lhs_k != 1 || p.rhs_k != 1) return false;
  const int64_t empty = ceil_div(p.m, V::kLanes) * V::kLanes - p.m;
  return p.m * (p.k + p.n) < p.n * p.k && empty * 10 <= p.m && (p.m <= 128 || p.k <= 768);
}

// Fewer columns than half a vector waste most of every instruction, so such a product is turned on
// its side; otherwise what decides is along which dimension dst can be stored whole vectors, and
// what has to be copied.
template <class V, class E>
inline bool better_transposed(const Problem<E, typename V::Scalar>& p) {
  if (p.n * 2 <= V::kLanes && p.n < p.m) return true;
  if (p.m * 2 <= V::kLanes && p.m < p.n) return false;
  if (p.dst_m == 1) return p.dst_n != 1;
  return weights_in_place<V>(p);
}

// Where an item's results go. first: of the blocks of k.
template <class E, class S>
inline Target<S, E> target_of(const Problem<E, S>& p, int64_t item, bool first) {
  E* dst = p.dst + item * p.dst_batch;
  if (!first) return {dst, p.dst_m, p.dst_n, dst, p.dst_m, p.dst_n, p.alpha, S{1}};
  const E* addend = p.has_addend ? p.addend + item * p.addend_batch : nullptr;
  return {dst, p.dst_m, p.dst_n, addend, p.addend_m, p.addend_n, p.alpha, p.beta};
}

// What no kernel of this op computes, whatever the dtype of dst; null for nothing.
inline const char* unsupported(const polyops_gemm_args& a) {
  const int32_t dtype = a.dst.dtype;
  const bool has_addend = polyops_is_present(&a.addend) != 0;
  if (a.lhs.dtype != dtype || a.rhs.dtype != dtype) return "dtype";
  if (has_addend && a.addend.dtype != dtype) return "dtype";
  // Whether a factor of zero lets NaNs through depends on which of its routines stock takes.
  if (static_cast<float>(a.alpha) == 0) return "alpha";
  if (has_addend && static_cast<float>(a.beta) == 0) return "beta";
  return nullptr;
}

// As it came.
template <class E, class S>
inline Problem<E, S> read_problem(const polyops_gemm_args& a) {
  Problem<E, S> p;
  p.batch = a.dst.sizes[0];
  p.m = a.dst.sizes[1];
  p.n = a.dst.sizes[2];
  p.k = a.lhs.sizes[2];
  p.lhs = static_cast<const E*>(a.lhs.data);
  p.lhs_batch = stride_or(a.lhs, 0, 0);
  p.lhs_m = stride_or(a.lhs, 1, 1);
  p.lhs_k = stride_or(a.lhs, 2, 1);
  p.rhs = static_cast<const E*>(a.rhs.data);
  p.rhs_batch = stride_or(a.rhs, 0, 0);
  p.rhs_k = stride_or(a.rhs, 1, 1);
  p.rhs_n = stride_or(a.rhs, 2, 1);
  p.dst = static_cast<E*>(a.dst.data);
  p.dst_batch = stride_or(a.dst, 0, 0);
  p.dst_m = stride_or(a.dst, 1, 1);
  p.dst_n = stride_or(a.dst, 2, 1);
  p.has_addend = polyops_is_present(&a.addend) != 0;
  p.addend = nullptr;
  p.addend_batch = p.addend_m = p.addend_n = 0;
  if (p.has_addend) {
    p.addend = static_cast<const E*>(a.addend.data);
    p.addend_batch = stride_or(a.addend, 0, 0);
    p.addend_m = stride_or(a.addend, 1, 0);
    p.addend_n = stride_or(a.addend, 2, p.n == 1 ? 1 : 0);
  }
  p.alpha = static_cast<S>(a.alpha);
  p.beta = static_cast<S>(a.beta);
  return p;
}

template <class V, class E>
inline Problem<E, typename V::Scalar> problem_of(const polyops_gemm_args& a) {
  auto p = read_problem<E, typename V::Scalar>(a);
  fold_batch(p);
  if (better_transposed<V>(p)) transpose(p);
  return p;
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_GEMM_PROBLEM_H_
