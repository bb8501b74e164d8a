// Where products go, and what is added to them there.
#ifndef POLYOPS_CPU_GEMM_TARGET_H_
#define POLYOPS_CPU_GEMM_TARGET_H_

#include <cstdint>

#include "numbers.h"
#include "simd/simd.h"
#include "simd/transpose.h"

namespace polyops::cpu {
namespace {

// What is added to a product, and where the sum goes: the addend with the first block of k, what
// stands in dst itself with every later one (so that an addend that is dst is read before it is
// written). D: how dst and addend are stored.
template <class S, class D = S>
struct Target {
  D* dst;
  int64_t dst_m, dst_n;
  const D* addend;  // nullptr: none
  int64_t addend_m, addend_n;
  S alpha, beta;
};

// Element by element, for layouts that vectors do not fit.
template <class S, class D>
void scatter(const Target<S, D>& t, int64_t i, int64_t j, int64_t rows, int64_t columns,
             const S* sums, int64_t sums_m) {
  for (int64_t r = 0; r < rows; ++r) {
    D* dst = t.dst + (i + r) * t.dst_m + j * t.dst_n;
    const D* addend =
        t.addend == nullptr ? nullptr : t.addend + (i + r) * t.addend_m + j * t.addend_n;
    for (int64_t c = 0; c < columns; ++c) {
      const S product = t.alpha * sums[r * sums_m + c];
      put(dst + c * t.dst_n,
          addend == nullptr ? product : product + t.beta * get(addend + c * t.addend_n));
    }
  }
}

// As above, where a column of sums goes to one row of elements that lie behind each other. 48 rows,
// 3 vectors of AVX-512, of 64 columns stay in the L1 cache.
inline constexpr int64_t kTargetRows = 48;
template <class V, class S, class D>
void scatter_turned(const Target<S, D>& t, int64_t i, int64_t j, int64_t rows, int64_t columns,
                    const S* sums, int64_t sums_m) {
  constexpr int64_t kLanes = V::kLanes;
  const V alpha = V::set1(t.alpha), beta = V::set1(t.beta);
  for (int64_t r = 0; r < rows; r += kLanes) {
    const int64_t height = min_of(kLanes, rows - r);
    for (int64_t c = 0; c < columns; c += kLanes) {
      V block[kLanes];
#pragma GCC unroll 16
      for (int64_t l = 0; l < kLanes; ++l) {
        block[l] = l < height ? load<V>(sums + (r + l) * sums_m + c) : V::zero();
      }
      transpose(block);
      for (int64_t l = 0; l < min_of(kLanes, columns - c); ++l) {
        const int64_t to = i + r, row = j + c + l;
        V value = block[l] * alpha;
        if (t.addend != nullptr) {
          const D* addend = t.addend + to * t.addend_m + row * t.addend_n;
          value =
              fma(beta, t.addend_m == 1 ? load_partial<V>(addend, height) : V::set1(get(addend)),
                  value);
        }
        store_partial(t.dst + to + row * t.dst_n, value, height);
      }
    }
  }
}

template <class S, class D>
inline bool fits_turned(const Target<S, D>& t) {
  return t.dst_m == 1 && (t.addend == nullptr || t.addend_m <= 1);
}

template <class S, class D>
inline bool fits_vectors(const Target<S, D>& t) {
  return t.dst_n == 1 && (t.addend == nullptr || t.addend_n <= 1);
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_GEMM_TARGET_H_
