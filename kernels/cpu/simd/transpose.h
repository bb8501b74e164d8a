// Operations on kLanes vectors at once, through registers:
//   transpose(v)         lane j of v[i] <-> lane i of v[j]
//   reduce_add_each(v)   lane i of the result is the sum of the lanes of v[i]
#ifndef POLYOPS_CPU_SIMD_TRANSPOSE_H_
#define POLYOPS_CPU_SIMD_TRANSPOSE_H_

#include "simd/simd.h"

namespace polyops::cpu {
namespace {

#if defined(POLYOPS_ISA_AVX512)

// Columns of 4 x 4 blocks: after it, 128-bit lane l of v[4 g + c] holds column 4 l + c of rows
// 4 g .. 4 g + 3.
inline void transpose_4x4(F32 (&v)[16]) {
#pragma GCC unroll 4
  for (int g = 0; g < 16; g += 4) {
    const __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(v[g].v, v[g + 1].v));
    const __m512d b = _mm512_castps_pd(_mm512_unpackhi_ps(v[g].v, v[g + 1].v));
    const __m512d c = _mm512_castps_pd(_mm512_unpacklo_ps(v[g + 2].v, v[g + 3].v));
    const __m512d d = _mm512_castps_pd(_mm512_unpackhi_ps(v[g + 2].v, v[g + 3].v));
    v[g].v = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
    v[g + 1].v = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
    v[g + 2].v = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
    v[g + 3].v = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
  }
}

inline void transpose(F32 (&v)[16]) {
  transpose_4x4(v);
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {  // the 4 x 4 matrix of 128-bit lanes of v[c], v[4 + c], ...
    const __m512 even01 = _mm512_shuffle_f32x4(v[c].v, v[4 + c].v, 0x88);
    const __m512 odd01 = _mm512_shuffle_f32x4(v[c].v, v[4 + c].v, 0xdd);
    const __m512 even23 = _mm512_shuffle_f32x4(v[8 + c].v, v[12 + c].v, 0x88);
    const __m512 odd23 = _mm512_shuffle_f32x4(v[8 + c].v, v[12 + c].v, 0xdd);
    v[c].v = _mm512_shuffle_f32x4(even01, even23, 0x88);
    v[4 + c].v = _mm512_shuffle_f32x4(odd01, odd23, 0x88);
    v[8 + c].v = _mm512_shuffle_f32x4(even01, even23, 0xdd);
    v[12 + c].v = _mm512_shuffle_f32x4(odd01, odd23, 0xdd);
  }
}

inline F32 reduce_add_each(F32 (&v)[16]) {
  __m512 four[4];  // 128-bit lane l of four[g]: partial sums of v[4 g] .. v[4 g + 3]
#pragma GCC unroll 4
  for (int g = 0; g < 4; ++g) {
    const __m512 a = v[4 * g].v, b = v[4 * g + 1].v, c = v[4 * g + 2].v, d = v[4 * g + 3].v;
    const __m512d ab =
        _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)));
    const __m512d cd =
        _mm512_castps_pd(_mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d)));
    four[g] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd)),
                            _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd)));
  }
  const __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(four[0], four[1], 0x88),
                                  _mm512_shuffle_f32x4(four[0], four[1], 0xdd));
  const __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4(four[2], four[3], 0x88),
                                  _mm512_shuffle_f32x4(four[2], four[3], 0xdd));
  return {_mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd))};
}

#elif defined(POLYOPS_ISA_AVX2)

inline void transpose(F32 (&v)[8]) {
#pragma GCC unroll 2
  for (int g = 0; g < 8; g += 4) {
    const __m256 a = _mm256_unpacklo_ps(v[g].v, v[g + 1].v);
    const __m256 b = _mm256_unpackhi_ps(v[g].v, v[g + 1].v);
    const __m256 c = _mm256_unpacklo_ps(v[g + 2].v, v[g + 3].v);
    const __m256 d = _mm256_unpackhi_ps(v[g + 2].v, v[g + 3].v);
    v[g].v = _mm256_shuffle_ps(a, c, 0x44);
    v[g + 1].v = _mm256_shuffle_ps(a, c, 0xee);
    v[g + 2].v = _mm256_shuffle_ps(b, d, 0x44);
    v[g + 3].v = _mm256_shuffle_ps(b, d, 0xee);
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    const __m256 low = _mm256_permute2f128_ps(v[c].v, v[4 + c].v, 0x20);
    v[4 + c].v = _mm256_permute2f128_ps(v[c].v, v[4 + c].v, 0x31);
    v[c].v = low;
  }
}

inline F32 reduce_add_each(F32 (&v)[8]) {
  __m256 four[2];  // 128-bit lane l of four[g]: partial sums of v[4 g] .. v[4 g + 3]
#pragma GCC unroll 2
  for (int g = 0; g < 2; ++g) {
    const __m256 ab = _mm256_hadd_ps(v[4 * g].v, v[4 * g + 1].v);
    const __m256 cd = _mm256_hadd_ps(v[4 * g + 2].v, v[4 * g + 3].v);
    four[g] = _mm256_hadd_ps(ab, cd);
  }
  return {_mm256_add_ps(_mm256_permute2f128_ps(four[0], four[1], 0x20),
                        _mm256_permute2f128_ps(four[0], four[1], 0x31))};
}

#else

template <class T>
inline void transpose(One<T> (&)[1]) {}
template <class T>
inline One<T> reduce_add_each(One<T> (&v)[1]) {
  return v[0];
}

#endif

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_SIMD_TRANSPOSE_H_
