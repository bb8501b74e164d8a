// Scores of one query become weights in bfloat16, for AMX (amx_band.h). A third of the time goes
// here at a head size of 64, so that the exponential is cut to this one use: exp(s - m) = 2^y, y =
// s log2(e) - m log2(e), 2^y = 2^floor(y) p(y - floor(y)), p by a minimax polynomial of degree 5,
// p(0) = 1. Relative error 1.5e-7, far below a weight's 2^-9, but the total of them stays in
// float32. 12 operations of the two ports for a vector, 18 with exp_nonpositive.
#ifndef POLYOPS_CPU_ATTENTION_AMX_WEIGHTS_H_
#define POLYOPS_CPU_ATTENTION_AMX_WEIGHTS_H_

#include <cstdint>

#include "numbers.h"
#include "simd/bf16_pairs.h"
#include "simd/sweep.h"
#include "simd/transpose.h"

#if defined(POLYOPS_ISA_AVX512)

namespace polyops::cpu {
namespace {

inline constexpr float kLog2E = 0x1.715476p+0f;

// 0 for -inf, NaN for NaN; right a little above 0, too.
inline F32 exp2_of(F32 y) {
  const F32 r = {_mm512_reduce_ps(y.v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC)};
  F32 p = F32::set1(0x1.e974fap-10f);
  p = fma(p, r, F32::set1(0x1.277856p-7f));
  p = fma(p, r, F32::set1(0x1.c91ce6p-5f));
  p = fma(p, r, F32::set1(0x1.ebdb56p-3f));
  p = fma(p, r, F32::set1(0x1.62e4bap-1f));
  p = fma(p, r, F32::set1(1.0f));
  return {_mm512_scalef_ps(p.v, y.v)};
}

// Lane by lane, the largest score, -inf if there is none.
inline F32 largest_scores(const float* scores, int64_t n) {
  const F32 none = F32::set1(-__builtin_inff());
  F32 top[kUnroll];
  clear(top, none);
  sweep<F32, kUnroll, false>(n, [&](int64_t i, int u, auto lanes) {
    top[u] = max(top[u], fill(load<F32>(scores + i, lanes), none, lanes));
  });
  return max(max(top[0], top[1]), max(top[2], top[3]));
}

// As above, of scores = scale scores + mask; mask null: none.
inline F32 scale_and_mask(float* scores, int64_t n, float scale, const float* mask) {
  const F32 factor = F32::set1(scale), none = F32::set1(-__builtin_inff());
  F32 top[kUnroll];
  clear(top, none);
  fill_with<F32, kUnroll, false>(scores, n, [&](int64_t i, int u, auto lanes) {
    const F32 added = mask == nullptr ? F32::zero() : load<F32>(mask + i, lanes);
    const F32 x = fma(load<F32>(scores + i, lanes), factor, added);
    top[u] = max(top[u], fill(x, none, lanes));
    return x;
  });
  return max(max(top[0], top[1]), max(top[2], top[3]));
}

// weights = 2^(factor scores + base), which may lie where the scores do, and 0 from n to `end`, a
// multiple of 32. Returns the totals, lane by lane.
inline F32 weights_of_scores(const float* scores, int64_t n, int64_t end, float factor, float base,
                             bf16* weights) {
  const F32 f = F32::set1(factor), b = F32::set1(base), zero = F32::zero();
  F32 sum[2] = {zero, zero};
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) {
    const F32 low = exp2_of(fma(load<F32>(scores + i), f, b));
    const F32 high = exp2_of(fma(load<F32>(scores + i + 16), f, b));
    sum[0] = sum[0] + low;
    sum[1] = sum[1] + high;
    store_pairs(weights + i, flushed(low, high));
  }
  for (; i < end; i += 32) {
    const auto part = [&](int64_t at) {
      const int64_t lanes = at < n ? min_of(16, n - at) : 0;
      const F32 e = exp2_of(fma(load_partial<F32>(scores + at, lanes), f, b));
      return select(first_lanes<F32>(lanes), e, zero);
    };
    const F32 low = part(i), high = part(i + 16);
    sum[0] = sum[0] + low;
    sum[1] = sum[1] + high;
    store_pairs(weights + i, flushed(low, high));
  }
  return sum[0] + sum[1];
}

// Of 16 vectors: lane i is the largest lane of v[i].
inline F32 largest_of_each(F32 (&v)[16]) {
  transpose(v);
#pragma GCC unroll 4
  for (int half = 8; half > 0; half /= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < half; ++i) v[i] = max(v[i], v[i + half]);
  }
  return v[0];
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_ISA_AVX512
#endif  // POLYOPS_CPU_ATTENTION_AMX_WEIGHTS_H_
