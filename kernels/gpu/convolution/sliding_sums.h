// Sums of a strip of results whose thread slides down the image: see slide.h, which says what Own
// is.
#ifndef POLYOPS_GPU_CONVOLUTION_SLIDING_SUMS_H_
#define POLYOPS_GPU_CONVOLUTION_SLIDING_SUMS_H_

#include "tile.h"

namespace polyops::gpu {
namespace {

// m: by how many steps results began before this one.
template <class W, class Own>
struct SlidingSums {
  float unfinished[Own::kBefore][Own::kResults][Own::kElements] = {};
  float done[Own::kResults][Own::kElements];

  // Adds to the results of m what is read now, and passes them on to m + 1.
  GPU_DEVICE void add(int m, const float (&values)[W::kS][Own::kPixels][Own::kElements],
                      const float (&w)[W::kTaps][Own::kElements],
                      const float (&bias)[Own::kElements]) {
#pragma unroll
    for (int c = 0; c < Own::kResults; ++c) {
#pragma unroll
      for (int e = 0; e < Own::kElements; ++e) {
        float sum = m == 0 ? bias[e] : unfinished[m == 0 ? 0 : m - 1][c][e];
#pragma unroll
        for (int i = 0; i < W::kS && m * W::kS + i < W::kH; ++i) {
#pragma unroll
          for (int j = 0; j < W::kW; ++j) {
            sum = fmaf(values[i][c * W::kS + j][e], w[(m * W::kS + i) * W::kW + j][e], sum);
          }
        }
        (m == Own::kBefore ? done : unfinished[m == Own::kBefore ? 0 : m])[c][e] = sum;
      }
    }
  }
  // By a step of a stretch of so many rows. Those before and behind it have no results; of small
  // filters they are computed nevertheless, which is less than the branches.
  GPU_DEVICE void add_step(int32_t step, int32_t rows,
                           const float (&values)[W::kS][Own::kPixels][Own::kElements],
                           const float (&w)[W::kTaps][Own::kElements],
                           const float (&bias)[Own::kElements]) {
    if constexpr (W::kH > 3) {
      if (step < Own::kBefore || step >= rows) {
        add_some(step, rows, values, w, bias);
        return;
      }
    }
    add_all(values, w, bias);
  }
  GPU_DEVICE void add_all(const float (&values)[W::kS][Own::kPixels][Own::kElements],
                          const float (&w)[W::kTaps][Own::kElements],
                          const float (&bias)[Own::kElements]) {
#pragma unroll
    for (int m = Own::kBefore; m >= 0; --m) add(m, values, w, bias);
  }
  GPU_DEVICE void add_some(int32_t step, int32_t rows,
                           const float (&values)[W::kS][Own::kPixels][Own::kElements],
                           const float (&w)[W::kTaps][Own::kElements],
                           const float (&bias)[Own::kElements]) {
#pragma unroll
    for (int m = Own::kBefore; m >= 0; --m) {
      if (static_cast<uint32_t>(step - m) < static_cast<uint32_t>(rows)) add(m, values, w, bias);
    }
  }
  // Instead of steps whose rows there are none of.
  GPU_DEVICE void begin(const float (&bias)[Own::kElements]) {
#pragma unroll
    for (auto& of_row : unfinished) {
#pragma unroll
      for (auto& of_result : of_row) {
#pragma unroll
        for (int e = 0; e < Own::kElements; ++e) of_result[e] = bias[e];
      }
    }
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_SLIDING_SUMS_H_
