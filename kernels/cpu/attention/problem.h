// One call of attention with its pointers typed, and how it is cut: among threads, into bands of
// queries and blocks of keys.
#ifndef POLYOPS_CPU_ATTENTION_PROBLEM_H_
#define POLYOPS_CPU_ATTENTION_PROBLEM_H_

#include <cstddef>
#include <cstdint>

#include "gemm/packing.h"
#include "gemm/tile.h"
#include "polyops/ops/attention.h"

namespace polyops::cpu {
namespace {

// Rows of heads: of dim elements side by side, or of one (logsumexp).
template <class T>
struct Rows {
  T* data;
  int64_t batch, head, row;

  T* at(int64_t b, int64_t h, int64_t r) const { return data + b * batch + h * head + r * row; }
};

template <class T>
inline Rows<T> rows_in(const polyops_tensor& t) {
  return {static_cast<T*>(t.data), t.strides[0], t.strides[1], t.strides[2]};
}

template <class E, class S>
struct Problem {
  int64_t batch, heads, q, kv, dim;
  int64_t sharing;  // query heads to one head of keys
  bool causal;
  S scale;
  Rows<const E> query, key, value;
  Rows<E> dst;
  Rows<S> logsumexp;
  polyops_tensor mask;

  // Of all keys, how many query i sees.
  int64_t seen_by(int64_t i) const { return causal ? min_of(i + 1, kv) : kv; }

  // All that queries [0, i) of one head see.
  int64_t seen_before(int64_t i) const {
    if (!causal) return i * kv;
    return i <= kv ? i * (i + 1) / 2 : kv * (kv + 1) / 2 + (i - kv) * kv;
  }
};

template <class E, class S>
inline Problem<E, S> problem_of(const polyops_attention_args& a) {
  Problem<E, S> p;
  p.batch = a.query.sizes[0];
  p.heads = a.query.sizes[1];
  p.q = a.query.sizes[2];
  p.kv = a.key.sizes[2];
  p.dim = a.query.sizes[3];
  p.sharing = p.heads / a.key.sizes[1];
  p.causal = a.causal != 0;
  p.scale = static_cast<S>(a.scale);
  p.query = rows_in<const E>(a.query);
  p.key = rows_in<const E>(a.key);
  p.value = rows_in<const E>(a.value);
  p.dst = rows_in<E>(a.dst);
  p.logsumexp = rows_in<S>(a.logsumexp);
  p.mask = a.mask;
  return p;
}

// Up to so many queries take keys where they lie, dot product by dot product: packing the keys
// would cost as much as multiplying them. Not where a vector is one lane, so that all of a dot
// product would be one chain.
inline constexpr int64_t kFewQueries = 8;
template <class V>
inline bool few_queries(int64_t queries) {
  return queries <= kFewQueries && V::kLanes > 1;
}

// Queries whose sums are kept while blocks of keys go by, each packed once for all of them.
inline constexpr int64_t kBand = 768;
// Scores of a block of queries x a block of keys stay in the L2 cache beside the packed keys.
inline constexpr int64_t kBlockQ = 96;
inline constexpr int64_t kBlockK = 256;

struct Plan {
  bool few;                                       // queries per head; see few_queries
  bool pack_queries, pack_few_keys, pack_values;  // else read where they lie
  int64_t band, block_q, block_k;
  int64_t depth;         // dim in whole steps of k
  int64_t length;        // elements of a packed row: dim in whole vectors
  int64_t score_length;  // elements from one query's scores to the next one's
  // Where a part's scratch holds what, in bytes.
  int64_t keys, values, queries, scores, sums, tops, totals;
  size_t part_bytes;
};

// Hands out a part's scratch, in whole cache lines.
struct Places {
  int64_t used = 0;

  int64_t take(int64_t elements, size_t size) {
    const int64_t place = used;
    used += ceil_div(elements * static_cast<int64_t>(size), 64) * 64;
    return place;
  }
};

// O: what the operands are multiplied as, E itself or wider.
template <class V, class O, class E>
inline Plan plan_of(const Problem<E, typename V::Scalar>& p) {
  using S = typename V::Scalar;
  constexpr bool kWiden = sizeof(E) != sizeof(O);
  constexpr int64_t kSteps = kDepth<V, O>;
  Plan plan;
  plan.few = few_queries<V>(p.q);
  plan.depth = ceil_div(p.dim, kSteps) * kSteps;
  plan.pack_queries = kWiden || (!plan.few && plan.depth != p.dim);
  plan.pack_few_keys = kWiden;
  // Rows of several heads side by side fall on few sets of the cache; a copy is soon paid for.
  plan.pack_values = kWiden || kSteps > 1 || (!plan.few && p.value.row != p.dim);
  plan.band = min_of(p.q, kBand);
  plan.block_q = min_of(plan.band, kBlockQ);
  plan.block_k = min_of(p.kv, kBlockK);
  plan.length = ceil_div(p.dim, V::kLanes) * V::kLanes;
  // One cache line more than a power of two, so that rows fall on different sets.
  plan.score_length = ceil_div(plan.block_k, 16) * 16 + 16;
  Places places;
  const int64_t rows = ceil_div(plan.block_k, V::kLanes) * V::kLanes;
  const int64_t few_keys = plan.pack_few_keys ? rows * plan.length : 0;
  plan.keys = places.take(plan.few ? few_keys : rows * plan.depth, sizeof(O));
  plan.values = places.take(plan.pack_values ? rows * plan.length : 0, sizeof(O));
  plan.queries = places.take(plan.pack_queries ? plan.band * plan.length : 0, sizeof(O));
  plan.scores = places.take(plan.block_q * plan.score_length, sizeof(S));
  plan.sums = places.take(plan.band * plan.length, sizeof(S));
  plan.tops = places.take(plan.band, sizeof(S));
  plan.totals = places.take(plan.band, sizeof(S));
  plan.part_bytes = places.used;
  return plan;
}

// One part per thread, as many as there are 10 us of work for. ns: what a thread takes for a score.
template <class E, class S>
inline int64_t parts_of(const Problem<E, S>& p, int64_t threads, double ns) {
  const double scores = static_cast<double>(p.batch * p.heads) * p.seen_before(p.q);
  const double keys = static_cast<double>(p.batch * p.heads / p.sharing) * p.kv * p.dim;
  const int64_t most = min_of(threads, p.batch * p.heads * p.q);
  const double useful = (scores * ns + keys * sizeof(E) / 12) / 10000;
  return useful >= static_cast<double>(most) ? most : useful > 1 ? static_cast<int64_t>(useful) : 1;
}

// At 50 multiply-adds per ns, and 40 for a weight.
template <class E, class S>
inline int64_t parts_of(const Problem<E, S>& p, int64_t threads) {
  return parts_of(p, threads, static_cast<double>(2 * p.dim + 40) / 50);
}

// Where part `index` begins: the queries of all heads in order, each part seeing as many keys.
template <class E, class S>
inline int64_t begin_of(const Problem<E, S>& p, int64_t index, int64_t parts) {
  const int64_t heads = p.batch * p.heads, per_head = p.seen_before(p.q);
  if (index == parts) return heads * p.q;
  const double before = static_cast<double>(heads) * per_head / parts * index;
  const int64_t head = min_of(heads - 1, static_cast<int64_t>(before / per_head));
  const double rest = before - static_cast<double>(head) * per_head;
  int64_t low = 0, high = p.q;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (static_cast<double>(p.seen_before(middle)) < rest) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return head * p.q + low;
}

// Calls run(batch, head, first, count) for the bands of queries of part `index`.
template <class E, class S, class Run>
inline void for_each_band(const Problem<E, S>& p, int64_t most, int64_t index, int64_t parts,
                          const Run& run) {
  const int64_t end = begin_of(p, index + 1, parts);
  for (int64_t row = begin_of(p, index, parts); row < end;) {
    const int64_t head = row / p.q, first = row % p.q;
    const int64_t count = min_of(most, min_of(p.q - first, end - row));
    run(head / p.heads, head % p.heads, first, count);
    row += count;
  }
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_ATTENTION_PROBLEM_H_
