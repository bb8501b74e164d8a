// Products of small matrices on the harness: kernels/gpu/convolution/band_products.h says what
// multiply_add() and load_matrices() are.
#ifndef POLYOPS_TESTS_SIMT_MATRIX_H_
#define POLYOPS_TESTS_SIMT_MATRIX_H_

#include <cmath>

#include "platform.h"
#include "together.h"

namespace polyops::gpu {
namespace {

inline void after_products() {}

// A lane's row, which it reads when it comes, and where its words go.
struct RowOfMatrices {
  uint16_t row[8];
  uint32_t* words;

  RowOfMatrices(const void* from, uint32_t* to) : words(to) {
    if (!simt::is_shared(from)) throw simt::Error("matrices outside of the block's memory");
    std::memcpy(row, std::assume_aligned<16>(from), sizeof row);
  }
};

template <bool kTurned>
void exchange_rows(void* const* lanes) {
  const auto element = [&](int row, int column) -> uint32_t {
    return static_cast<const RowOfMatrices*>(lanes[row])->row[column];
  };
  for (int i = 0; i < simt::kTogether; ++i) {
    const int group = i / 4, pair = i % 4 * 2;
    for (int m = 0; m < 4; ++m) {
      static_cast<RowOfMatrices*>(lanes[i])->words[m] =
          kTurned ? element(8 * m + pair, group) | element(8 * m + pair + 1, group) << 16
                  : element(8 * m + group, pair) | element(8 * m + group, pair + 1) << 16;
    }
  }
}
inline void load_matrices(const void* row, uint32_t (&w)[4]) {
  RowOfMatrices mine(row, w);
  simt::together(&mine, exchange_rows<false>);
}
inline void load_matrices_turned(const void* row, uint32_t (&w)[4]) {
  RowOfMatrices mine(row, w);
  simt::together(&mine, exchange_rows<true>);
}

// What a lane has of C += A B.
template <int kWords>
struct LaneOfMatrices {
  float* c;               // [4]
  const uint32_t *a, *b;  // [2 * kWords], [kWords]
};

template <int kWords, class T>
void multiply_lanes(void* const* lanes) {
  constexpr int kInner = 8 * kWords;
  float a[16][kInner], b[kInner][8];
  for (int i = 0; i < simt::kTogether; ++i) {
    const auto& lane = *static_cast<const LaneOfMatrices<kWords>*>(lanes[i]);
    const int group = i / 4, pair = i % 4 * 2;
    for (int k = 0; k < kWords; ++k) {
      const int at = 8 * k + pair;
      widen2<T>(lane.a[2 * k], &a[group][at], &a[group][at + 1]);
      widen2<T>(lane.a[2 * k + 1], &a[group + 8][at], &a[group + 8][at + 1]);
      widen2<T>(lane.b[k], &b[at][group], &b[at + 1][group]);
    }
  }
  for (int i = 0; i < simt::kTogether; ++i) {
    for (int e = 0; e < 4; ++e) {
      const int row = i / 4 + e / 2 * 8, column = i % 4 * 2 + e % 2;
      float& sum = static_cast<LaneOfMatrices<kWords>*>(lanes[i])->c[e];
      for (int k = 0; k < kInner; ++k) sum = std::fmaf(a[row][k], b[k][column], sum);
    }
  }
}

template <class T>
void multiply_add(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  LaneOfMatrices<2> mine = {c, a, b};
  simt::together(&mine, multiply_lanes<2, T>);
}
template <class T>
void multiply_add(float (&c)[4], const uint32_t (&a)[2], const uint32_t (&b)[1]) {
  LaneOfMatrices<1> mine = {c, a, b};
  simt::together(&mine, multiply_lanes<1, T>);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_TESTS_SIMT_MATRIX_H_
