// Arithmetic on a Pair of vectors, lane by lane, so that a loop body written for one vector serves
// for two.
#ifndef POLYOPS_CPU_SIMD_PAIR_H_
#define POLYOPS_CPU_SIMD_PAIR_H_

#include "simd/simd.h"

namespace polyops::cpu {
namespace {

// clang-format off
template <class V> inline Pair<V> operator+(Pair<V> a, Pair<V> b) { return {a.first + b.first, a.second + b.second}; }
template <class V> inline Pair<V> operator-(Pair<V> a, Pair<V> b) { return {a.first - b.first, a.second - b.second}; }
template <class V> inline Pair<V> operator*(Pair<V> a, Pair<V> b) { return {a.first * b.first, a.second * b.second}; }
template <class V> inline Pair<V> operator+(Pair<V> a, V b) { return {a.first + b, a.second + b}; }
template <class V> inline Pair<V> operator-(Pair<V> a, V b) { return {a.first - b, a.second - b}; }
template <class V> inline Pair<V> operator*(Pair<V> a, V b) { return {a.first * b, a.second * b}; }
template <class V> inline Pair<V> fma(Pair<V> a, Pair<V> b, Pair<V> c) { return {fma(a.first, b.first, c.first), fma(a.second, b.second, c.second)}; }
template <class V> inline Pair<V> fma(Pair<V> a, V b, V c) { return {fma(a.first, b, c), fma(a.second, b, c)}; }
template <class V> inline Pair<V> fnma(Pair<V> a, V b, Pair<V> c) { return {fnma(a.first, b, c.first), fnma(a.second, b, c.second)}; }
// clang-format on

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_SIMD_PAIR_H_
