// The gradients of one head of keys: blocks of keys go by, and against each the blocks of queries
// of every head that shares it. Scores are computed as the forward did, bit for bit.
#ifndef POLYOPS_CPU_ATTENTION_BACKWARD_H_
#define POLYOPS_CPU_ATTENTION_BACKWARD_H_

#include <cstddef>
#include <cstdint>

#include "attention/problem.h"
#include "attention/scores.h"
#include "simd/exp.h"
#include "simd/sweep.h"

namespace polyops::cpu {
namespace {

template <class E, class S>
struct BackwardProblem {
  Problem<E, S> forward;
  Rows<const E> grad_dst;
  Rows<E> grad_query, grad_key, grad_value;
};

template <class E, class S>
inline BackwardProblem<E, S> problem_of(const polyops_attention_backward_args& a) {
  polyops_attention_args forward;
  forward.struct_size = sizeof forward;
  forward.causal = a.causal;
  forward.scale = a.scale;
  forward.query = a.query;
  forward.key = a.key;
  forward.value = a.value;
  forward.mask = a.mask;
  forward.dst = a.dst;
  forward.logsumexp = a.logsumexp;
  BackwardProblem<E, S> p;
  p.forward = problem_of<E, S>(forward);
  p.grad_dst = rows_in<const E>(a.grad_dst);
  p.grad_query = rows_in<E>(a.grad_query);
  p.grad_key = rows_in<E>(a.grad_key);
  p.grad_value = rows_in<E>(a.grad_value);
  return p;
}

// Every operand is copied, in rows of `length` and what scores are made from in panels, too: five
// products share the copies.
struct BackwardPlan {
  bool few;  // as in Plan
  int64_t block_q, block_k;
  int64_t length;        // dim in whole vectors
  int64_t score_length;  // elements from one query's scores to the next one's
  // Where a part's scratch holds what, in elements.
  int64_t keys, key_panels, value_panels;  // of a block of keys
  int64_t queries, grads;                  // of a block of queries
  int64_t weights, products;               // block by block: p, and g
  int64_t grad_keys, grad_values;          // sums of a block of keys
  int64_t grad_queries, deltas, elements;  // of all heads that share the keys
};

template <class V, class E>
inline BackwardPlan plan_of(const BackwardProblem<E, typename V::Scalar>& b) {
  const auto& p = b.forward;
  BackwardPlan plan;
  plan.few = few_queries<V>(p.q);
  plan.block_q = min_of(p.q, kBlockQ);
  plan.block_k = min_of(p.kv, kBlockK);
  plan.length = ceil_div(p.dim, V::kLanes) * V::kLanes;
  plan.score_length = ceil_div(plan.block_k, 16) * 16 + 16;
  plan.elements = 0;
  const auto take = [&plan](int64_t elements) {
    const int64_t place = plan.elements;
    plan.elements += ceil_div(elements, 16) * 16;
    return place;
  };
  const int64_t columns = ceil_div(plan.block_k, V::kLanes) * V::kLanes;
  const int64_t own_queries = p.sharing * p.q;
  plan.keys = take(columns * plan.length);
  plan.key_panels = take(plan.few ? 0 : columns * p.dim);
  plan.value_panels = take(columns * p.dim);
  plan.queries = take(plan.block_q * plan.length);
  plan.grads = take(plan.block_q * plan.length);
  plan.weights = take(plan.block_q * plan.score_length);
  plan.products = take(plan.block_q * plan.score_length);
  plan.grad_keys = take(plan.block_k * plan.length);
  plan.grad_values = take(plan.block_k * plan.length);
  plan.grad_queries = take(own_queries * plan.length);
  plan.deltas = take(own_queries);
  return plan;
}

// One part per thread, of whole heads of keys: as many as there are 10 us of work for.
template <class E, class S>
inline int64_t parts_of(const BackwardProblem<E, S>& b, int64_t threads) {
  const auto& p = b.forward;
  const double scores = static_cast<double>(p.batch * p.heads) * p.seen_before(p.q);
  const double useful = scores * static_cast<double>(5 * p.dim + 40) / 50 / 10000;
  const int64_t most = min_of(threads, p.batch * p.heads / p.sharing);
  return useful >= static_cast<double>(most) ? most : useful > 1 ? static_cast<int64_t>(useful) : 1;
}

template <class V, class E>
struct Group {
  using S = typename V::Scalar;
  const BackwardProblem<E, S>& b;
  const BackwardPlan& plan;
  S* scratch;
  int64_t batch, shared;  // of keys
  const Problem<E, S>& p = b.forward;

  void run() const {
    const int64_t first_head = shared * p.sharing;
    for (int64_t h = 0; h < p.sharing; ++h) {
      for (int64_t i = 0; i < p.q; ++i) at(plan.deltas)[h * p.q + i] = delta(first_head + h, i);
    }
    const Split blocks(p.q, plan.block_q);
    for (int64_t k0 = 0; k0 < p.kv; k0 += plan.block_k) {
      const int64_t n = min_of(plan.block_k, p.kv - k0);
      begin_keys(k0, n);
      for (int64_t h = 0; h < p.sharing; ++h) {
        for (int64_t i = 0; i < blocks.count; ++i) {
          const int64_t first = blocks.begin(i), rows = blocks.size(i);
          const int64_t seen = min_of(n, p.seen_by(first + rows - 1) - k0);
          if (seen > 0) add(Block{batch, first_head + h, first, rows, k0, seen}, n);
        }
      }
      put(plan.grad_keys, b.grad_key.at(batch, shared, k0), b.grad_key.row, n);
      put(plan.grad_values, b.grad_value.at(batch, shared, k0), b.grad_value.row, n);
    }
    for (int64_t h = 0; h < p.sharing; ++h) {
      put(plan.grad_queries + h * p.q * plan.length, b.grad_query.at(batch, first_head + h, 0),
          b.grad_query.row, p.q);
    }
  }

  S* at(int64_t place) const { return scratch + place; }

  S delta(int64_t head, int64_t i) const {
    const E* grad = b.grad_dst.at(batch, head, i);
    const E* dst = p.dst.at(batch, head, i);
    V sum[kUnroll];
    clear(sum);
    sweep<V, kUnroll>(p.dim, [&](int64_t d, int u, auto lanes) {
      add_product(sum, u, load<V>(grad + d, lanes), load<V>(dst + d, lanes));
    });
    return total(sum);
  }

  void begin_keys(int64_t k0, int64_t n) const {
    const E* key = p.key.at(batch, shared, k0);
    pack_rows<V>(key, p.key.row, n, p.dim, at(plan.keys), plan.length);
    if (!plan.few) pack_panels<V>(key, p.key.row, p.dim, n, at(plan.key_panels));
    pack_panels<V>(p.value.at(batch, shared, k0), p.value.row, p.dim, n, at(plan.value_panels));
    __builtin_memset(at(plan.grad_keys), 0, n * plan.length * sizeof(S));
    __builtin_memset(at(plan.grad_values), 0, n * plan.length * sizeof(S));
  }

  // One block of queries x one of keys, of which n are packed.
  void add(const Block& block, int64_t n) const {
    pack_rows<V>(p.query.at(batch, block.head, block.first), p.query.row, block.count, p.dim,
                 at(plan.queries), plan.length);
    pack_rows<V>(b.grad_dst.at(batch, block.head, block.first), b.grad_dst.row, block.count, p.dim,
                 at(plan.grads), plan.length);
    score(block, n);
    for (int64_t r = 0; r < block.count; ++r) weigh(block, r);

    const int64_t from = (block.head % p.sharing * p.q + block.first) * plan.length;
    multiply(at(plan.products), plan.score_length, 1, block.keys, at(plan.keys), block.count,
             at(plan.grad_queries + from), block.key > 0);
    multiply(at(plan.products), 1, plan.score_length, block.count, at(plan.queries), block.keys,
             at(plan.grad_keys), true);
    multiply(at(plan.weights), 1, plan.score_length, block.count, at(plan.grads), block.keys,
             at(plan.grad_values), true);
  }

  void score(const Block& block, int64_t n) const {
    const S* queries = at(plan.queries);
    const Target<S> target =
        scores_target<V>(p.mask, block, p.scale, at(plan.weights), plan.score_length);
    if (plan.few) {
      scores_by_dots<V>(target, queries, plan.length, static_cast<const S*>(at(plan.keys)),
                        plan.length, p.dim, block);
    } else {
      scores_by_tiles<V>(target, queries, plan.length, static_cast<const S*>(at(plan.key_panels)),
                         n, p.dim, block, p.causal);
    }
    const Target<S> products = {at(plan.products), plan.score_length, 1, nullptr, 0, 0, 1, 1};
    scores_by_tiles<V>(products, static_cast<const S*>(at(plan.grads)), plan.length,
                       static_cast<const S*>(at(plan.value_panels)), n, p.dim, block, p.causal);
  }

  // Scores of a query become p, products of its gradient and the values g; 0 of keys it does not
  // see.
  void weigh(const Block& block, int64_t r) const {
    S* weights = at(plan.weights) + r * plan.score_length;
    S* products = at(plan.products) + r * plan.score_length;
    const int64_t i = block.first + r;
    const int64_t seen = min_of(block.keys, p.seen_by(i) - block.key);
    const int64_t n = seen > 0 ? seen : 0;
    const V logsumexp = V::set1(*p.logsumexp.at(batch, block.head, i));
    const V delta = V::set1(at(plan.deltas)[block.head % p.sharing * p.q + i]);
    const V scale = V::set1(p.scale);
    fill_with<V, kUnroll>(weights, n, [&](int64_t j, int, auto lanes) {
      return exp_nonpositive(load<V>(weights + j, lanes) - logsumexp);
    });
    fill_with<V, kUnroll>(products, n, [&](int64_t j, int, auto lanes) {
      const auto g = load<V>(products + j, lanes) - delta;
      return load<V>(weights + j, lanes) * g * scale;
    });
    for (int64_t j = n; j < block.keys; ++j) weights[j] = products[j] = 0;
  }

  // sums = (or +=) lhs @ rhs, of rows of `length`.
  void multiply(const S* lhs, int64_t lhs_m, int64_t lhs_k, int64_t k, const S* rhs, int64_t rows,
                S* sums, bool more) const {
    const Operands<S> operands = {k, lhs, lhs_m, lhs_k, rhs, plan.length};
    const S* addend = more ? sums : nullptr;
    const Target<S> target = {sums, plan.length, 1, addend, plan.length, 1, 1, 1};
    run_panels<V>(operands, target, 0, rows, plan.length, true);
  }

  void put(int64_t sums, E* dst, int64_t row, int64_t rows) const {
    for (int64_t r = 0; r < rows; ++r) {
      const S* from = at(sums) + r * plan.length;
      fill_with<V, kUnroll, false>(dst + r * row, p.dim, [&](int64_t d, int, auto lanes) {
        return load<V>(from + d, lanes);
      });
    }
  }
};

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_ATTENTION_BACKWARD_H_
