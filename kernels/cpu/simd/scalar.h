// F32 and F64 of one lane: plain C++, for every machine, and for float64 everywhere.
#ifndef POLYOPS_CPU_SIMD_SCALAR_H_
#define POLYOPS_CPU_SIMD_SCALAR_H_

namespace polyops::cpu {
namespace {

constexpr const char kIsa[] = "scalar";

template <class T>
struct One {
  using Scalar = T;
  using Mask = bool;
  static constexpr int kLanes = 1;
  static constexpr int kRegisters = 16;
  static constexpr int kLookup = 16;

  T v;

  static One zero() { return {T{0}}; }
  static One set1(T x) { return {x}; }
};
using F32 = One<float>;
using F64 = One<double>;

inline float builtin_sqrt(float x) { return __builtin_sqrtf(x); }
inline double builtin_sqrt(double x) { return __builtin_sqrt(x); }
inline float builtin_round(float x) { return __builtin_rintf(x); }
inline double builtin_round(double x) { return __builtin_rint(x); }
inline float builtin_exp2i(float x) { return __builtin_ldexpf(1.0f, static_cast<int>(x)); }
inline double builtin_exp2i(double x) { return __builtin_ldexp(1.0, static_cast<int>(x)); }

// clang-format off
template <class T> inline One<T> operator+(One<T> a, One<T> b) { return {a.v + b.v}; }
template <class T> inline One<T> operator-(One<T> a, One<T> b) { return {a.v - b.v}; }
template <class T> inline One<T> operator*(One<T> a, One<T> b) { return {a.v * b.v}; }
template <class T> inline One<T> operator/(One<T> a, One<T> b) { return {a.v / b.v}; }
template <class T> inline One<T> operator-(One<T> a) { return {-a.v}; }
template <class T> inline One<T> fma(One<T> a, One<T> b, One<T> c) { return {a.v * b.v + c.v}; }
template <class T> inline One<T> fnma(One<T> a, One<T> b, One<T> c) { return {c.v - a.v * b.v}; }
template <class T> inline One<T> min(One<T> a, One<T> b) { return {a.v < b.v ? a.v : b.v}; }
template <class T> inline One<T> max(One<T> a, One<T> b) { return {a.v > b.v ? a.v : b.v}; }
template <class T> inline One<T> abs(One<T> a) { return {a.v < 0 ? -a.v : a.v + 0}; }
template <class T> inline One<T> sqrt(One<T> a) { return {builtin_sqrt(a.v)}; }
template <class T> inline One<T> round(One<T> a) { return {builtin_round(a.v)}; }
template <class T> inline One<T> exp2i(One<T> a) { return {builtin_exp2i(a.v)}; }
template <class T> inline One<T> scale2i(One<T> a, One<T> n) { return {static_cast<T>(__builtin_ldexp(a.v, static_cast<int>(n.v)))}; }
template <class T> inline One<T> copy_sign(One<T> m, One<T> s) { return {static_cast<T>(__builtin_copysign(m.v, s.v))}; }
template <class T> inline bool lt(One<T> a, One<T> b) { return a.v < b.v; }
template <class T> inline bool le(One<T> a, One<T> b) { return a.v <= b.v; }
template <class T> inline bool eq(One<T> a, One<T> b) { return a.v == b.v; }
template <class T> inline bool is_nan(One<T> a) { return a.v != a.v; }
inline bool any(bool m) { return m; }
template <class T> inline One<T> select(bool m, One<T> a, One<T> b) { return m ? a : b; }
template <class T> inline T reduce_add(One<T> a) { return a.v; }
template <class T> inline T reduce_max(One<T> a) { return a.v; }
// clang-format on

inline F32 lookup(const float* table, F32 biased) {
  uint32_t bits;
  __builtin_memcpy(&bits, &biased.v, sizeof bits);
  return {table[bits & (F32::kLookup - 1)]};
}

template <class V>
inline bool first_lanes(int64_t n) {
  return n > 0;
}

template <class V>
inline bool lanes_between(int64_t begin, int64_t end) {
  return begin <= 0 && end > 0;
}
template <class V, class E>
inline V load_lanes(const E* p, bool mask) {
  return mask ? V{*p} : V::zero();
}

template <class V>
inline V load(const float* p) {
  return {*p};
}
template <class V>
inline V load(const double* p) {
  return {*p};
}
template <class V>
inline V load(const bf16* p) {
  return {to_float(*p)};
}
inline F32 broadcast(const f16* p) { return {to_float(*p)}; }
template <class V>
inline V load(const f16* p) {
  return {to_float(*p)};
}
template <class V, class E>
inline V load_partial(const E* p, int64_t n) {
  return n > 0 ? load<V>(p) : V::zero();
}

inline void store(float* p, F32 a) { *p = a.v; }
inline void store(double* p, F64 a) { *p = a.v; }
inline void store(bf16* p, F32 a) { *p = to_bf16(a.v); }
inline void store(f16* p, F32 a) { *p = to_f16(a.v); }
template <class E, class V>
inline void store_partial(E* p, V a, int64_t n) {
  if (n > 0) store(p, a);
}

template <class T>
inline Pair<One<T>> deinterleave(One<T> a, One<T> b) {
  return {a, b};
}
template <class T>
inline Pair<One<T>> interleave(One<T> a, One<T> b) {
  return {a, b};
}

inline Pair<F64> load_pair(const double* p) { return {load<F64>(p), load<F64>(p + 1)}; }
template <class E>
inline Pair<F32> load_pair(const E* p) {
  return {load<F32>(p), load<F32>(p + 1)};
}
template <class E, class V>
inline void store_pair(E* p, Pair<V> a) {
  store(p, a.first);
  store(p + 1, a.second);
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_SIMD_SCALAR_H_
