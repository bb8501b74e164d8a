// The tile registers of AMX, which some machines of ISA avx512 have: 8 tiles of 16 rows of 64
// bytes. By their names, as bf16_pairs.h and for the same reason.
//
//   kHasTiles           whether this ISA may have them; without it nothing else here exists
//   has_amx_bf16()      whether this machine has, and this process may use them (chip.cc)
//   configure_tiles(rows)   kSum and kLeft tiles have that many rows, kRight tiles 16
//   release_tiles()         after the last use: a thread that holds none is switched faster. Not by
//                           a destructor, which would bring a weak symbol along
//   zero_tile<t>()   load_tile<t>(p, stride)   save_tile<t>(p, stride)    strides in bytes
//   stream_tile<t>(p, stride)   as load_tile, of what should not push others out of the L1 cache
//   multiply_tiles<sum, left, right>()   sum[i][j] += the sum over p < 32 of left[i][p]
//                       right[p][j], right as [p / 2][j][p % 2]; takes denormals for 0
#ifndef POLYOPS_CPU_SIMD_AMX_H_
#define POLYOPS_CPU_SIMD_AMX_H_

#include <cstdint>

#include "simd/simd.h"

namespace polyops::cpu {

bool has_amx_bf16();

namespace {

#if defined(POLYOPS_ISA_AVX512)

constexpr bool kHasTiles = true;

constexpr int kTileRows = 16;
constexpr int kTileDepth = 32;  // elements of k in a tile

enum : int { kSum = 0, kLeft = 4, kRight = 6 };  // four, two and two of them

inline void configure_tiles(int64_t rows) {
  struct {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
  } config;
  for (int t = 0; t < 8; ++t) {
    config.row_bytes[t] = 64;
    config.rows[t] = static_cast<uint8_t>(t < kRight ? rows : kTileRows);
  }
  asm volatile("ldtilecfg %0" ::"m"(config));
}
inline void release_tiles() { asm volatile("tilerelease"); }

template <int kTile>
inline void zero_tile() {
  asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
}
template <int kTile>
inline void load_tile(const void* p, int64_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(stride), "i"(kTile) : "memory");
}
template <int kTile>
inline void stream_tile(const void* p, int64_t stride) {
  asm volatile("tileloaddt1 (%0,%1,1), %%tmm%c2" ::"r"(p), "r"(stride), "i"(kTile) : "memory");
}
template <int kTile>
inline void save_tile(void* p, int64_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(p), "r"(stride), "i"(kTile) : "memory");
}
template <int kTo, int kA, int kB>
inline void multiply_tiles() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kTo), "i"(kA), "i"(kB));
}

#else

constexpr bool kHasTiles = false;

#endif

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_SIMD_AMX_H_
