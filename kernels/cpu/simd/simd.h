// The vector vocabulary that CPU algorithms are written in. A translation unit is compiled once per
// ISA with -DPOLYOPS_ISA_<ISA> and that ISA's flags, and sees here the one type of its ISA:
//
//   F32   kLanes floats          (avx512: 16, avx2: 8, scalar: 1)
//   F64   kLanes doubles         (scalar only: 1)
//   bf16, f16   storage of one bfloat16 or float16; loads widen to F32, stores round to nearest
//               even, NaN stays NaN
//
// Everything is in an anonymous namespace: an inline function shared across units would let the
// linker keep the AVX-512 copy for everybody. For the same reason, kernels call no std:: template
// that could be emitted out of line (tests/kernels checks that the objects define no weak symbol).
//
// Vocabulary, V being F32 or F64 and E its storage type:
//   V::set1(x)  V::zero()  load<V>(const E*)  load_partial<V>(const E*, n)   lanes >= n are 0
//   broadcast(const f16*)   one element in every lane
//   store(E*, v)  store_partial(E*, v, n)     +  -  *  /  unary -
//   fma(a, b, c) = a b + c   fnma(a, b, c) = c - a b   min, max: the second operand if either is
//                            NaN
//   reduce_add  reduce_max
//   lt le eq is_nan -> V::Mask   any(mask)   select(mask, a, b) = mask ? a : b   first_lanes<V>(n)
//   lanes_between<V>(begin, end) -> V::Mask, 0 <= begin <= end   load_lanes<V>(const Scalar*, mask)
//               the others are 0, and not read
//   round(v)    nearest integer, ties to even
//   exp2i(v)    2^v for integral v in [-126, 127]      abs(v)  copy_sign(magnitude, sign)  sqrt(v)
//   lookup(const float* table, k + kLookupBias)  table[k] for integral k in [0, V::kLookup), F32
//               only: one permutation of a register where the ISA has it
//   load_pair(const E*) -> Pair<V>  store_pair(E*, pair)   2 kLanes elements, in an order that only
//               these two know; a NaN stored so must be one of a bfloat16 or made by arithmetic
//   deinterleave(a, b) -> Pair<V>   the even lanes of a, then those of b; the odd ones likewise
//   interleave(a, b) -> Pair<V>     its inverse: a[0] b[0] a[1] b[1] ...
//   scale2i(v, n)  v 2^n for integral n in [-252, 252], rounded once where it underflows
#ifndef POLYOPS_CPU_SIMD_SIMD_H_
#define POLYOPS_CPU_SIMD_SIMD_H_

#include <cstdint>

namespace polyops::cpu {
namespace {

struct bf16 {
  uint16_t bits;
};
struct f16 {
  uint16_t bits;
};

// Added to a small integer, leaves it in the low bits of the float.
constexpr float kLookupBias = 0x1.8p23f;

template <class V>
struct Pair {
  V first, second;
};

inline float to_float(bf16 x) {
  const uint32_t bits = uint32_t{x.bits} << 16;
  float f;
  __builtin_memcpy(&f, &bits, sizeof f);
  return f;
}

// A normal number's exponent moves from 5 bits to 8; a denormal is an integer, since as bits of a
// float it would be 0 where the thread takes denormals for that (torch.set_flush_denormal).
inline float to_float(f16 x) {
  const uint32_t magnitude = x.bits & 0x7fffu;
  const uint32_t bits = (magnitude << 13) + (magnitude >= 0x7c00u ? 0x70000000u : 0x38000000u);
  float f;
  __builtin_memcpy(&f, &bits, sizeof f);
  if (magnitude < 0x400u) f = static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f;
  return (x.bits & 0x8000u) != 0 ? -f : f;
}

// Round to nearest even; every NaN becomes the quiet NaN 0x7e00.
inline f16 to_f16(float f) {
  uint32_t bits;
  __builtin_memcpy(&bits, &f, sizeof bits);
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000u);
  bits &= 0x7fffffffu;
  if (bits > 0x7f800000u) return {0x7e00};
  if (bits >= 0x477ff000u) return {static_cast<uint16_t>(sign | 0x7c00u)};
  if (bits < 0x38800000u) {  // a denormal, or 0: the sum's last bit is worth 2^-24
    float magnitude;
    __builtin_memcpy(&magnitude, &bits, sizeof bits);
    magnitude += 0.5f;
    __builtin_memcpy(&bits, &magnitude, sizeof bits);
    return {static_cast<uint16_t>(sign | (bits - 0x3f000000u))};
  }
  bits += 0xfffu + (bits >> 13 & 1u);
  return {static_cast<uint16_t>(sign | ((bits - 0x38000000u) >> 13))};
}

// Round to nearest even; every NaN becomes the quiet NaN 0x7fc0, as torch's does.
inline bf16 to_bf16(float f) {
  if (f != f) return {0x7fc0};
  uint32_t bits;
  __builtin_memcpy(&bits, &f, sizeof bits);
  return {static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

}  // namespace
}  // namespace polyops::cpu

#if defined(POLYOPS_ISA_AVX512)
#include "simd/avx512.h"
#elif defined(POLYOPS_ISA_AVX2)
#include "simd/avx2.h"
#elif defined(POLYOPS_ISA_SCALAR)
#include "simd/scalar.h"
#else
#error "compile with -DPOLYOPS_ISA_<ISA>"
#endif

#endif  // POLYOPS_CPU_SIMD_SIMD_H_
