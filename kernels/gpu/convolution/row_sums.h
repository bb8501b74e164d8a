// The sums for the filter's taps over pieces of rows: row b and column a of a matrix are products
// of the input's b-th element and the gradients' a-th one, both counted from units of 8 that follow
// each other, all of which are added up. Tap k's sum is that of the diagonal b - a = k. A product
// takes every third unit, so that what is loaded for one serves others, too. The last row is of
// ones: it gives the sum of the gradients.
#ifndef POLYOPS_GPU_CONVOLUTION_ROW_SUMS_H_
#define POLYOPS_GPU_CONVOLUTION_ROW_SUMS_H_

#include "row_pieces.h"
#include "sums.h"

namespace polyops::gpu {
namespace {

constexpr int kSumMatrices = 3;  // of 8 rows, and of 8 that are so many units further
constexpr int kSumUnits = 2 * kSumMatrices;
constexpr int kOnesRow = kSumMatrices * kMatrixRows - 1;
constexpr int kSumWords = kSumMatrices * kMatrixRows * kUnit;
static_assert(kSumUnits == kRowUnits && kMostBandTaps + 2 * (kUnit - 1) <= kOnesRow);

struct RowSums {
  float of[kSumMatrices][4] = {};

  // Adds a piece's. grads: the unit of the first of them; src: the first unit that they meet.
  template <class T>
  GPU_DEVICE void add_piece(const T* grads, const T* src) {
    constexpr int kSteps = kRowMatrices;  // of 16 units that are so far apart
    const int32_t lane = thread_id() % 32;
    uint32_t y[kSteps + 1][2];
#pragma unroll
    for (int step = 0; step < kSteps; step += 2) {
      uint32_t words[4];
      load_matrices_turned(grads + (lane % 16 * kSteps + lane / 16 + step) * kUnit, words);
      y[step][0] = words[0], y[step][1] = words[1];
      y[step + 1][0] = words[2], y[step + 1][1] = words[3];
    }
    const bool last = BandLane().group == kUnit - 1;
    const uint32_t kept = last ? 0 : ~0u, fill = last ? narrow2<T>(1, 1) : 0;
    const T* const from =
        src + ((lane / 16 * 8 + lane % 8) * kSteps + lane / 8 % 2 * kSumMatrices) * kUnit;
    RowSums sums;
    // Two units as they come are one of the matrices in each of some steps.
#pragma unroll
    for (int unit = 0; unit < kSumMatrices + kSteps - 1; ++unit) {
      uint32_t x[4];
      load_matrices_turned(from + unit * kUnit, x);
#pragma unroll
      for (int m = 0; m < kSumMatrices; ++m) {
        const int step = unit - m;
        if (step < 0 || step >= kSteps) continue;
        if (m == kSumMatrices - 1) x[1] = (x[1] & kept) | fill, x[3] = (x[3] & kept) | fill;
        multiply_add<T>(sums.of[m], x, y[step]);
      }
    }
    for_all([&](int m, int i) { of[m][i] += sums.of[m][i]; });
  }
  // Adds them to the wave's in the block's memory, moved up by so many rows, and begins again.
  GPU_DEVICE void put(float* matrix, int32_t up) {
    const BandLane own;
    for_all([&](int m, int i) {
      int32_t row = (m + i / 2 * kSumMatrices) * kUnit + own.group;
      if (row != kOnesRow) row -= up;
      if (row >= 0) matrix[row * kUnit + own.pair + i % 2] += of[m][i];
      of[m][i] = 0;
    });
  }
  template <class F>
  GPU_DEVICE static void for_all(F f) {
#pragma unroll
    for (int m = 0; m < kSumMatrices; ++m) {
#pragma unroll
      for (int i = 0; i < 4; ++i) f(m, i);
    }
  }
};

// A tap's sum, or that of the gradients, of some waves' matrices.
GPU_DEVICE float sum_of_matrices(const float* matrices, int waves, int32_t tap, bool of_bias) {
  float sum = 0;
  for (int i = 0; i < waves; ++i) {
    const float* const own = matrices + (i * kSumWords + (of_bias ? kOnesRow : tap) * kUnit);
#pragma unroll
    for (int a = 0; a < kUnit; ++a) sum += own[a * (of_bias ? 1 : kUnit + 1)];
  }
  return sum;
}

// A tap's sum of a piece again, whose gradients begin with that one: of the same products.
template <class T>
GPU_DEVICE float sum_piece_again(const AnySumsCall<T>& call, int32_t n, int32_t channel,
                                 int32_t first, int32_t tap) {
  const Axis& w = call.shape.w;
  const T* const grad = call.grad + call.of_grad.at(n, channel, 0, 0);
  const T* const src = call.src + call.of_src.at(n, channel, 0, 0);
  float sum = 0;
#pragma unroll 1
  for (int32_t y = first; y < first + kPieceResults; ++y) {
    const int32_t x = y + tap - w.padding;
    if (y < 0 || y >= w.out) continue;
    if (tap == w.taps) {
      sum += widen(grad[y]);
    } else if (x >= 0 && x < w.in) {
      sum = fmaf(widen(grad[y]), widen(src[x]), sum);
    }
  }
  return sum;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_ROW_SUMS_H_
