// Loops over a dense row, written once for whole vectors, for pairs of them and for the tail.
#ifndef POLYOPS_CPU_SIMD_SWEEP_H_
#define POLYOPS_CPU_SIMD_SWEEP_H_

#include "simd/pair.h"
#include "simd/simd.h"

namespace polyops::cpu {
namespace {

// What a body works on: a vector, the first lanes of one, or two vectors, in load_pair's order:
// that of bfloat16 is its own, and costs half of what two vectors in memory's order do.
struct Whole {};
struct Part {
  int64_t n;
};
struct Both {};

template <class V, class E>
inline V load(const E* p, Whole) {
  return load<V>(p);
}
template <class V, class E>
inline V load(const E* p, Part lanes) {
  return load_partial<V>(p, lanes.n);
}
template <class V, class E>
inline Pair<V> load(const E* p, Both) {
  return load_pair(p);
}
template <class E, class V>
inline void store(E* p, V v, Whole) {
  store(p, v);
}
template <class E, class V>
inline void store(E* p, V v, Part lanes) {
  store_partial(p, v, lanes.n);
}
template <class E, class V>
inline void store(E* p, Pair<V> v, Both) {
  store_pair(p, v);
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
template <class V>
inline Pair<V> fill(Pair<V> v, V, Both) {
  return v;
}

// Accumulators of a reduction: enough chains to hide latency, and, where a vector is one lane,
// enough partial sums to be as accurate as the wider ISAs.
constexpr int kUnroll = F32::kLanes == 1 ? 16 : 4;

// What sweep's body does to its accumulators: into[i] = op(into[i], v), for a pair two of them.
template <int U, class V, class Op>
inline void fold(V (&into)[U], int u, V v, const Op& op) {
  into[u] = op(into[u], v);
}
template <int U, class V, class Op>
inline void fold(V (&into)[U], int u, Pair<V> v, const Op& op) {
  into[2 * u] = op(into[2 * u], v.first);
  into[2 * u + 1] = op(into[2 * u + 1], v.second);
}
template <int U, class V, class X>
inline void add(V (&into)[U], int u, X x) {
  fold(into, u, x, [](V sum, V v) { return sum + v; });
}
template <int U, class V>
inline void add_product(V (&into)[U], int u, V a, V b) {
  into[u] = fma(a, b, into[u]);
}
template <int U, class V>
inline void add_product(V (&into)[U], int u, Pair<V> a, Pair<V> b) {
  into[2 * u] = fma(a.first, b.first, into[2 * u]);
  into[2 * u + 1] = fma(a.second, b.second, into[2 * u + 1]);
}

template <class V, int U>
inline void clear(V (&v)[U], V value = V::zero()) {
  for (V& x : v) x = value;
}
template <class V, int U>
inline V partial_sum(V (&v)[U]) {
#pragma GCC unroll 4
  for (int half = U / 2; half > 0; half /= 2) {
#pragma GCC unroll 8
    for (int u = 0; u < half; ++u) v[u] = v[u] + v[u + half];
  }
  return v[0];
}
template <class V, int U>
inline typename V::Scalar total(V (&v)[U]) {
  return reduce_add(partial_sum(v));
}
template <class V, int U>
inline typename V::Scalar highest(V (&v)[U]) {
#pragma GCC unroll 16
  for (int u = 1; u < U; ++u) v[0] = max(v[0], v[u]);
  return reduce_max(v[0]);
}

// Whether a body may work on pairs: all of its rows are stored in one type, so in one order.
template <class A, class B>
constexpr bool kSame = false;
template <class A>
constexpr bool kSame<A, A> = true;

// Calls body(i, u, lanes) for the vectors that cover [0, n): u, a constant after inlining, picks
// one of U accumulators, or of U / 2 pairs of them, so that U of their chains are in flight. Two
// sweeps over as much see the same pairs.
template <class V, int U, bool kPairs = U % 2 == 0, class Body>
inline __attribute__((always_inline)) void sweep(int64_t n, const Body& body) {
  constexpr int64_t kLanes = V::kLanes;
  int64_t i = 0;
  for (; i + U * kLanes <= n; i += U * kLanes) {
    if constexpr (kPairs) {
#pragma GCC unroll 8
      for (int u = 0; u < U / 2; ++u) body(i + 2 * u * kLanes, u, Both{});
    } else {
#pragma GCC unroll 16
      for (int u = 0; u < U; ++u) body(i + u * kLanes, u, Whole{});
    }
  }
  for (; i + kLanes <= n; i += kLanes) body(i, 0, Whole{});
  if (i < n) body(i, 0, Part{n - i});
}

// dst = what(i, u, lanes) over the vectors that cover [0, n), u as above; U of them are loaded
// before the first is stored. A load whose address agrees with that of a store just before it in
// the low 12 bits waits for it, and torch's allocations often lie so (Zen 4: layer_norm backward of
// 128 x 384 took 17 us where other offsets take 9; so it takes 10).
template <class V, int U, bool kPairs = U % 2 == 0, class E, class What>
inline __attribute__((always_inline)) void fill_with(E* dst, int64_t n, const What& what) {
  constexpr int64_t kLanes = V::kLanes;
  int64_t i = 0;
  for (; i + U * kLanes <= n; i += U * kLanes) {
    if constexpr (kPairs) {
      Pair<V> v[U / 2];
#pragma GCC unroll 8
      for (int u = 0; u < U / 2; ++u) v[u] = what(i + 2 * u * kLanes, u, Both{});
#pragma GCC unroll 8
      for (int u = 0; u < U / 2; ++u) store(dst + i + 2 * u * kLanes, v[u], Both{});
    } else {
      V v[U];
#pragma GCC unroll 16
      for (int u = 0; u < U; ++u) v[u] = what(i + u * kLanes, u, Whole{});
#pragma GCC unroll 16
      for (int u = 0; u < U; ++u) store(dst + i + u * kLanes, v[u], Whole{});
    }
  }
  for (; i + kLanes <= n; i += kLanes) store(dst + i, what(i, 0, Whole{}), Whole{});
  if (i < n) store(dst + i, what(i, 0, Part{n - i}), Part{n - i});
}

// Long sums are taken in blocks of 64 steps of each chain, so that rounding grows with the root of
// a block's length and of their number, not of the row's. A block of any type fits the first-level
// cache.
template <class V, class Body>
inline void for_each_block(int64_t n, const Body& body) {
  constexpr int64_t kBlock = 64 * kUnroll * V::kLanes;
  for (int64_t i = 0; i < n; i += kBlock) body(i, n - i < kBlock ? n - i : kBlock);
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_SIMD_SWEEP_H_
