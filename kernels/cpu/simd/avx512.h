// F32 on AVX-512 F, BW, DQ and VL: 16 lanes, tails by mask registers.
#ifndef POLYOPS_CPU_SIMD_AVX512_H_
#define POLYOPS_CPU_SIMD_AVX512_H_

// GCC 12 warns about the deliberately undefined registers inside its own intrinsics (PR 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop

namespace polyops::cpu {
namespace {

constexpr const char kIsa[] = "avx512";

struct F32 {
  using Scalar = float;
  using Mask = __mmask16;
  static constexpr int kLanes = 16;
  static constexpr int kRegisters = 32;
  static constexpr int kLookup = 16;

  __m512 v;

  static F32 zero() { return {_mm512_setzero_ps()}; }
  static F32 set1(float x) { return {_mm512_set1_ps(x)}; }
};

inline F32 operator+(F32 a, F32 b) { return {_mm512_add_ps(a.v, b.v)}; }
inline F32 operator-(F32 a, F32 b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline F32 operator*(F32 a, F32 b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline F32 operator/(F32 a, F32 b) { return {_mm512_div_ps(a.v, b.v)}; }
inline F32 operator-(F32 a) { return {_mm512_xor_ps(a.v, _mm512_set1_ps(-0.0f))}; }
inline F32 fma(F32 a, F32 b, F32 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline F32 fnma(F32 a, F32 b, F32 c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
inline F32 min(F32 a, F32 b) { return {_mm512_min_ps(a.v, b.v)}; }
inline F32 max(F32 a, F32 b) { return {_mm512_max_ps(a.v, b.v)}; }
inline F32 abs(F32 a) { return {_mm512_abs_ps(a.v)}; }
inline F32 sqrt(F32 a) { return {_mm512_sqrt_ps(a.v)}; }
inline F32 round(F32 a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline F32 exp2i(F32 a) { return {_mm512_scalef_ps(_mm512_set1_ps(1.0f), a.v)}; }
inline F32 scale2i(F32 a, F32 n) { return {_mm512_scalef_ps(a.v, n.v)}; }
inline F32 copy_sign(F32 magnitude, F32 sign) {
  const __m512 bit = _mm512_set1_ps(-0.0f);
  return {_mm512_or_ps(_mm512_andnot_ps(bit, magnitude.v), _mm512_and_ps(bit, sign.v))};
}

inline F32 lookup(const float* table, F32 biased) {
  return {_mm512_permutexvar_ps(_mm512_castps_si512(biased.v), _mm512_loadu_ps(table))};
}

inline F32::Mask lt(F32 a, F32 b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ); }
inline F32::Mask le(F32 a, F32 b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ); }
inline F32::Mask eq(F32 a, F32 b) { return _mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ); }
inline F32::Mask is_nan(F32 a) { return _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q); }
inline bool any(F32::Mask m) { return m != 0; }
inline F32 select(F32::Mask m, F32 a, F32 b) { return {_mm512_mask_blend_ps(m, b.v, a.v)}; }

template <class V>
inline typename V::Mask first_lanes(int64_t n) {
  return static_cast<__mmask16>(n >= 16 ? 0xffffu : (1u << n) - 1u);
}

template <class V>
inline typename V::Mask lanes_between(int64_t begin, int64_t end) {
  return static_cast<__mmask16>(first_lanes<V>(end) & ~first_lanes<V>(begin));
}
template <class V>
inline V load_lanes(const float* p, __mmask16 mask) {
  return {_mm512_maskz_loadu_ps(mask, p)};
}

inline float reduce_add(F32 a) { return _mm512_reduce_add_ps(a.v); }
inline float reduce_max(F32 a) { return _mm512_reduce_max_ps(a.v); }

inline __m512 widen(__m256i half) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

// vcvtneps2bf16 would flush denormals; torch's conversion does not, so neither does this.
inline __m256i narrow(__m512 x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i bias = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
  const __m512i rounded = _mm512_srli_epi32(_mm512_add_epi32(bits, bias), 16);
  const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
  return _mm512_cvtepi32_epi16(_mm512_mask_blend_epi32(nan, rounded, _mm512_set1_epi32(0x7fc0)));
}

inline __m512 widen_f16(__m256i half) { return _mm512_cvtph_ps(half); }
inline F32 broadcast(const f16* p) {
  return {widen_f16(_mm256_set1_epi16(static_cast<int16_t>(p->bits)))};
}
inline __m256i narrow_f16(__m512 x) { return _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT); }

template <class V>
inline V load(const float* p) {
  return {_mm512_loadu_ps(p)};
}
template <class V>
inline V load(const bf16* p) {
  return {widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
template <class V>
inline V load(const f16* p) {
  return {widen_f16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
template <class V>
inline V load_partial(const float* p, int64_t n) {
  return {_mm512_maskz_loadu_ps(first_lanes<V>(n), p)};
}
template <class V>
inline V load_partial(const bf16* p, int64_t n) {
  return {widen(_mm256_maskz_loadu_epi16(first_lanes<V>(n), p))};
}
template <class V>
inline V load_partial(const f16* p, int64_t n) {
  return {widen_f16(_mm256_maskz_loadu_epi16(first_lanes<V>(n), p))};
}

inline void store(float* p, F32 a) { _mm512_storeu_ps(p, a.v); }
inline void store(bf16* p, F32 a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow(a.v));
}
inline void store(f16* p, F32 a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow_f16(a.v));
}
inline void store_partial(float* p, F32 a, int64_t n) {
  _mm512_mask_storeu_ps(p, first_lanes<F32>(n), a.v);
}
inline void store_partial(bf16* p, F32 a, int64_t n) {
  _mm256_mask_storeu_epi16(p, first_lanes<F32>(n), narrow(a.v));
}
inline void store_partial(f16* p, F32 a, int64_t n) {
  _mm256_mask_storeu_epi16(p, first_lanes<F32>(n), narrow_f16(a.v));
}

inline Pair<F32> deinterleave(F32 a, F32 b) {
  const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
  return {{_mm512_permutex2var_ps(a.v, even, b.v)}, {_mm512_permutex2var_ps(a.v, odd, b.v)}};
}
inline Pair<F32> interleave(F32 a, F32 b) {
  const __m512i low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
  return {{_mm512_permutex2var_ps(a.v, low, b.v)}, {_mm512_permutex2var_ps(a.v, high, b.v)}};
}

inline Pair<F32> load_pair(const float* p) { return {load<F32>(p), load<F32>(p + 16)}; }
inline void store_pair(float* p, Pair<F32> a) {
  store(p, a.first);
  store(p + 16, a.second);
}
inline Pair<F32> load_pair(const f16* p) { return {load<F32>(p), load<F32>(p + 16)}; }
inline void store_pair(f16* p, Pair<F32> a) {
  store(p, a.first);
  store(p + 16, a.second);
}
// The even lanes and the odd ones: a shift and a mask, where widening two halves takes four steps.
inline Pair<F32> load_pair(const bf16* p) {
  const __m512i words = _mm512_loadu_si512(p);
  return {{_mm512_castsi512_ps(_mm512_slli_epi32(words, 16))},
          {_mm512_castsi512_ps(_mm512_and_si512(words, _mm512_set1_epi32(-0x10000)))}};
}
// Rounded, in the upper half of every 32 bits.
inline __m512i round_to_upper_half(__m512 x) {
  const __m512i bits = _mm512_castps_si512(x);
  const __mmask16 odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
  const __m512i biased = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
  return _mm512_mask_add_epi32(biased, odd, biased, _mm512_set1_epi32(1));
}
inline void store_pair(bf16* p, Pair<F32> a) {
  const __m512i even = _mm512_srli_epi32(round_to_upper_half(a.first.v), 16);
  const __m512i odd = round_to_upper_half(a.second.v);
  _mm512_storeu_si512(p, _mm512_mask_blend_epi16(0xaaaaaaaau, even, odd));
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_SIMD_AVX512_H_
