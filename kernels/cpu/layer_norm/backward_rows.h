// layer_norm backward of R rows at a time. Going over their columns together, the sums over rows
// (grad_weight, grad_bias) are loaded and stored once per R rows, which halves the stores; the sums
// along the rows, needed before grad_src, come from the same pass.
#ifndef POLYOPS_CPU_LAYER_NORM_BACKWARD_ROWS_H_
#define POLYOPS_CPU_LAYER_NORM_BACKWARD_ROWS_H_

#include "layer_norm/layout.h"

namespace polyops::cpu {
namespace {

// R rows of one call. grad_src null: not wanted; grad_weight null: neither sum over rows is.
template <class E, class P, class A, int R>
struct BackwardRows {
  const E* grad_dst[R];
  const E* src[R];
  E* grad_src[R];
  A mean[R];
  A rstd[R];
  const P* weight;  // null: 1
  A* grad_weight;   // added to
  A* grad_bias;     // added to
  int64_t n;
};

// Partial sums along a row: R of them hide latency, but a vector of one lane alone is not accurate.
constexpr int kChains = F32::kLanes == 1 ? kUnroll : 1;

// Columns [begin, begin + count), added to whole_sum and whole_product.
template <class V, class E, class P, class A, int R, bool kSums, bool kRows>
inline void backward_sums(const BackwardRows<E, P, A, R>& b, int64_t begin, int64_t count,
                          V (&whole_sum)[R], V (&whole_product)[R]) {
  V sum[R][kChains], product[R][kChains];
  for (int r = 0; r < R; ++r) {
    clear(sum[r]);
    clear(product[r]);
  }
  sweep<V, kChains, false>(count, [&](int64_t at, int u, auto lanes) {
    const int64_t i = begin + at;
    const V weight = b.weight == nullptr ? V::set1(1) : load<V>(b.weight + i, lanes);
    V column_product = V::zero();
    V column_sum = V::zero();
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const V grad = load<V>(b.grad_dst[r] + i, lanes);
      const V x = (load<V>(b.src[r] + i, lanes) - V::set1(b.mean[r])) * V::set1(b.rstd[r]);
      if constexpr (kSums) {
        column_product = fma(grad, x, column_product);
        column_sum = column_sum + grad;
      }
      if constexpr (kRows) {
        const V g = grad * weight;
        sum[r][u] = sum[r][u] + g;
        product[r][u] = fma(g, x, product[r][u]);
      }
    }
    if constexpr (kSums) {
      store(b.grad_weight + i, load<V>(b.grad_weight + i, lanes) + column_product, lanes);
      store(b.grad_bias + i, load<V>(b.grad_bias + i, lanes) + column_sum, lanes);
    }
  });
  for (int r = 0; r < R; ++r) {
    whole_sum[r] = whole_sum[r] + partial_sum(sum[r]);
    whole_product[r] = whole_product[r] + partial_sum(product[r]);
  }
}

// grad_src = grad weight rstd - rstd sum / n - x_hat rstd product / n
template <class V, class E, class P, class A, int R>
inline void backward_result(const BackwardRows<E, P, A, R>& b, int r, A sum, A product) {
  const V mean = V::set1(b.mean[r]);
  const V rstd = V::set1(b.rstd[r]);
  const V constant = V::set1(-b.rstd[r] * (sum / static_cast<A>(b.n)));
  const V slope = V::set1(b.rstd[r] * (product / static_cast<A>(b.n)));
  fill_with<V, kUnroll, kSame<E, P>>(b.grad_src[r], b.n, [&](int64_t i, int, auto lanes) {
    const auto x = (load<V>(b.src[r] + i, lanes) - mean) * rstd;
    auto g = load<V>(b.grad_dst[r] + i, lanes) * rstd;
    if (b.weight != nullptr) g = g * load<V>(b.weight + i, lanes);
    return fnma(x, slope, g + constant);
  });
}

template <class V, class E, class P, class A, int R>
inline void backward_rows(const BackwardRows<E, P, A, R>& b) {
  V sum[R], product[R];
  clear(sum);
  clear(product);
  for_each_block<V>(b.n, [&](int64_t begin, int64_t count) {
    if (b.grad_src[0] == nullptr) {
      backward_sums<V, E, P, A, R, true, false>(b, begin, count, sum, product);
    } else if (b.grad_weight == nullptr) {
      backward_sums<V, E, P, A, R, false, true>(b, begin, count, sum, product);
    } else {
      backward_sums<V, E, P, A, R, true, true>(b, begin, count, sum, product);
    }
  });
  if (b.grad_src[0] == nullptr) return;
  for (int r = 0; r < R; ++r) {
    backward_result<V>(b, r, reduce_add(sum[r]), reduce_add(product[r]));
  }
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_LAYER_NORM_BACKWARD_ROWS_H_
