// A band of queries of one head: blocks of keys go by.
#ifndef POLYOPS_CPU_ATTENTION_BAND_H_
#define POLYOPS_CPU_ATTENTION_BAND_H_

#include <cstdint>

#include "attention/problem.h"
#include "attention/running.h"
#include "attention/scores.h"

namespace polyops::cpu {
namespace {

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

  Running<V> running() const {
    return {at<S>(plan.tops), at<S>(plan.totals), at<S>(plan.sums), plan.length};
  }

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
    for (int64_t r = 0; r < count; ++r) {
      running().finish(r, p.dst.at(batch, head, first + r), p.dim,
                       p.logsumexp.at(batch, head, first + r));
    }
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

  // Scores of a query become weights, 0 of keys that it does not see but its group does.
  void weigh(const Block& block, int64_t r) const {
    O* weights = weights_of(r);
    const int64_t own = block.first - first + r;
    const int64_t seen = seen_until(block, r + 1), n = seen > 0 ? seen : 0;
    if (n > 0) {  // of the first block every query sees something
      const S* row = scores_of(r);
      running().add_block(own, block.key == 0, largest<V>(row, n),
                          [&](S from) { return exponentiate<V>(row, n, from, weights); });
    }
    const int64_t width = seen_until(block, group_end(block, r));
    const int64_t end = ceil_div(width, kStep) * kStep;
    for (int64_t i = n; i < end; ++i) weights[i] = O{};
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
};

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_ATTENTION_BAND_H_
