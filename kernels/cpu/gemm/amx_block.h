// 32 x 32 results: 2 x 2 tiles of sums, so that 4 loads (8 cycles each) go with 4 products (16 each)
// on a step of 32 along k. The sums go to a buffer in the L1 cache, and from there, rounded once, to
// dst: as they are, or transposed.
#ifndef POLYOPS_CPU_GEMM_AMX_BLOCK_H_
#define POLYOPS_CPU_GEMM_AMX_BLOCK_H_

#include <cstdint>

#include "gemm/amx_pack.h"
#include "gemm/panel.h"
#include "gemm/problem.h"

#if defined(POLYOPS_ISA_AVX512)

namespace polyops::cpu {
namespace {

// Where 16 rows of lhs are.
struct LeftTile {
  const bf16* first;
  int64_t row_bytes, step_bytes;  // to the next row, to the next step of k
  const bf16* tail;               // the last step, filled up with zeros; null: there is none
  int64_t shift;                  // of its first row, from the block's first
};

struct AmxBlock {
  LeftTile left[2];
  const bf16* panel;
  int64_t steps;       // along k, whole ones
  int64_t row_bytes;   // of a panel's row of pairs
};

// Sums of a block, by rows. A tile of fewer than 16 new rows begins with some that were done
// before: so there is room before the first.
struct alignas(64) Sums {
  float before[16 * kPanel];
  float at[kPanel * kPanel];
};

template <int kLefts, int kRights>
inline void multiply_step() {
  multiply_tiles<kSum, kLeft, kRight>();
  if constexpr (kRights > 1) multiply_tiles<kSum + 1, kLeft, kRight + 1>();
  if constexpr (kLefts > 1) multiply_tiles<kSum + 2, kLeft + 1, kRight>();
  if constexpr (kLefts > 1 && kRights > 1) multiply_tiles<kSum + 3, kLeft + 1, kRight + 1>();
}

template <int kLefts, int kRights>
inline void load_step(const bf16* a, int64_t a_bytes, const bf16* b, int64_t b_bytes,
                      const bf16* c, int64_t c_bytes) {
  load_tile<kRight>(c, c_bytes);
  load_tile<kLeft>(a, a_bytes);
  if constexpr (kRights > 1) load_tile<kRight + 1>(c + 32, c_bytes);
  if constexpr (kLefts > 1) load_tile<kLeft + 1>(b, b_bytes);
}

inline const bf16* advance(const bf16* p, int64_t bytes) {
  return reinterpret_cast<const bf16*>(reinterpret_cast<const char*>(p) + bytes);
}

template <int kLefts, int kRights>
void multiply_block(const AmxBlock& block, float* sums) {
  constexpr int64_t kRowBytes = kPanel * sizeof(float);
  const LeftTile &a = block.left[0], &b = block.left[kLefts - 1];
  const bf16 *at_a = a.first, *at_b = b.first, *at_c = block.panel;
  const int64_t panel_step = kTileRows * block.row_bytes;
  zero_tile<kSum>();
  if constexpr (kRights > 1) zero_tile<kSum + 1>();
  if constexpr (kLefts > 1) zero_tile<kSum + 2>();
  if constexpr (kLefts > 1 && kRights > 1) zero_tile<kSum + 3>();
  for (int64_t p = block.steps; p > 0; --p) {
    load_step<kLefts, kRights>(at_a, a.row_bytes, at_b, b.row_bytes, at_c, block.row_bytes);
    multiply_step<kLefts, kRights>();
    at_a = advance(at_a, a.step_bytes);
    at_b = advance(at_b, b.step_bytes);
    at_c = advance(at_c, panel_step);
  }
  if (a.tail != nullptr) {
    load_step<kLefts, kRights>(a.tail, 64, b.tail, 64, at_c, block.row_bytes);
    multiply_step<kLefts, kRights>();
  }
  float* first = sums + a.shift * kPanel;
  save_tile<kSum>(first, kRowBytes);
  if constexpr (kRights > 1) save_tile<kSum + 1>(first + 16, kRowBytes);
  float* second = sums + b.shift * kPanel;
  if constexpr (kLefts > 1) save_tile<kSum + 2>(second, kRowBytes);
  if constexpr (kLefts > 1 && kRights > 1) save_tile<kSum + 3>(second + 16, kRowBytes);
}

// 32 numbers stored as bfloat16; of those beyond `lanes`, nothing is read or written.
inline Pair<F32> load_32(const bf16* p, __mmask32 lanes) {
  const __m512i all = _mm512_maskz_loadu_epi16(lanes, p);
  return {{widen(_mm512_castsi512_si256(all))}, {widen(_mm512_extracti64x4_epi64(all, 1))}};
}
inline void store_32(bf16* p, __mmask32 lanes, Pair<F32> x) {
  __m512i both;  // denormals become 0
  asm("vcvtne2ps2bf16 %1, %2, %0" : "=v"(both) : "v"(x.first.v), "v"(x.second.v));
  _mm512_mask_storeu_epi16(p, lanes, both);
}

// How the addend lies, seen along dst's rows of unit stride.
enum class Added : int32_t { kNothing, kSameRow, kRow, kOnePerRow };

template <Added kAdded>
void finish_rows(const Target<float, bf16>& t, int64_t i, int64_t j, int64_t rows, int64_t columns,
                 const float* sums) {
  const F32 alpha = F32::set1(t.alpha), beta = F32::set1(t.beta);
  const auto lanes = static_cast<__mmask32>(columns >= 32 ? ~0u : (1u << columns) - 1u);
  bf16* dst = t.dst + i * t.dst_m + j;
  const bf16* addend = kAdded == Added::kNothing ? nullptr : t.addend + i * t.addend_m;
  if (kAdded == Added::kRow || kAdded == Added::kSameRow) addend += j;
  Pair<F32> c = {F32::zero(), F32::zero()};
  if (kAdded == Added::kSameRow) c = load_32(addend, lanes);
  for (int64_t r = 0; r < rows; ++r, sums += kPanel, dst += t.dst_m) {
    Pair<F32> x = {load<F32>(sums) * alpha, load<F32>(sums + 16) * alpha};
    if (kAdded == Added::kRow) c = load_32(addend, lanes);
    if (kAdded == Added::kOnePerRow) c.first = c.second = F32::set1(to_float(*addend));
    if (kAdded != Added::kNothing) {
      x = {fma(beta, c.first, x.first), fma(beta, c.second, x.second)};
      addend += t.addend_m;
    }
    store_32(dst, lanes, x);
  }
}

inline void finish(const Target<float, bf16>& t, int64_t i, int64_t j, int64_t rows,
                   int64_t columns, const float* sums) {
  if (!fits_vectors(t)) return scatter(t, i, j, rows, columns, sums, kPanel);
  if (t.addend == nullptr) return finish_rows<Added::kNothing>(t, i, j, rows, columns, sums);
  if (t.addend_n == 0) return finish_rows<Added::kOnePerRow>(t, i, j, rows, columns, sums);
  if (t.addend_m == 0) return finish_rows<Added::kSameRow>(t, i, j, rows, columns, sums);
  finish_rows<Added::kRow>(t, i, j, rows, columns, sums);
}

inline void transpose_sums(const float* src, int64_t rows, int64_t columns, float* dst) {
  for (int64_t i = 0; i < rows; i += 16) {
    for (int64_t j = 0; j < columns; j += 16) {
      F32 block[16];
#pragma GCC unroll 16
      for (int r = 0; r < 16; ++r) block[r] = load<F32>(src + (i + r) * kPanel + j);
      transpose(block);
#pragma GCC unroll 16
      for (int c = 0; c < 16; ++c) store(dst + (j + c) * kPanel + i, block[c]);
    }
  }
}

// t, transposed.
inline Target<float, bf16> transposed(const Target<float, bf16>& t) {
  Target<float, bf16> other = t;
  swap_values(other.dst_m, other.dst_n);
  swap_values(other.addend_m, other.addend_n);
  return other;
}

// One block from start to end: dst's rows [i, i + rows) x columns [j, j + columns).
struct AmxPlace {
  int64_t i, j, rows, columns;
};

inline void run_amx_block(const AmxBlock& block, const Target<float, bf16>& target, bool on_side,
                          const AmxPlace& at) {
  Sums sums;
  const bool tall = at.rows > 16, wide = at.columns > 16;
  if (tall && wide) {
    multiply_block<2, 2>(block, sums.at);
  } else if (tall) {
    multiply_block<2, 1>(block, sums.at);
  } else if (wide) {
    multiply_block<1, 2>(block, sums.at);
  } else {
    multiply_block<1, 1>(block, sums.at);
  }
  if (!on_side) return finish(target, at.i, at.j, at.rows, at.columns, sums.at);
  alignas(64) float turned[kPanel * kPanel];
  transpose_sums(sums.at, at.rows, at.columns, turned);
  finish(transposed(target), at.j, at.i, at.columns, at.rows, turned);
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_ISA_AVX512
#endif  // POLYOPS_CPU_GEMM_AMX_BLOCK_H_
