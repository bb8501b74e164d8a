// The gradient of a thread's pixels, given their sums.
#ifndef POLYOPS_GPU_CROSS_ENTROPY_PIXELS_GRADIENTS_H_
#define POLYOPS_GPU_CROSS_ENTROPY_PIXELS_GRADIENTS_H_

#include "gpu.h"
#include "labels.h"
#include "nll_loss/samples.h"
#include "place.h"
#include "sums.h"

namespace polyops::gpu {
namespace {

template <class T>
struct PixelsBackwardCall {
  Scores<T> src;
  Tiling tiling;
  const T* grad_dst;
  int64_t grad_step;
  Targets targets;
  ClassWeights<T> weights;
  const float* total;  // null: not divided by it
  float keep, spread;  // as forward
  T* grad_src;
  int parked;  // chunks; of no tiles
};

// In float32 a label's gradient, p - 1 where it is likely, is from the sum of all others: the
// difference would keep but few of its bits.
template <class T>
inline constexpr bool kApart = sizeof(T) == 4;

// Of the loss, or of each one that was added to it; anything if each has its own.
template <class T>
GPU_DEVICE float common_gradient(const PixelsBackwardCall<T>& c) {
  float grad = widen(*c.grad_dst);
  if (c.total != nullptr) grad /= *c.total;
  return grad;
}

// Of the thread's pixels, as RowGradient of a row: share exp(x - max) - spread weight. Where one
// does not count the result is 0, or NaN if its sum is.
template <class T, bool kWeighted>
struct PixelGradients {
  PixelExp<T> exps[kQuad];
  float share[kQuad], spread[kQuad];
  float label[kQuad];  // the gradient there, or what is taken off, where one counts

  // common: common_gradient().
  template <int kGroup>
  GPU_DEVICE PixelGradients(const PixelsBackwardCall<T>& c, const PlaceOf<kGroup>& at, float common,
                            const Labels& labels, const OwnSums<T>& sums)
      : exps{PixelExp<T>(sums.max[0]), PixelExp<T>(sums.max[1]), PixelExp<T>(sums.max[2]),
             PixelExp<T>(sums.max[3])} {
    float all = static_cast<float>(c.tiling.classes);  // weights
    if constexpr (kWeighted) {
      all = 0;
#pragma unroll 1
      for (int k = 0; k < c.tiling.classes; ++k) all += c.weights.at(k);
    }
    float grad[kQuad] = {common, common, common, common};
    if (c.grad_step != 0) {
#pragma unroll
      for (int j = 0; j < kQuad; ++j) {
        if (labels.target[j] < 0) continue;
        grad[j] = widen(c.grad_dst[at.sample(c.tiling, j) * c.grad_step]);
      }
    }
#pragma unroll
    for (int j = 0; j < kQuad; ++j) {
      const bool counts = labels.target[j] >= 0;
      float sum = sums.sum[j];
      if constexpr (kApart<T>) sum += counts ? exps[j](sums.label[j]) : 0.0f;
      const float inverse = kApart<T> ? 1 / sum : reciprocal_fast(sum);
      const float keep = c.keep * labels.weight[j];
      share[j] = (counts ? grad[j] * fmaf(c.spread, all, keep) : 0.0f) * inverse;
      spread[j] = counts && c.spread != 0 ? grad[j] * c.spread : 0.0f;  // grad may be infinite
      label[j] = grad[j] * keep;
      if constexpr (kApart<T>) {
        const float miss = sums.sum[j] * inverse;  // 1 - p
        const float own = kWeighted ? labels.weight[j] : 1.0f;
        const float smooth = spread[j] * (all * (1 - miss) - own);
        // NaN where grad is infinite.
        label[j] = fmaf(grad[j], 0.0f, smooth - label[j] * miss);
      }
    }
  }
  // w: the weight of its class, which is not the label.
  GPU_DEVICE float other(float x, int j, float w) const {
    return fmaf(exps[j](x), share[j], kWeighted ? -spread[j] * w : -spread[j]);
  }
  GPU_DEVICE float at_label(float x, int j, float w) const {
    return kApart<T> ? label[j] : other(x, j, w) - label[j];
  }
  // Both, since lanes would else part: 10 % slower in float32 on an H200.
  GPU_DEVICE float operator()(float x, int j, float w, bool is_label) const {
    const float result = other(x, j, w);
    if constexpr (kApart<T>) return is_label ? label[j] : result;
    return is_label ? result - label[j] : result;
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CROSS_ENTROPY_PIXELS_GRADIENTS_H_
