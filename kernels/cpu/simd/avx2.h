// F32 on AVX2 and FMA: 8 lanes, tails by vmaskmov (floats) or through a small buffer (bfloat16).
#ifndef POLYOPS_CPU_SIMD_AVX2_H_
#define POLYOPS_CPU_SIMD_AVX2_H_

#include <immintrin.h>

namespace polyops::cpu {
namespace {

constexpr const char kIsa[] = "avx2";

struct F32 {
  using Scalar = float;
  using Mask = __m256;  // all ones or all zeros per lane
  static constexpr int kLanes = 8;
  static constexpr int kRegisters = 16;
  static constexpr int kLookup = 8;

  __m256 v;

  static F32 zero() { return {_mm256_setzero_ps()}; }
  static F32 set1(float x) { return {_mm256_set1_ps(x)}; }
};

inline F32 operator+(F32 a, F32 b) { return {_mm256_add_ps(a.v, b.v)}; }
inline F32 operator-(F32 a, F32 b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline F32 operator*(F32 a, F32 b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline F32 operator/(F32 a, F32 b) { return {_mm256_div_ps(a.v, b.v)}; }
inline F32 operator-(F32 a) { return {_mm256_xor_ps(a.v, _mm256_set1_ps(-0.0f))}; }
inline F32 fma(F32 a, F32 b, F32 c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline F32 fnma(F32 a, F32 b, F32 c) { return {_mm256_fnmadd_ps(a.v, b.v, c.v)}; }
inline F32 min(F32 a, F32 b) { return {_mm256_min_ps(a.v, b.v)}; }
inline F32 max(F32 a, F32 b) { return {_mm256_max_ps(a.v, b.v)}; }
inline F32 abs(F32 a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
inline F32 sqrt(F32 a) { return {_mm256_sqrt_ps(a.v)}; }
inline F32 round(F32 a) {
  return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline F32 exp2i(F32 a) {
  const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(a.v), _mm256_set1_epi32(127));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(biased, 23))};
}
// In two steps: either half of n is an exponent of normal numbers, only the second product rounds.
inline F32 scale2i(F32 a, F32 n) {
  const __m256i whole = _mm256_cvtps_epi32(n.v);
  const __m256i half = _mm256_srai_epi32(whole, 1);
  const __m256i rest = _mm256_sub_epi32(whole, half);
  const __m256i bias = _mm256_set1_epi32(127);
  const __m256i first = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
  const __m256i second = _mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23);
  const __m256 scaled = _mm256_mul_ps(a.v, _mm256_castsi256_ps(first));
  return {_mm256_mul_ps(scaled, _mm256_castsi256_ps(second))};
}
inline F32 copy_sign(F32 magnitude, F32 sign) {
  const __m256 bit = _mm256_set1_ps(-0.0f);
  return {_mm256_or_ps(_mm256_andnot_ps(bit, magnitude.v), _mm256_and_ps(bit, sign.v))};
}

inline F32 lookup(const float* table, F32 biased) {
  return {_mm256_permutevar8x32_ps(_mm256_loadu_ps(table), _mm256_castps_si256(biased.v))};
}

inline F32::Mask lt(F32 a, F32 b) { return _mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ); }
inline F32::Mask le(F32 a, F32 b) { return _mm256_cmp_ps(a.v, b.v, _CMP_LE_OQ); }
inline F32::Mask eq(F32 a, F32 b) { return _mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ); }
inline F32::Mask is_nan(F32 a) { return _mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q); }
inline bool any(F32::Mask m) { return _mm256_movemask_ps(m) != 0; }
inline F32 select(F32::Mask m, F32 a, F32 b) { return {_mm256_blendv_ps(b.v, a.v, m)}; }

inline __m256i first_lanes_bits(int64_t n) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n > 8 ? 8 : n)), lane);
}
template <class V>
inline typename V::Mask first_lanes(int64_t n) {
  return _mm256_castsi256_ps(first_lanes_bits(n));
}

template <class V>
inline typename V::Mask lanes_between(int64_t begin, int64_t end) {
  return _mm256_andnot_ps(first_lanes<V>(begin), first_lanes<V>(end));
}
template <class V>
inline V load_lanes(const float* p, __m256 mask) {
  return {_mm256_maskload_ps(p, _mm256_castps_si256(mask))};
}

inline float reduce_add(F32 a) {
  __m128 x = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  x = _mm_add_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
inline float reduce_max(F32 a) {
  __m128 x = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  x = _mm_max_ps(x, _mm_movehl_ps(x, x));
  return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}

inline __m256 widen(__m128i half) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

inline __m128i narrow(__m256 x) {
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i bias = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
  const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, bias), 16);
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  const __m256i words = _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7fc0), nan);
  const __m256i packed = _mm256_packus_epi32(words, words);
  return _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
}

inline __m256 widen_f16(__m128i half) { return _mm256_cvtph_ps(half); }
inline F32 broadcast(const f16* p) {
  return {widen_f16(_mm_set1_epi16(static_cast<int16_t>(p->bits)))};
}
inline __m128i narrow_f16(__m256 x) { return _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT); }

template <class V>
inline V load(const float* p) {
  return {_mm256_loadu_ps(p)};
}
template <class V>
inline V load(const bf16* p) {
  return {widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
template <class V>
inline V load(const f16* p) {
  return {widen_f16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
template <class V>
inline V load_partial(const float* p, int64_t n) {
  return {_mm256_maskload_ps(p, first_lanes_bits(n))};
}
template <class V, class E>
inline V load_partial_of_16_bits(const E* p, int64_t n) {
  E lanes[8] = {};
  for (int64_t i = 0; i < n && i < 8; ++i) lanes[i] = p[i];
  return load<V>(lanes);
}
template <class V>
inline V load_partial(const bf16* p, int64_t n) {
  return load_partial_of_16_bits<V>(p, n);
}
template <class V>
inline V load_partial(const f16* p, int64_t n) {
  return load_partial_of_16_bits<V>(p, n);
}

inline void store(float* p, F32 a) { _mm256_storeu_ps(p, a.v); }
inline void store(bf16* p, F32 a) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow(a.v)); }
inline void store(f16* p, F32 a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), narrow_f16(a.v));
}
inline void store_partial(float* p, F32 a, int64_t n) {
  _mm256_maskstore_ps(p, first_lanes_bits(n), a.v);
}
template <class E>
inline void store_partial_of_16_bits(E* p, F32 a, int64_t n) {
  E lanes[8];
  store(lanes, a);
  for (int64_t i = 0; i < n && i < 8; ++i) p[i] = lanes[i];
}
inline void store_partial(bf16* p, F32 a, int64_t n) { store_partial_of_16_bits(p, a, n); }
inline void store_partial(f16* p, F32 a, int64_t n) { store_partial_of_16_bits(p, a, n); }

inline F32 swap_middle(__m256 a) {
  return {_mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(a), 0xd8))};
}
inline Pair<F32> deinterleave(F32 a, F32 b) {
  return {swap_middle(_mm256_shuffle_ps(a.v, b.v, 0x88)),
          swap_middle(_mm256_shuffle_ps(a.v, b.v, 0xdd))};
}
inline Pair<F32> interleave(F32 a, F32 b) {
  const __m256 low = _mm256_unpacklo_ps(a.v, b.v), high = _mm256_unpackhi_ps(a.v, b.v);
  return {{_mm256_permute2f128_ps(low, high, 0x20)}, {_mm256_permute2f128_ps(low, high, 0x31)}};
}

inline Pair<F32> load_pair(const float* p) { return {load<F32>(p), load<F32>(p + 8)}; }
inline void store_pair(float* p, Pair<F32> a) {
  store(p, a.first);
  store(p + 8, a.second);
}
inline Pair<F32> load_pair(const f16* p) { return {load<F32>(p), load<F32>(p + 8)}; }
inline void store_pair(f16* p, Pair<F32> a) {
  store(p, a.first);
  store(p + 8, a.second);
}
// The even lanes and the odd ones: a shift and a mask, where widening two halves takes four steps.
inline Pair<F32> load_pair(const bf16* p) {
  const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return {{_mm256_castsi256_ps(_mm256_slli_epi32(words, 16))},
          {_mm256_castsi256_ps(_mm256_and_si256(words, _mm256_set1_epi32(-0x10000)))}};
}
// Rounded, in the upper half of every 32 bits.
inline __m256i round_to_upper_half(__m256 x) {
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  return _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
}
inline void store_pair(bf16* p, Pair<F32> a) {
  const __m256i even = _mm256_srli_epi32(round_to_upper_half(a.first.v), 16);
  const __m256i odd = round_to_upper_half(a.second.v);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_blend_epi16(even, odd, 0xaa));
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_SIMD_AVX2_H_
