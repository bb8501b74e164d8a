// Copies of operands as AMX's tiles want them, k filled up to whole tiles with zeros.
//   rhs: panels of 32 columns, [k / 2][32][2]; the last one of 16 if that suffices.
//   lhs, where it has no unit stride along k, or a last step of k that is no whole tile:
//        [step of k][16][32], one such stretch for each 16 rows.
#ifndef POLYOPS_CPU_GEMM_AMX_PACK_H_
#define POLYOPS_CPU_GEMM_AMX_PACK_H_

#include <cstdint>

#include "gemm/packing.h"
#include "simd/amx.h"
#include "simd/bf16_pairs.h"
#include "simd/transpose.h"

#if defined(POLYOPS_ISA_AVX512)

namespace polyops::cpu {
namespace {

inline constexpr int64_t kPanel = 32;                             // columns
inline constexpr int64_t kTileElements = kTileRows * kTileDepth;  // of bfloat16
inline constexpr int64_t kTileBytes = 2 * kTileElements;

// Columns a panel of so many is filled up to.
inline int64_t panel_width(int64_t columns) { return columns <= 16 ? 16 : kPanel; }

// Rows of pairs [from, to) of a panel.
inline void zero_pairs(bf16* panel, int64_t width, int64_t from, int64_t to) {
  for (int64_t at = from * width; at < to * width; at += 16) {
    store_pairs(panel + 2 * at, {_mm512_setzero_si512()});
  }
}

// Unit stride along columns: row by row through all the panels at once, for the sake of the pages.
inline void pack_panels_of_rows(const bf16* src, int64_t stride_k, int64_t k, int64_t columns,
                                bf16* panels, int64_t padded_k) {
  for (int64_t p = 0; p < padded_k; p += 2, src += 2 * stride_k) {
    for (int64_t j = 0; j < columns; j += kPanel) {
      const int64_t count = columns - j, width = panel_width(count);
      const Bf16Pairs even = load_pairs_partial(src + j, p < k ? count : 0);
      const Bf16Pairs odd = load_pairs_partial(src + stride_k + j, p + 1 < k ? count : 0);
      const Pair<Bf16Pairs> both = interleave(even, odd);
      bf16* to = panels + j * padded_k + p * width;
      store_pairs(to, both.first);
      if (width > 16) store_pairs(to + 32, both.second);
    }
  }
}

// Panels of `columns` columns of rhs.
inline void pack_panels(const bf16* src, int64_t stride_k, int64_t stride_n, int64_t k,
                        int64_t columns, bf16* panels, int64_t padded_k) {
  if (stride_n == 1) {
    return pack_panels_of_rows(src, stride_k, k, columns, panels, padded_k);
  }
  for (int64_t j = 0; j < columns; j += kPanel) {
    const int64_t count = min_of(kPanel, columns - j), width = panel_width(count);
    bf16* panel = panels + j * padded_k;
    pack<F32>(src + j * stride_n, stride_k, stride_n, k, count, panel, width);
    zero_pairs(panel, width, ceil_div(k, 2), padded_k / 2);
  }
}

// Rows x depth <= 16 x 32 of lhs, unit stride along k.
inline void copy_left_tile(const bf16* src, int64_t stride_m, int64_t rows, int64_t depth,
                           bf16* tile) {
  for (int64_t r = 0; r < rows; ++r) {
    store_pairs(tile + r * kTileDepth, load_pairs_partial(src + r * stride_m, depth));
  }
}

// Unit stride along rows.
inline void transpose_left_tile(const bf16* src, int64_t stride_k, int64_t rows, int64_t depth,
                                bf16* tile) {
  F32 block[16];
#pragma GCC unroll 16
  for (int p = 0; p < 16; ++p) {
    const bf16* from = src + 2 * p * stride_k;
    const Bf16Pairs even = load_pairs_partial(from, 2 * p < depth ? rows : 0);
    const Bf16Pairs odd = load_pairs_partial(from + stride_k, 2 * p + 1 < depth ? rows : 0);
    block[p] = words(interleave(even, odd).first);
  }
  transpose(block);
#pragma GCC unroll 16
  for (int r = 0; r < 16; ++r) store_pairs(tile + r * kTileDepth, pairs(block[r]));
}

// Rows (at most 16) x k of lhs as tiles.
inline void pack_left(const bf16* src, int64_t stride_m, int64_t stride_k, int64_t rows, int64_t k,
                      bf16* tiles) {
  for (int64_t p = 0; p < k; p += kTileDepth, tiles += kTileElements) {
    const int64_t depth = min_of(kTileDepth, k - p);
    const bf16* from = src + p * stride_k;
    if (stride_k == 1) {
      copy_left_tile(from, stride_m, rows, depth, tiles);
    } else if (stride_m == 1) {
      transpose_left_tile(from, stride_k, rows, depth, tiles);
    } else {
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < kTileDepth; ++c) {
          tiles[r * kTileDepth + c] = c < depth ? from[r * stride_m + c * stride_k] : bf16{};
        }
      }
    }
  }
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_ISA_AVX512
#endif  // POLYOPS_CPU_GEMM_AMX_PACK_H_
