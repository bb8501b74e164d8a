// A band of queries of one head on the tiles of AMX. Of a block of keys, packed once for the band,
// 32 queries at a time: their scores fill the L1 cache, become weights there (amx_weights.h), and
// these multiply the values into sums that the tiles read and write where they lie.
// Lost: tiles and vectors at work at the same time, step by step (0 to 15 %: they share a port);
// blocks of 96 to 192 keys (12 to 30 %), of 512 (-10 to 7 %); 64 queries at a time (6 to 13 %).
#ifndef POLYOPS_CPU_ATTENTION_AMX_BAND_H_
#define POLYOPS_CPU_ATTENTION_AMX_BAND_H_

#include <cstddef>
#include <cstdint>

#include "attention/amx_weights.h"
#include "attention/problem.h"
#include "attention/running.h"
#include "attention/scores.h"
#include "gemm/amx_step.h"

#if defined(POLYOPS_ISA_AVX512)

namespace polyops::cpu {
namespace {

using AmxAttention = Problem<bf16, float>;

inline constexpr int64_t kAmxQueries = 32;

struct AmxAttentionPlan {
  int64_t band, block_k;
  int64_t depth;         // dim in whole steps of 32
  int64_t length;        // dim in whole tiles of 16
  int64_t score_length;  // elements from one query's scores to the next one's
  // Where a part's scratch holds what, in bytes.
  int64_t keys, values, queries, scores, mask, sums, tops, totals;
  size_t part_bytes;
};

inline AmxAttentionPlan amx_plan_of(const AmxAttention& p) {
  AmxAttentionPlan plan;
  plan.band = min_of(p.q, kBand);
  plan.block_k = min_of(p.kv, kBlockK);
  plan.depth = ceil_div(p.dim, kTileDepth) * kTileDepth;
  plan.length = rounded_up(p.dim);
  const int64_t keys = ceil_div(plan.block_k, kPanel) * kPanel;
  plan.score_length = keys + 16;  // an odd number of cache lines more, for the sake of their sets
  Places places;
  plan.keys = places.take(keys * plan.depth, sizeof(bf16));
  plan.values = places.take(keys * plan.length, sizeof(bf16));
  const int64_t rows = rounded_up(plan.band);
  plan.queries = places.take(rows * plan.depth, sizeof(bf16));
  plan.scores = places.take(kAmxQueries * plan.score_length, sizeof(float));
  plan.mask = places.take(plan.score_length, sizeof(float));
  plan.sums = places.take(rows * plan.length, sizeof(float));
  plan.tops = places.take(rows, sizeof(float));
  plan.totals = places.take(rows, sizeof(float));
  plan.part_bytes = places.used;
  return plan;
}

// sums = (or +=) left @ right, of up to 32 rows and 32 columns.
struct TileProduct {
  const bf16* left;    // 16 rows, and 16 more behind them
  int64_t left_bytes;  // of a row; so with the others
  const bf16* right;
  int64_t right_bytes;
  int64_t steps;  // along k
  float* sums;
  int64_t sums_bytes;
  bool more;
};

template <int kTile>
inline void begin_sums(const TileProduct& t, float* sums) {
  t.more ? load_tile<kTile>(sums, t.sums_bytes) : zero_tile<kTile>();
}

template <int kLefts, int kRights>
void multiply_into(const TileProduct& t) {
  float* below = t.sums + kTileRows * (t.sums_bytes / static_cast<int64_t>(sizeof(float)));
  begin_sums<kSum>(t, t.sums);
  if constexpr (kRights > 1) begin_sums<kSum + 1>(t, t.sums + 16);
  if constexpr (kLefts > 1) begin_sums<kSum + 2>(t, below);
  if constexpr (kLefts > 1 && kRights > 1) begin_sums<kSum + 3>(t, below + 16);
  const bf16 *a = t.left, *b = advance(t.left, kTileRows * t.left_bytes), *c = t.right;
  for (int64_t p = t.steps; p > 0; --p) {
    load_step<kLefts, kRights, Streams::kNeither>(a, t.left_bytes, b, t.left_bytes, c,
                                                  t.right_bytes);
    multiply_step<kLefts, kRights>();
    a += kTileDepth;
    b += kTileDepth;
    c = advance(c, kTileRows * t.right_bytes);
  }
  save_tile<kSum>(t.sums, t.sums_bytes);
  if constexpr (kRights > 1) save_tile<kSum + 1>(t.sums + 16, t.sums_bytes);
  if constexpr (kLefts > 1) save_tile<kSum + 2>(below, t.sums_bytes);
  if constexpr (kLefts > 1 && kRights > 1) save_tile<kSum + 3>(below + 16, t.sums_bytes);
}

inline void multiply_into(const TileProduct& t, bool tall, bool wide) {
  if (tall && wide) {
    multiply_into<2, 2>(t);
  } else if (tall) {
    multiply_into<2, 1>(t);
  } else if (wide) {
    multiply_into<1, 2>(t);
  } else {
    multiply_into<1, 1>(t);
  }
}

struct AmxBand {
  const AmxAttention& p;
  const AmxAttentionPlan& plan;
  char* scratch;
  int64_t batch, head;
  int64_t first, count;  // queries

  template <class T>
  T* at(int64_t place) const {
    return reinterpret_cast<T*>(scratch + place);
  }
  float* scores_of(int64_t r) const { return at<float>(plan.scores) + r * plan.score_length; }
  // A row of weights takes the place of the row of scores that they come from.
  bf16* weights_of(int64_t r) const { return reinterpret_cast<bf16*>(scores_of(r)); }
  int64_t score_row() const { return plan.score_length * static_cast<int64_t>(sizeof(float)); }

  Running<F32> running() const {
    return {at<float>(plan.tops), at<float>(plan.totals), at<float>(plan.sums), plan.length};
  }

  void run() const {
    const int64_t shared = head / p.sharing;
    pack_queries();
    const int64_t keys = p.seen_by(first + count - 1);
    for (int64_t k0 = 0; k0 < keys; k0 += plan.block_k) {
      const int64_t n = min_of(plan.block_k, keys - k0);
      const int64_t padded = ceil_div(n, kTileDepth) * kTileDepth;
      pack_panels(p.key.at(batch, shared, k0), 1, p.key.row, p.dim, n, at<bf16>(plan.keys),
                  plan.depth);
      pack_panels(p.value.at(batch, shared, k0), p.value.row, 1, n, p.dim, at<bf16>(plan.values),
                  padded);
      for (int64_t i = 0; i < count; i += kAmxQueries) {
        const int64_t rows = min_of(kAmxQueries, count - i);
        const int64_t seen = min_of(n, p.seen_by(first + i + rows - 1) - k0);
        if (seen <= 0) continue;
        const Block block = {batch, head, first + i, rows, k0, seen};
        score(block, n);
        for (int64_t r = 0; r < rows; r += 16) weigh(block, r);
        add_values(block, padded);
      }
    }
    for (int64_t r = 0; r < count; ++r) {
      running().finish(r, p.dst.at(batch, head, first + r), p.dim,
                       p.logsumexp.at(batch, head, first + r));
    }
  }

  void pack_queries() const {
    bf16* to = at<bf16>(plan.queries);
    for (int64_t r = 0; r < count; ++r) {
      const bf16* from = p.query.at(batch, head, first + r);
      for (int64_t d = 0; d < plan.depth; d += kTileDepth, to += kTileDepth) {
        store_pairs(to, load_pairs_partial(from + d, p.dim - d));
      }
    }
  }

  void score(const Block& block, int64_t packed_keys) const {
    TileProduct t;
    t.left = at<bf16>(plan.queries) + (block.first - first) * plan.depth;
    t.left_bytes = plan.depth * static_cast<int64_t>(sizeof(bf16));
    t.steps = plan.depth / kTileDepth;
    t.sums_bytes = score_row();
    t.more = false;
    for (int64_t j = 0; j < block.keys; j += kPanel) {
      const int64_t width = panel_width(packed_keys - j);
      t.right = at<bf16>(plan.keys) + j * plan.depth;
      t.right_bytes = 4 * width;
      t.sums = scores_of(0) + j;
      multiply_into(t, block.count > 16, block.keys - j > 16);
    }
  }

  // Row r of the block's mask as float32: itself, or a copy, made once where all rows are the same.
  const float* mask_of(const Block& block, int64_t r) const {
    const polyops_tensor& mask = p.mask;
    const int64_t row = mask.strides[2], column = mask.strides[3];
    const int64_t offset = block.batch * mask.strides[0] + block.head * mask.strides[1] +
                           (block.first + r) * row + block.key * column;
    const bool is_float = mask.dtype == POLYOPS_FLOAT32;
    const auto* floats = static_cast<const float*>(mask.data) + offset;
    if (is_float && column == 1) return floats;
    auto* copy = at<float>(plan.mask);
    if (r > 0 && row == 0) return copy;
    const auto fill = [&](const auto* from) {
      copy_mask<F32>(from, row, column, 1, block.keys, copy, block.keys);
    };
    is_float ? fill(floats) : fill(static_cast<const bf16*>(mask.data) + offset);
    return copy;
  }

  int64_t seen_of(const Block& block, int64_t r) const {
    const int64_t seen = min_of(block.keys, p.seen_by(block.first + r) - block.key);
    return seen > 0 && r < block.count ? seen : 0;
  }

  // Scores of 16 queries become weights, 0 of keys that they do not see but the block does; what
  // the queries had summed so far becomes relative to their new largest scores. All 16 at once: one
  // by one 512 keys took a tenth longer.
  void weigh(const Block& block, int64_t r0) const {
    const bool first_block = block.key == 0;
    const bool masked = polyops_is_present(&p.mask) != 0;
    // The largest score has the largest product, unless scale turns them round.
    const bool plain = !masked && p.scale > 0;
    const F32 lowest = F32::set1(-__builtin_inff());
    F32 each[16];
    for (int64_t i = 0; i < 16; ++i) {
      const int64_t r = r0 + i, n = seen_of(block, r);
      const float* mask = masked && r < block.count ? mask_of(block, r) : nullptr;
      each[i] = n == 0  ? lowest
                : plain ? largest_scores(scores_of(r), n)
                        : scale_and_mask(scores_of(r), n, p.scale, mask);
    }
    const int64_t own = block.first - first + r0;
    float *tops = at<float>(plan.tops) + own, *totals = at<float>(plan.totals) + own;
    const F32 largest_here = largest_of_each(each) * F32::set1(plain ? p.scale : 1);
    const F32 before = first_block ? lowest : load<F32>(tops);
    const F32 now = max(largest_here, before);  // of a NaN and a number max keeps the second
    store(tops, now);

    // Relative to 0 while there is none but -inf: its exponential is 0, a NaN's NaN.
    const __mmask16 nothing = _mm512_cmp_ps_mask(now.v, lowest.v, _CMP_EQ_OQ);
    alignas(64) float bases[16], factors[16];
    store(bases, F32{_mm512_mask_mov_ps((now * F32::set1(-kLog2E)).v, nothing, F32::zero().v)});
    const float factor = kLog2E * (plain ? p.scale : 1);
    const int64_t end = ceil_div(block.keys, kTileDepth) * kTileDepth;
    for (int64_t i = 0; i < 16; ++i) {
      const int64_t r = r0 + i;
      each[i] = r < block.count ? weights_of_scores(scores_of(r), seen_of(block, r), end, factor,
                                                    bases[i], weights_of(r))
                                : F32::zero();
    }
    const F32 here = reduce_add_each(each);
    if (first_block) {
      store(totals, here);
      return;
    }
    const __mmask16 changed = _mm512_cmp_ps_mask(now.v, before.v, _CMP_NEQ_UQ);
    const F32 shrunk = {
        _mm512_mask_mov_ps(F32::set1(1).v, changed, exp_nonpositive(before - now).v)};
    store(totals, fma(load<F32>(totals), shrunk, here));
    store(factors, shrunk);
    for (int64_t i = 0; i < 16; ++i) {
      if ((changed >> i & 1) != 0) running().shrink(own + i, factors[i]);
    }
  }

  void add_values(const Block& block, int64_t padded_keys) const {
    TileProduct t;
    t.left = weights_of(0);
    t.left_bytes = score_row();
    t.steps = ceil_div(block.keys, kTileDepth);
    t.sums_bytes = plan.length * static_cast<int64_t>(sizeof(float));
    t.more = block.key > 0;
    for (int64_t j = 0; j < p.dim; j += kPanel) {
      const int64_t width = panel_width(p.dim - j);
      t.right = at<bf16>(plan.values) + j * padded_keys;
      t.right_bytes = 4 * width;
      t.sums = at<float>(plan.sums) + (block.first - first) * plan.length + j;
      multiply_into(t, block.count > 16, width > 16);
    }
  }
};

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_ISA_AVX512
#endif  // POLYOPS_CPU_ATTENTION_AMX_BAND_H_
