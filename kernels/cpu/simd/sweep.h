// Loops over a dense row, written once for whole vectors and for the tail.
#ifndef POLYOPS_CPU_SIMD_SWEEP_H_
#define POLYOPS_CPU_SIMD_SWEEP_H_

#include "simd/simd.h"

namespace polyops::cpu {
namespace {

// How many lanes of a vector a body works on: all of them, or the first few.
struct Whole {};
struct Part {
  int64_t n;
};

template <class V, class E>
inline V load(const E* p, Whole) {
  return load<V>(p);
}
template <class V, class E>
inline V load(const E* p, Part lanes) {
  return load_partial<V>(p, lanes.n);
}
template <class E, class V>
inline void store(E* p, V v, Whole) {
  store(p, v);
}
template <class E, class V>
inline void store(E* p, V v, Part lanes) {
  store_partial(p, v, lanes.n);
}
// v, with other in the lanes that are not worked on.
template <class V>
inline V fill(V v, V, Whole) {
  return v;
}
template <class V>
inline V fill(V v, V other, Part lanes) {
  return select(first_lanes<V>(lanes.n), v, other);
}

// Calls body(i, u, lanes) for the vectors that cover [0, n): u, a constant below U after inlining,
// picks one of U accumulators, so that U of their chains are in flight.
template <class V, int U, class Body>
inline __attribute__((always_inline)) void sweep(int64_t n, const Body& body) {
  constexpr int64_t kLanes = V::kLanes;
  int64_t i = 0;
  for (; i + U * kLanes <= n; i += U * kLanes) {
#pragma GCC unroll 8
    for (int u = 0; u < U; ++u) body(i + u * kLanes, u, Whole{});
  }
  for (; i + kLanes <= n; i += kLanes) body(i, 0, Whole{});
  if (i < n) body(i, 0, Part{n - i});
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_SIMD_SWEEP_H_
