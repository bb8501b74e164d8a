// What is gathered of a thread's pixels while it walks their classes.
#ifndef POLYOPS_GPU_CROSS_ENTROPY_PIXELS_SUMS_H_
#define POLYOPS_GPU_CROSS_ENTROPY_PIXELS_SUMS_H_

#include "cross_entropy/row_sums.h"
#include "gpu.h"
#include "labels.h"
#include "nll_loss/samples.h"
#include "place.h"
#include "softmax/max_sum.h"

namespace polyops::gpu {
namespace {

// exp of a score less the largest one. In float32 the gradient of a smoothed loss is a small
// difference, and there is time for all of its bits.
template <class T>
GPU_DEVICE float exp_of(float distance) {
  if constexpr (sizeof(T) == 4) {
    return exp_close(distance);
  } else {
    return exp2_flush(distance * kLog2e);
  }
}

// As RowSums; `weight`, of the classes so far, is all pixels'.
template <class T, Smooth kSmooth>
struct PixelSums {
  float max[kQuad], sum[kQuad] = {}, below[kQuad] = {};
  float label[kQuad] = {};  // the score of its class
  float weight = 0;

  GPU_DEVICE PixelSums() {
#pragma unroll
    for (int j = 0; j < kQuad; ++j) max[j] = kMinusInf;
  }
  GPU_DEVICE void raise_to(const float (&tops)[kQuad]) {
#pragma unroll
    for (int j = 0; j < kQuad; ++j) {
      const float shift = shift_of(tops[j]);
      if constexpr (kSmooth != Smooth::kNone) {
        below[j] = fmaf(weight, shift - shift_of(max[j]), below[j]);
      }
      sum[j] *= exp_of<T>(max[j] - shift);
      max[j] = tops[j];
    }
  }
};

// Adds classes begin, begin + 1, ...; kAll: there are kRows of them. targets: null if the scores of
// labels are not wanted. kApart: the sum is of all other classes.
template <class T, bool kAll, bool kApart = false, Smooth kSmooth>
GPU_DEVICE void absorb_classes(const Quad<T> (&quads)[kRows<T>], int begin, int rows,
                               const ClassWeights<T>& weights, const int* targets,
                               PixelSums<T, kSmooth>* sums) {
  float tops[kQuad], x[kQuad], part[kQuad] = {};
#pragma unroll
  for (int j = 0; j < kQuad; ++j) tops[j] = sums->max[j];
#pragma unroll
  for (int k = 0; k < kRows<T>; ++k) {
    if (!kAll && k >= rows) break;
    unpack(quads[k], x);
#pragma unroll
    for (int j = 0; j < kQuad; ++j) tops[j] = fmaxf(tops[j], x[j]);
  }
  sums->raise_to(tops);
#pragma unroll
  for (int k = 0; k < kRows<T>; ++k) {
    if (!kAll && k >= rows) break;
    const float w = weight_for<T, kSmooth>(weights, begin + k);
    unpack(quads[k], x);
#pragma unroll
    for (int j = 0; j < kQuad; ++j) {
      const float distance = x[j] - shift_of(tops[j]);
      const bool is_label = targets != nullptr && targets[j] == begin + k;
      const float exp = exp_of<T>(distance);
      part[j] += kApart && is_label ? 0.0f : exp;
      if constexpr (kSmooth != Smooth::kNone) sums->below[j] = fmaf(-w, distance, sums->below[j]);
      if (is_label) sums->label[j] = x[j];
    }
    if constexpr (kSmooth != Smooth::kNone) sums->weight += w;
  }
#pragma unroll
  for (int j = 0; j < kQuad; ++j) sums->sum[j] += part[j];
}

inline constexpr int kPixelValues = 2;  // of a pixel's sums without smoothing

// Where all threads of the block have sums of their own classes, those of a group's pixels
// together. `shared` has kPixelValues * kPixelThreads elements.
template <class T, int kGroup>
GPU_DEVICE void merge_groups(PixelSums<T, Smooth::kNone>* sums, Quad<float>* shared) {
  const auto put = [&](int value, const float(&x)[kQuad]) {
    shared[value * kPixelThreads + thread_id()] = pack_quad<float>(x);
  };
  put(0, sums->max);
  put(1, sums->sum);
  barrier();
  const auto get = [&](int value, int group, float(&x)[kQuad]) {
    unpack(shared[value * kPixelThreads + group * kGroup + thread_id() % kGroup], x);
  };
  PixelSums<T, Smooth::kNone> all;
  for (int group = 0; group < kPixelThreads / kGroup; ++group) {
    PixelSums<T, Smooth::kNone> part;
    float tops[kQuad];
    get(0, group, part.max);
    get(1, group, part.sum);
#pragma unroll
    for (int j = 0; j < kQuad; ++j) tops[j] = fmaxf(all.max[j], part.max[j]);
    all.raise_to(tops);
    part.raise_to(tops);
#pragma unroll
    for (int j = 0; j < kQuad; ++j) all.sum[j] += part.sum[j];
  }
  *sums = all;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CROSS_ENTROPY_PIXELS_SUMS_H_
