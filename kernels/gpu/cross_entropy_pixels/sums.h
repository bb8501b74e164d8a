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

// exp of scores less the largest one. In float32 the gradient of a smoothed loss is a small
// difference, and there is time for all of its bits.
template <class T>
struct PixelExp {
  ExpBelow<T> below;

  GPU_DEVICE explicit PixelExp(float max) : below(max) {}
  GPU_DEVICE float operator()(float x) const { return below(x); }
};
template <>
struct PixelExp<float> {
  float max;

  GPU_DEVICE explicit PixelExp(float top) : max(shift_of(top)) {}
  GPU_DEVICE float operator()(float x) const { return exp_close(x - max); }
};

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
      if constexpr (kSmooth != Smooth::kNone) {
        below[j] = fmaf(weight, shift_of(tops[j]) - shift_of(max[j]), below[j]);
      }
      sum[j] *= PixelExp<T>(tops[j])(max[j]);
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
  Quad<T> top = quads[0];
#pragma unroll
  for (int k = 1; k < kRows<T>; ++k) {
    if (!kAll && k >= rows) break;
#pragma unroll
    for (int i = 0; i < kQuadWords<T>; ++i) top.w[i] = max_words<T>(top.w[i], quads[k].w[i]);
  }
  float tops[kQuad], x[kQuad], part[kQuad] = {};
  unpack(top, tops);
#pragma unroll
  for (int j = 0; j < kQuad; ++j) tops[j] = fmaxf(sums->max[j], tops[j]);
  sums->raise_to(tops);
  const PixelExp<T> exps[kQuad] = {PixelExp<T>(tops[0]), PixelExp<T>(tops[1]), PixelExp<T>(tops[2]),
                                   PixelExp<T>(tops[3])};
#pragma unroll
  for (int k = 0; k < kRows<T>; ++k) {
    if (!kAll && k >= rows) break;
    const float w = weight_for<T, kSmooth>(weights, begin + k);
    unpack(quads[k], x);
#pragma unroll
    for (int j = 0; j < kQuad; ++j) {
      const bool is_label = targets != nullptr && targets[j] == begin + k;
      const float exp = exps[j](x[j]);
      part[j] += kApart && is_label ? 0.0f : exp;
      if constexpr (kSmooth != Smooth::kNone) {
        sums->below[j] = fmaf(w, shift_of(tops[j]) - x[j], sums->below[j]);
      }
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
#pragma unroll
  for (int j = 0; j < kQuad; ++j) {
    sums->max[j] = all.max[j];
    sums->sum[j] = all.sum[j];
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CROSS_ENTROPY_PIXELS_SUMS_H_
