// Copies of the operands in the order in which the tiles read them: [k][row_length], of pairs
// [k / 2][row_length][2], missing columns zero. rhs: one panel of kTileColumns columns. lhs, where
// plan.h says so: one block of its rows, so that a tile's steps through k stay within few pages and
// sets.
#ifndef POLYOPS_CPU_GEMM_PACKING_H_
#define POLYOPS_CPU_GEMM_PACKING_H_

#include <cstdint>

#include "gemm/tile.h"
#include "numbers.h"

namespace polyops::cpu {
namespace {

// Rows split into the fewest tiles, as evenly as possible: a last tile of one row would read a
// whole panel for it.
struct Split {
  int64_t count, base, extra;

  Split(int64_t total, int64_t most) {
    count = (total + most - 1) / most;
    base = total / count;
    extra = total % count;
  }
  int64_t begin(int64_t i) const { return i * base + (i < extra ? i : extra); }
  int64_t size(int64_t i) const { return base + (i < extra ? 1 : 0); }
};

// columns x k with unit stride along k -> [k][row_length], block by block through registers.
// E, here and below: what is stored in src; bfloat16 is widened.
template <class V, class E, class S>
void pack_transposed(const E* src, int64_t stride_n, int64_t k, int64_t columns, S* dst,
                     int64_t row_length) {
  constexpr int kLanes = V::kLanes;
  for (int64_t j = 0; j < row_length; j += kLanes) {
    const int64_t width = min_of(kLanes, columns - j);
    const E* from = src + j * stride_n;
    for (int64_t p = 0; p < k; p += kLanes) {
      const int64_t depth = min_of(kLanes, k - p);
      V block[kLanes];
      if (width == kLanes && depth == kLanes) {
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) block[i] = load<V>(from + i * stride_n + p);
      } else {
        for (int i = 0; i < kLanes; ++i) {
          block[i] = i < width ? load_partial<V>(from + i * stride_n + p, depth) : V::zero();
        }
      }
      transpose(block);
      S* to = dst + p * row_length + j;
      if (depth == kLanes) {
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) store(to + i * row_length, block[i]);
      } else {
        for (int i = 0; i < depth; ++i) store(to + i * row_length, block[i]);
      }
    }
  }
}

template <class V, class E, class S>
void pack_rows(const E* src, int64_t stride_k, int64_t k, int64_t columns, S* dst,
               int64_t row_length) {
  constexpr int kLanes = V::kLanes;
  const int64_t whole = columns / kLanes * kLanes;
  for (int64_t p = 0; p < k; ++p, src += stride_k, dst += row_length) {
    for (int64_t j = 0; j < whole; j += kLanes) store(dst + j, load<V>(src + j));
    if (whole < columns) store(dst + whole, load_partial<V>(src + whole, columns - whole));
  }
}

#if defined(POLYOPS_ISA_AVX512)
// As pack_transposed, into [k / 2][row_length] pairs; an odd k is filled up with zeros.
inline void pack_transposed_pairs(const bf16* src, int64_t stride_n, int64_t k, int64_t columns,
                                  bf16* dst, int64_t row_length) {
  constexpr int kLanes = F32::kLanes;
  for (int64_t j = 0; j < row_length; j += kLanes) {
    const int64_t width = min_of(kLanes, columns - j);
    const bf16* from = src + j * stride_n;
    for (int64_t p = 0; p < k; p += 2 * kLanes) {
      const int64_t depth = min_of(2 * kLanes, k - p);
      F32 block[kLanes];
      if (width == kLanes && depth == 2 * kLanes) {
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) block[i] = words(load_pairs(from + i * stride_n + p));
      } else {
        for (int i = 0; i < kLanes; ++i) {
          block[i] =
              i < width ? words(load_pairs_partial(from + i * stride_n + p, depth)) : F32::zero();
        }
      }
      transpose(block);
      bf16* to = dst + p * row_length + 2 * j;
      for (int i = 0; 2 * i < depth; ++i) store_pairs(to + 2 * i * row_length, pairs(block[i]));
    }
  }
}

// As pack_rows, of rows two by two: [k / 2][row_length] pairs; an odd k is filled up with zeros.
inline void pack_row_pairs(const bf16* src, int64_t stride_k, int64_t k, int64_t columns, bf16* dst,
                           int64_t row_length) {
  constexpr int64_t kLanes = F32::kLanes;
  for (int64_t p = 0; p < k; p += 2, src += 2 * stride_k, dst += 2 * row_length) {
    for (int64_t j = 0; j < columns; j += 2 * kLanes) {
      const int64_t width = columns - j;
      const Bf16Pairs even = load_pairs_partial(src + j, width);
      const Bf16Pairs odd = load_pairs_partial(src + stride_k + j, p + 1 < k ? width : 0);
      const Pair<Bf16Pairs> both = interleave(even, odd);
      store_pairs(dst + 2 * j, both.first);
      if (width > kLanes) store_pairs(dst + 2 * j + 2 * kLanes, both.second);
    }
  }
}
#endif

template <class V, class S>
void pack(const S* src, int64_t stride_k, int64_t stride_n, int64_t k, int64_t columns, S* dst,
          int64_t row_length) {
  if (stride_n == 1) return pack_rows<V>(src, stride_k, k, columns, dst, row_length);
  if (stride_k == 1) return pack_transposed<V>(src, stride_n, k, columns, dst, row_length);
  for (int64_t p = 0; p < k; ++p, src += stride_k, dst += row_length) {
    for (int64_t j = 0; j < columns; ++j) dst[j] = src[j * stride_n];
    for (int64_t j = columns; j < row_length; ++j) dst[j] = S{};
  }
}

#if defined(POLYOPS_ISA_AVX512)
// Into pairs.
template <class V>
void pack(const bf16* src, int64_t stride_k, int64_t stride_n, int64_t k, int64_t columns,
          bf16* dst, int64_t row_length) {
  if (stride_n == 1) return pack_row_pairs(src, stride_k, k, columns, dst, row_length);
  if (stride_k == 1) return pack_transposed_pairs(src, stride_n, k, columns, dst, row_length);
  for (int64_t p = 0; p < k; p += 2, src += 2 * stride_k, dst += 2 * row_length) {
    for (int64_t j = 0; j < row_length; ++j) {
      dst[2 * j] = j < columns ? src[j * stride_n] : bf16{};
      dst[2 * j + 1] = j < columns && p + 1 < k ? src[j * stride_n + stride_k] : bf16{};
    }
  }
}
#endif

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_GEMM_PACKING_H_
