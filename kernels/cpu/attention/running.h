// What a query keeps while blocks of keys go by: its largest score, the total of its exponentials
// and its weighted sum of values, the latter two relative to the largest score.
#ifndef POLYOPS_CPU_ATTENTION_RUNNING_H_
#define POLYOPS_CPU_ATTENTION_RUNNING_H_

#include <cstdint>

#include "simd/exp.h"
#include "simd/sweep.h"

namespace polyops::cpu {
namespace {

inline float log_of(float x) { return __builtin_logf(x); }
inline double log_of(double x) { return __builtin_log(x); }

template <class V, class S>
inline S largest(const S* row, int64_t n) {
  const V none = V::set1(-__builtin_inff());
  V top[kUnroll];
  clear(top, none);
  sweep<V, kUnroll>(n, [&](int64_t i, int u, auto lanes) {
    const auto x = fill(load<V>(row + i, lanes), none, lanes);
    fold(top, u, x, [](V a, V b) { return max(a, b); });
  });
  return highest(top);
}

// weights = exp(scores - from); returns the total. They may lie where the scores do.
template <class V, class O, class S>
inline S exponentiate(const S* scores, int64_t n, S from, O* weights) {
  const V base = V::set1(from);
  V sum[kUnroll];
  clear(sum);
  fill_with<V, kUnroll, sizeof(O) == sizeof(S)>(weights, n, [&](int64_t i, int u, auto lanes) {
    const auto e = exp_nonpositive(load<V>(scores + i, lanes) - base);
    add(sum, u, fill(e, V::zero(), lanes));
    return e;
  });
  return total(sum);
}

template <class V>
struct Running {
  using S = typename V::Scalar;
  static constexpr S kLowest = -__builtin_inff();
  S *tops, *totals, *sums;
  int64_t length;  // of a query's sums, in whole vectors

  // Query i's next block: its largest score, and the total of exponentials that
  // exponentials(from) puts down and adds up relative to `from`, which is 0 while there is no score
  // but -inf: its exponential is 0, a NaN's NaN.
  template <class Exponentials>
  void add_block(int64_t i, bool first, S largest_here, const Exponentials& exponentials) const {
    const S before = first ? kLowest : tops[i];
    const S now = largest_here > before ? largest_here : before;
    const S from = now == kLowest ? 0 : now;
    const S here = exponentials(from);
    tops[i] = now;
    if (first) {
      totals[i] = here;
      return;
    }
    const S factor = now == before ? 1 : reduce_max(exp_nonpositive(V::set1(before - from)));
    totals[i] = totals[i] * factor + here;
    if (factor != 1) shrink(i, factor);
  }

  void shrink(int64_t i, S factor) const {
    S* row = sums + i * length;
    for (int64_t j = 0; j < length; j += V::kLanes) {
      store(row + j, load<V>(row + j) * V::set1(factor));
    }
  }

  template <class E>
  void finish(int64_t i, E* dst, int64_t dim, S* logsumexp) const {
    const S top = tops[i];
    const S sum = totals[i] == 0 ? 1 : totals[i];  // nothing but -inf: the weighted sum is 0, too
    const S* row = sums + i * length;
    const V scale = V::set1(1 / sum);
    fill_with<V, kUnroll, false>(
        dst, dim, [&](int64_t j, int, auto lanes) { return load<V>(row + j, lanes) * scale; });
    *logsumexp = (top == kLowest ? 0 : top) + log_of(sum);
  }
};

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_ATTENTION_RUNNING_H_
