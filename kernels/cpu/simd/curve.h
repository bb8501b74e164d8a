// A smooth function of t >= 0 that falls from 1/2 to 0, as a table of polynomials: with V::kLookup
// intervals, every coefficient of a whole vector comes from one lookup, so neither exp nor a
// division is needed. Sigmoid-like functions are such a half and its mirror image.
#ifndef POLYOPS_CPU_SIMD_CURVE_H_
#define POLYOPS_CPU_SIMD_CURVE_H_

#include "simd/simd.h"

namespace polyops::cpu {
namespace {

// Interval k holds the t nearest to k * width, its polynomial is in t - k * width; the last
// interval also holds all t beyond it, and its coefficients are 0.
template <int kIntervals, int kDegree>
struct Curve {
  float width;
  float coefficients[kDegree + 1][kIntervals];  // constants first
};

// half(t) for t >= 0; NaN for NaN. local_from is t itself, for which infinity gives NaN, or
// inside = min(last interval, t), for which it gives 0.
template <class V, int kIntervals, int kDegree>
inline V evaluate(const Curve<kIntervals, kDegree>& half, V inside, V local_from) {
  static_assert(kIntervals == V::kLookup);
  const V bias = V::set1(kLookupBias);
  const V biased = fma(inside, V::set1(1.0f / half.width), bias);
  const V local = fnma(biased - bias, V::set1(half.width), local_from);
  V y = lookup(half.coefficients[kDegree], biased);
  for (int power = kDegree - 1; power >= 0; --power) {
    y = fma(y, local, lookup(half.coefficients[power], biased));
  }
  return y;
}

// x c(x) with c(x) = half(-x) for x < 0, 1 - half(x) for x >= 0, as max(0, x) - |x| half(|x|).
// Of +inf inf, of -inf NaN.
template <class V, int kIntervals, int kDegree>
inline V mirrored_times_x(const Curve<kIntervals, kDegree>& half, V x) {
  const V last = V::set1((kIntervals - 1) * half.width);
  const V t = abs(min(last, x));
  const V inside = min(last, t);
  return fnma(t, evaluate(half, inside, inside), max(V::zero(), x));
}

// c(x); NaN for infinities.
template <class V, int kIntervals, int kDegree>
inline V mirrored(const Curve<kIntervals, kDegree>& half, V x) {
  const V t = abs(x);
  const V y = evaluate(half, min(V::set1((kIntervals - 1) * half.width), t), t);
  return select(le(V::zero(), x), V::set1(1.0f) - y, y);
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_SIMD_CURVE_H_
