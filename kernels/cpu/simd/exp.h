// exp of a vector. x = n ln2 + r with |r| <= ln2 / 2, ln2 in two parts so that the subtraction is
// exact, exp(r) by a minimax polynomial of degree 6, times 2^n. Largest relative error 7.6e-8, over
// the whole range (degree 5: 1.8e-7, one fma less in 12). Results below 2^-126 lose bits gradually,
// those below 2^-150 are 0; -inf gives 0, +inf and overflow +inf, NaN stays NaN.
#ifndef POLYOPS_CPU_SIMD_EXP_H_
#define POLYOPS_CPU_SIMD_EXP_H_

#include "simd/simd.h"

namespace polyops::cpu {
namespace {

#if defined(POLYOPS_ISA_SCALAR)

inline F32 exp(F32 x) { return {__builtin_expf(x.v)}; }
inline F64 exp(F64 x) { return {__builtin_exp(x.v)}; }
inline F32 exp_nonpositive(F32 x) { return exp(x); }
inline F64 exp_nonpositive(F64 x) { return exp(x); }

#else

// x in [-104, 89] or NaN.
inline F32 exp_in_range(F32 x) {
  const F32 n = round(x * F32::set1(0x1.715476p+0f));
  F32 r = fnma(n, F32::set1(0x1.63p-1f), x);
  r = fnma(n, F32::set1(-0x1.bd0106p-13f), r);
  F32 p = F32::set1(0x1.6a23d0p-10f);
  p = fma(p, r, F32::set1(0x1.123a20p-7f));
  p = fma(p, r, F32::set1(0x1.5558f2p-5f));
  p = fma(p, r, F32::set1(0x1.555492p-3f));
  p = fma(p, r, F32::set1(0x1.fffffcp-2f));
  p = fma(p, r, F32::set1(1.0f));
  p = fma(p, r, F32::set1(1.0f));
  return scale2i(p, n);
}

// For x <= 0 (-inf included) or NaN. exp(-104) rounds to 0; max keeps a NaN in its second operand.
inline F32 exp_nonpositive(F32 x) { return exp_in_range(max(F32::set1(-104.0f), x)); }

inline F32 exp(F32 x) { return exp_nonpositive(min(F32::set1(89.0f), x)); }

#endif

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_SIMD_EXP_H_
