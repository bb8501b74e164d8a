// exp of a vector that is not positive: softmax needs no other. x = n ln2 + r with |r| <= ln2 / 2,
// ln2 in two parts so that the subtraction is exact, exp(r) by a minimax polynomial of degree 6,
// times 2^n. Largest relative error 7.6e-8, over the whole range (degree 5: 1.8e-7, one fma less in
// 12). Results below 2^-126 lose bits gradually, those below 2^-150 are 0; -inf gives 0, NaN NaN.
#ifndef POLYOPS_CPU_SIMD_EXP_H_
#define POLYOPS_CPU_SIMD_EXP_H_

#include "simd/pair.h"
#include "simd/simd.h"

namespace polyops::cpu {
namespace {

#if defined(POLYOPS_ISA_SCALAR)

inline F32 exp_nonpositive(F32 x) { return {__builtin_expf(x.v)}; }
inline F64 exp_nonpositive(F64 x) { return {__builtin_exp(x.v)}; }

#else

inline F32 exp_nonpositive(F32 x) {
  x = max(F32::set1(-104.0f),
          x);  // exp(-104) rounds to 0; of two operands max keeps the second's NaN
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

#endif

template <class V>
inline Pair<V> exp_nonpositive(Pair<V> x) {
  return {exp_nonpositive(x.first), exp_nonpositive(x.second)};
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_SIMD_EXP_H_
