// A smooth function of t >= 0 that falls from 1/2 to 0, as a table of polynomials: with V::kLookup
// intervals, every coefficient of a whole vector comes from one lookup, so neither exp nor a
// division is needed. Sigmoid-like functions are such a half and its mirror image.
#ifndef POLYOPS_CPU_SIMD_CURVE_H_
#define POLYOPS_CPU_SIMD_CURVE_H_

#include "simd/simd.h"

namespace polyops::cpu {
namespace {

// Interval k holds the t nearest to k * width, its polynomial is in t - k * width; the last interval
// also holds all t beyond it, and its coefficients are 0.
template <int kIntervals, int kDegree>
struct Curve {
  float width;
  float coefficients[kDegree + 1][kIntervals];  // constants first
};

// half(|x|) for x < 0, 1 - half(|x|) for x >= 0. NaN for NaN; for infinities 0 and 1 with kSaturate,
// else NaN.
template <bool kSaturate, class V, int kIntervals, int kDegree>
inline V mirrored(const Curve<kIntervals, kDegree>& half, V x) {
  static_assert(kIntervals == V::kLookup);
  const V bias = V::set1(kLookupBias);
  const V t = abs(x);
  const V inside = min(V::set1((kIntervals - 1) * half.width), t);
  const V biased = fma(inside, V::set1(1.0f / half.width), bias);
  const V local = fnma(biased - bias, V::set1(half.width), kSaturate ? inside : t);
  V y = lookup(half.coefficients[kDegree], biased);
  for (int power = kDegree - 1; power >= 0; --power) {
    y = fma(y, local, lookup(half.coefficients[power], biased));
  }
  return select(lt(x, V::zero()), y, V::set1(1.0f) - y);
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_SIMD_CURVE_H_
