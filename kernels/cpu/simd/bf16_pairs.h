// Pairs of bfloat16 that are neighbours along k, multiplied and added up by one instruction. Only
// some of the machines that run an ISA have it, so kernels ask multiplies_bf16(); and it stands
// here by its name, since a compiler flag would let the compiler use it elsewhere.
//
//   kHasBf16Pairs            whether this ISA may have it; without it nothing below exists
//   Bf16Pairs                one pair for every lane of F32
//   fma(a, b, c)             c + a.first b.first + a.second b.second; takes denormals for 0
//   load_pairs(p)  load_pairs_partial(p, elements)   the others are 0
//   broadcast_pair(p)        the two elements at p in every lane
//   interleave(a, b)         a[0] b[0] a[1] b[1] ...; two vectors of pairs
//   words(pairs)  pairs(words)   the same bits as F32, for transposing
//   store_flushed(bf16*, v)  store_flushed_partial   rounded to nearest even; denormals become 0
//   flushed(low, high)       two vectors, rounded so, in the order in which they would be stored
#ifndef POLYOPS_CPU_SIMD_BF16_PAIRS_H_
#define POLYOPS_CPU_SIMD_BF16_PAIRS_H_

#include <cstdint>

#include "simd/simd.h"

namespace polyops::cpu {
namespace {

#if defined(POLYOPS_ISA_AVX512)

constexpr bool kHasBf16Pairs = true;

inline bool multiplies_bf16() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512bf16") != 0;
}

struct Bf16Pairs {
  __m512i v;
};

inline F32 fma(Bf16Pairs a, Bf16Pairs b, F32 c) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(c.v) : "v"(a.v), "v"(b.v));
  return c;
}

inline Bf16Pairs load_pairs(const bf16* p) { return {_mm512_loadu_si512(p)}; }
inline Bf16Pairs load_pairs_partial(const bf16* p, int64_t elements) {
  const auto mask = static_cast<__mmask32>(elements >= 32 ? ~0u : (1u << elements) - 1u);
  return {_mm512_maskz_loadu_epi16(mask, p)};
}
inline void store_pairs(bf16* p, Bf16Pairs a) { _mm512_storeu_si512(p, a.v); }

inline Bf16Pairs flushed(F32 low, F32 high) {
  Bf16Pairs both;
  asm("vcvtne2ps2bf16 %1, %2, %0" : "=v"(both.v) : "v"(low.v), "v"(high.v));
  return both;
}

inline Bf16Pairs broadcast_pair(const bf16* p) {
  int32_t word;
  __builtin_memcpy(&word, p, sizeof word);
  return {_mm512_set1_epi32(word)};
}

inline Pair<Bf16Pairs> interleave(Bf16Pairs a, Bf16Pairs b) {
  const __m512i each = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  // Of every pair of indices the second one is b's.
  const __m512i first = _mm512_add_epi32(_mm512_slli_epi32(each, 16),
                                         _mm512_add_epi32(each, _mm512_set1_epi32(0x200000)));
  const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(0x100010));
  return {{_mm512_permutex2var_epi16(a.v, first, b.v)},
          {_mm512_permutex2var_epi16(a.v, second, b.v)}};
}

inline F32 words(Bf16Pairs a) { return {_mm512_castsi512_ps(a.v)}; }
inline Bf16Pairs pairs(F32 a) { return {_mm512_castps_si512(a.v)}; }

inline __m256i narrow_flushed(__m512 x) {
  __m256i half;
  asm("vcvtneps2bf16 %1, %0" : "=v"(half) : "v"(x));
  return half;
}
inline void store_flushed(bf16* p, F32 a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow_flushed(a.v));
}
inline void store_flushed_partial(bf16* p, F32 a, int64_t n) {
  _mm256_mask_storeu_epi16(p, first_lanes<F32>(n), narrow_flushed(a.v));
}

#else

constexpr bool kHasBf16Pairs = false;
inline bool multiplies_bf16() { return false; }

#endif

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_SIMD_BF16_PAIRS_H_
