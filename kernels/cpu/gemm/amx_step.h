// One step of 32 along k of 32 x 32 results: 2 x 2 tiles of sums, so that 4 loads (8 cycles each)
// go with 4 products (16 each).
#ifndef POLYOPS_CPU_GEMM_AMX_STEP_H_
#define POLYOPS_CPU_GEMM_AMX_STEP_H_

#include <cstdint>

#include "gemm/amx_pack.h"

#if defined(POLYOPS_ISA_AVX512)

namespace polyops::cpu {
namespace {

// The operand of the inner loop comes by while the other one stays in the L1 cache: unless told so,
// it pushes that out (1.3x at a k of 384, nothing at 128).
enum class Streams : int32_t { kNeither, kLeft, kRight };

template <int kLefts, int kRights>
inline void multiply_step() {
  multiply_tiles<kSum, kLeft, kRight>();
  if constexpr (kRights > 1) multiply_tiles<kSum + 1, kLeft, kRight + 1>();
  if constexpr (kLefts > 1) multiply_tiles<kSum + 2, kLeft + 1, kRight>();
  if constexpr (kLefts > 1 && kRights > 1) multiply_tiles<kSum + 3, kLeft + 1, kRight + 1>();
}

template <int kTile, bool kStreams>
inline void load_as(const bf16* p, int64_t row_bytes) {
  kStreams ? stream_tile<kTile>(p, row_bytes) : load_tile<kTile>(p, row_bytes);
}

template <int kLefts, int kRights, Streams kStreams>
inline void load_step(const bf16* a, int64_t a_bytes, const bf16* b, int64_t b_bytes, const bf16* c,
                      int64_t c_bytes) {
  constexpr bool kA = kStreams == Streams::kLeft, kC = kStreams == Streams::kRight;
  load_as<kRight, kC>(c, c_bytes);
  load_as<kLeft, kA>(a, a_bytes);
  if constexpr (kRights > 1) load_as<kRight + 1, kC>(c + 32, c_bytes);
  if constexpr (kLefts > 1) load_as<kLeft + 1, kA>(b, b_bytes);
}

inline const bf16* advance(const bf16* p, int64_t bytes) {
  return reinterpret_cast<const bf16*>(reinterpret_cast<const char*>(p) + bytes);
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_ISA_AVX512
#endif  // POLYOPS_CPU_GEMM_AMX_STEP_H_
