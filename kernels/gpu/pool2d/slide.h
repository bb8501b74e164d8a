// Averages of windows of 3 and 5 at stride 1, and their gradients, which are the same sums, of
// planes that a block has in shared memory: a thread slides down two columns of results and sums
// each row of taps once. Elements beside the image are masked rather than left out: that takes no
// predicate and no register set before. Bound: memory, both planes once.
#ifndef POLYOPS_GPU_POOL2D_SLIDE_H_
#define POLYOPS_GPU_POOL2D_SLIDE_H_

#include <cstdint>

#include "axis.h"
#include "gpu.h"
#include "stage.h"
#include "tap.h"

namespace polyops::gpu {
namespace {

// An element, or 0 where it is none of the row's.
template <class T>
struct Gate {
  uint32_t keep;

  GPU_DEVICE explicit Gate(bool inside) : keep(inside ? 0xffffffffu : 0) {}
  GPU_DEVICE float operator()(const T* p) const {
    return float_of_bits(float_bits(widen(*p)) & keep);
  }
};

struct HalfWord {
  uint16_t h;
} __attribute__((may_alias));

// Its bits are a float32's upper half: one multiplication moves and masks them.
template <>
struct Gate<bf16> {
  uint32_t keep;

  GPU_DEVICE explicit Gate(bool inside) : keep(inside ? 1u << 16 : 0) {}
  GPU_DEVICE float operator()(const bf16* p) const {
    return float_of_bits(reinterpret_cast<const HalfWord*>(p)->h * keep);
  }
};

// Whose weights are not all 1: nobody's, those of results, or those of taps, which in a gradient
// are the windows.
enum class Weights { kNone, kOfResults, kOfTaps };

template <class T, int kSize, Weights kWeights>
struct Slide {
  using Element = T;
  static constexpr bool kPlaces = false;
  const T* src;
  T* dst;
  float share;
  int in_high, in_wide, out_high, out_wide;
  int above, before;  // result (0, 0) has taps from (-above, -before) on
  bool paired;        // two results of a row are one access
  Axis high, wide;

  // The two sums of row h's taps.
  GPU_DEVICE void read(const T* line, int h, const Gate<T>* gates, const float* weights,
                       float (&sums)[2]) const {
    sums[0] = sums[1] = 0;
    if (h < 0 || h >= in_high) return;
    float x[kSize + 1];
#pragma unroll
    for (int k = 0; k <= kSize; ++k) {
      x[k] = gates[k](line + k);
      if constexpr (kWeights == Weights::kOfTaps) x[k] *= weights[k];
    }
    float both = x[1];
#pragma unroll
    for (int k = 2; k < kSize; ++k) both += x[k];
    sums[0] = x[0] + both;
    sums[1] = both + x[kSize];
    if constexpr (kWeights == Weights::kOfTaps) {
      const float weight = high.weight(h);
      sums[0] *= weight;
      sums[1] *= weight;
    }
  }

  GPU_DEVICE void column(const T* line, const StagedResults<T>& results, int pair, int begin,
                         int end) const {
    const int column = 2 * pair, left = column - before;
    const bool two = column + 1 < out_wide;
    int h = begin - above;
    line += left;
    float weights[kSize + 1];
    const auto inside = [&](int k) { return left + k >= 0 && left + k < in_wide; };
    const Gate<T> gates[] = {Gate<T>(inside(0)), Gate<T>(inside(1)), Gate<T>(inside(2)),
                             Gate<T>(inside(3)), Gate<T>(inside(4)), Gate<T>(inside(5))};
    if constexpr (kWeights == Weights::kOfTaps) {
#pragma unroll
      for (int k = 0; k <= kSize; ++k) weights[k] = inside(k) ? wide.weight(left + k) : 0;
    }
    float by[2] = {share, share};
    if constexpr (kWeights == Weights::kOfResults) {
      by[0] *= wide.weight(column);
      by[1] *= two ? wide.weight(column + 1) : 0;
    }
    float rows[kSize][2];
#pragma unroll
    for (int r = 0; r < kSize - 1; ++r) {
      read(line, h++, gates, weights, rows[r]);
      line += in_wide;
    }
    T* out = results.values + column;
#pragma unroll kSize
    for (int row = begin; row < end; ++row) {
      read(line, h++, gates, weights, rows[kSize - 1]);
      line += in_wide;
      float x[2];
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        x[j] = rows[0][j];
#pragma unroll
        for (int r = 1; r < kSize; ++r) x[j] += rows[r][j];
        x[j] *= by[j];
        if constexpr (kWeights == Weights::kOfResults) x[j] *= high.weight(row);
      }
      if (paired) {
        Tap<T, 2>::store(out, x);
      } else {
        out[0] = narrow<T>(x[0]);
        if (two) out[1] = narrow<T>(x[1]);
      }
      out += out_wide;
#pragma unroll
      for (int r = 0; r < kSize - 1; ++r) {
        rows[r][0] = rows[r + 1][0];
        rows[r][1] = rows[r + 1][1];
      }
    }
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_SLIDE_H_
