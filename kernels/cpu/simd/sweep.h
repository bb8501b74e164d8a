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

// Accumulators of a reduction: enough chains to hide latency, and, where a vector is one lane,
// enough partial sums to be as accurate as the wider ISAs.
constexpr int kUnroll = F32::kLanes == 1 ? 16 : 4;

template <class V, int U>
inline void clear(V (&v)[U], V value = V::zero()) {
  for (V& x : v) x = value;
}
template <class V, int U>
inline typename V::Scalar total(V (&v)[U]) {
#pragma GCC unroll 4
  for (int half = U / 2; half > 0; half /= 2) {
#pragma GCC unroll 8
    for (int u = 0; u < half; ++u) v[u] = v[u] + v[u + half];
  }
  return reduce_add(v[0]);
}
template <class V, int U>
inline typename V::Scalar highest(V (&v)[U]) {
#pragma GCC unroll 16
  for (int u = 1; u < U; ++u) v[0] = max(v[0], v[u]);
  return reduce_max(v[0]);
}

// Calls body(i, u, lanes) for the vectors that cover [0, n): u, a constant below U after inlining,
// picks one of U accumulators, so that U of their chains are in flight.
template <class V, int U, class Body>
inline __attribute__((always_inline)) void sweep(int64_t n, const Body& body) {
  constexpr int64_t kLanes = V::kLanes;
  int64_t i = 0;
  for (; i + U * kLanes <= n; i += U * kLanes) {
#pragma GCC unroll 16
    for (int u = 0; u < U; ++u) body(i + u * kLanes, u, Whole{});
  }
  for (; i + kLanes <= n; i += kLanes) body(i, 0, Whole{});
  if (i < n) body(i, 0, Part{n - i});
}

// dst = what(i, u, lanes) over the vectors that cover [0, n), u as above; U of them are loaded
// before the first is stored. A load whose address agrees with that of a store just before it in the
// low 12 bits waits for it, and torch's allocations often lie so (Zen 4: layer_norm backward of
// 128 x 384 took 17 us where other offsets take 9; so it takes 10).
template <class V, int U, class E, class What>
inline __attribute__((always_inline)) void fill_with(E* dst, int64_t n, const What& what) {
  constexpr int64_t kLanes = V::kLanes;
  int64_t i = 0;
  for (; i + U * kLanes <= n; i += U * kLanes) {
    V v[U];
#pragma GCC unroll 16
    for (int u = 0; u < U; ++u) v[u] = what(i + u * kLanes, u, Whole{});
#pragma GCC unroll 16
    for (int u = 0; u < U; ++u) store(dst + i + u * kLanes, v[u]);
  }
  for (; i + kLanes <= n; i += kLanes) store(dst + i, what(i, 0, Whole{}));
  if (i < n) store(dst + i, what(i, 0, Part{n - i}), Part{n - i});
}

// Long sums are taken in blocks, so that rounding grows with the root of a block's length and of
// their number, not of the row's. A block of any type fits the first-level cache.
constexpr int64_t kBlock = 4096;

template <class Body>
inline void for_each_block(int64_t n, const Body& body) {
  for (int64_t i = 0; i < n; i += kBlock) body(i, n - i < kBlock ? n - i : kBlock);
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_SIMD_SWEEP_H_
