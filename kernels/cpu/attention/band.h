// A band of queries of one head: blocks of keys go by, and every query keeps its largest score, the
// total of its exponentials and its weighted sum of values, all relative to that largest score.
#ifndef POLYOPS_CPU_ATTENTION_BAND_H_
#define POLYOPS_CPU_ATTENTION_BAND_H_

#include <cstdint>

#include "attention/problem.h"
#include "attention/scores.h"
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

template <class V, class S>
inline void multiply_row(S* row, int64_t n, S factor) {
  for (int64_t i = 0; i < n; i += V::kLanes) store(row + i, load<V>(row + i) * V::set1(factor));
}

// Queries of a causal block that are multiplied with values together, as far as the last one sees.
inline constexpr int64_t kGroup = 24;

// O: what query, key, value and the weights are multiplied as.
template <class V, class O, class E>
struct Band {
  using S = typename V::Scalar;
  static constexpr int64_t kStep = kDepth<V, O>;
  const Problem<E, S>& p;
  const Plan& plan;
  char* scratch;
  int64_t batch, head;
  int64_t first, count;  // queries

  template <class T>
  T* at(int64_t place) const {
    return reinterpret_cast<T*>(scratch + place);
  }
  S* scores_of(int64_t r) const { return at<S>(plan.scores) + r * plan.score_length; }
  // A row of weights takes the place of the row of scores that they come from.
  O* weights_of(int64_t r) const { return reinterpret_cast<O*>(scores_of(r)); }
  static constexpr int64_t kWeights = sizeof(S) / sizeof(O);  // to one score

  void run() const {
    const int64_t shared = head / p.sharing;
    if (plan.pack_queries) {
      pack_rows<V>(p.query.at(batch, head, first), p.query.row, count, p.dim, at<O>(plan.queries),
                   plan.length);
    }
    const int64_t keys = p.seen_by(first + count - 1);
    for (int64_t k0 = 0; k0 < keys; k0 += plan.block_k) {
      const int64_t n = min_of(plan.block_k, keys - k0);
      const E* key = p.key.at(batch, shared, k0);
      const E* value = p.value.at(batch, shared, k0);
      pack_keys(key, n);
      if (plan.pack_values) pack_values(value, n);
      const Split blocks(count, plan.block_q);
      for (int64_t i = 0; i < blocks.count; ++i) {
        const int64_t at = first + blocks.begin(i), rows = blocks.size(i);
        const int64_t seen = min_of(n, p.seen_by(at + rows - 1) - k0);
        if (seen <= 0) continue;
        const Block block = {batch, head, at, rows, k0, seen};
        score(block, key, n);
        for (int64_t r = 0; r < rows; ++r) weigh(block, r);
        add_values(block, value);
      }
    }
    for (int64_t r = 0; r < count; ++r) finish(r);
  }

  void pack_keys(const E* key, int64_t n) const {
    O* to = at<O>(plan.keys);
    if (plan.few) {
      if (plan.pack_few_keys) pack_rows<V>(key, p.key.row, n, p.dim, to, plan.length);
    } else if constexpr (kStep == 1) {
      pack_panels<V>(key, p.key.row, p.dim, n, to);
    } else {
      for (int64_t j = 0; j < n; j += kTileColumns<V>) {
        const int64_t columns = min_of(kTileColumns<V>, n - j);
        pack_transposed_pairs(key + j * p.key.row, p.key.row, p.dim, columns, to + j * plan.depth,
                              panel_length<V>(columns));
      }
    }
  }

  void pack_values(const E* value, int64_t n) const {
    O* to = at<O>(plan.values);
    if constexpr (kStep == 1) {
      pack_rows<V>(value, p.value.row, n, p.dim, to, plan.length);
    } else {
      pack_row_pairs(value, p.value.row, n, p.dim, to, plan.length);
    }
  }

  void score(const Block& block, const E* key, int64_t packed_keys) const {
    const Target<S> target =
        scores_target<V>(p.mask, block, p.scale, scores_of(0), plan.score_length);
    const O* queries = at<O>(plan.queries) + (block.first - first) * plan.length;
    int64_t query_row = plan.length;
    const O* keys = at<O>(plan.keys);
    int64_t key_row = plan.length;
    if constexpr (sizeof(E) == sizeof(O)) {
      if (!plan.pack_queries) {
        queries = p.query.at(batch, head, block.first);
        query_row = p.query.row;
      }
      if (plan.few) {
        keys = key;
        key_row = p.key.row;
      }
    }
    if (plan.few) {
      scores_by_dots<V>(target, queries, query_row, keys, key_row, p.dim, block);
    } else {
      scores_by_tiles<V>(target, queries, query_row, keys, packed_keys, plan.depth, block,
                         p.causal);
    }
  }

  // The end of the group of a block's row, and how many of the block's keys its last row sees.
  int64_t group_end(const Block& block, int64_t r) const {
    const bool all_see_all = seen_until(block, 1) == block.keys;
    return all_see_all ? block.count : min_of(block.count, r / kGroup * kGroup + kGroup);
  }
  int64_t seen_until(const Block& block, int64_t end) const {
    return min_of(block.keys, p.seen_by(block.first + end - 1) - block.key);
  }

  // Scores of a query become weights, and what it had summed so far becomes relative to the new
  // largest score. Relative to 0 while there is none but -inf: its exponential is 0, a NaN's NaN.
  void weigh(const Block& block, int64_t r) const {
    const S* row = scores_of(r);
    O* weights = weights_of(r);
    const int64_t own = block.first - first + r;
    S& top = at<S>(plan.tops)[own];
    S& sum = at<S>(plan.totals)[own];
    const S lowest = -__builtin_inff();
    const S before = block.key == 0 ? lowest : top;
    const int64_t n = seen_until(block, r + 1);
    const int64_t width = seen_until(block, group_end(block, r));
    S now = before;
    S factor = 1;
    if (n > 0) {
      const S largest_here = largest<V>(row, n);
      if (largest_here > now) now = largest_here;
      const S from = now == lowest ? 0 : now;
      const S here = exponentiate<V>(row, n, from, weights);
      if (block.key == 0) {
        sum = here;
      } else {
        if (now != before) factor = reduce_max(exp_nonpositive(V::set1(before - from)));
        sum = sum * factor + here;
      }
    }
    top = now;
    if (factor != 1) multiply_row<V>(at<S>(plan.sums) + own * plan.length, plan.length, factor);
    const int64_t end = ceil_div(width, kStep) * kStep;
    for (int64_t i = n > 0 ? n : 0; i < end; ++i) weights[i] = O{};
  }

  void add_values(const Block& block, const E* value) const {
    const O* values = at<O>(plan.values);
    int64_t value_row = plan.length;
    if constexpr (sizeof(E) == sizeof(O)) {
      if (!plan.pack_values) {
        values = value;
        value_row = p.value.row;
      }
    }
    S* sums = at<S>(plan.sums) + (block.first - first) * plan.length;
    const bool more = block.key > 0;
    const Target<S> target = {sums, plan.length, 1, more ? sums : nullptr, plan.length, 1, 1, 1};
    Operands<O> operands;
    operands.lhs_m = plan.score_length * kWeights;
    operands.lhs_k = kStep;
    operands.rhs = values;
    operands.rhs_k = value_row * kStep;
    for (int64_t r = 0; r < block.count; r = group_end(block, r)) {
      const int64_t end = group_end(block, r);
      operands.k = ceil_div(seen_until(block, end), kStep);
      if (operands.k <= 0) continue;
      operands.lhs = weights_of(r);
      run_panels<V>(operands, target, r, end - r, p.dim, plan.pack_values);
    }
  }

  void finish(int64_t r) const {
    const S top = at<S>(plan.tops)[r];
    S sum = at<S>(plan.totals)[r];
    if (sum == 0) sum = 1;  // nothing but -inf: the weighted sum is 0, too
    const S* sums = at<S>(plan.sums) + r * plan.length;
    const V scale = V::set1(1 / sum);
    fill_with<V, kUnroll, false>(
        p.dst.at(batch, head, first + r), p.dim,
        [&](int64_t i, int, auto lanes) { return load<V>(sums + i, lanes) * scale; });
    const S from = top == -__builtin_inff() ? 0 : top;
    *p.logsumexp.at(batch, head, first + r) = from + log_of(sum);
  }
};

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_ATTENTION_BAND_H_
