// What is gathered of a thread's pixels while it walks their classes.
#ifndef POLYOPS_GPU_CROSS_ENTROPY_PIXELS_SUMS_H_
#define POLYOPS_GPU_CROSS_ENTROPY_PIXELS_SUMS_H_

#include <type_traits>

#include "cross_entropy/row_sums.h"
#include "gpu.h"
#include "labels.h"
#include "nll_loss/samples.h"
#include "place.h"
#include "softmax/max_sum.h"

namespace polyops::gpu {
namespace {

// exp of scores less the largest one, with all of float32's bits: the gradient of a smoothed loss
// is a small difference.
struct CloseExp {
  float max;

  GPU_DEVICE explicit CloseExp(float top) : max(shift_of(top)) {}
  GPU_DEVICE float operator()(float x) const { return exp_close(x - max); }
};

// As RowSums; `weight`, of the classes so far, is all pixels'.
template <class T, Smooth kSmooth, class Exp = ExpBelow<T>>
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
      sum[j] *= Exp(tops[j])(max[j]);
      max[j] = tops[j];
    }
  }
};

// Adds classes begin, begin + 1, ...; kAll: there are kRows of them. targets: null if the scores of
// labels are not wanted. kApart: the sum is of all other classes.
template <class T, bool kAll, bool kApart = false, Smooth kSmooth, class Exp>
GPU_DEVICE void absorb_classes(const Quad<T> (&quads)[kRows<T>], int begin, int rows,
                               const ClassWeights<T>& weights, const int* targets,
                               PixelSums<T, kSmooth, Exp>* sums) {
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
  const Exp exps[kQuad] = {Exp(tops[0]), Exp(tops[1]), Exp(tops[2]), Exp(tops[3])};
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

// Of the gradient.
template <class T>
using PixelExp = std::conditional_t<sizeof(T) == 4, CloseExp, ExpBelow<T>>;
template <class T>
using OwnSums = PixelSums<T, Smooth::kNone, PixelExp<T>>;

inline constexpr int kPixelValues = 2;  // of them

// Where all threads of the block have sums of their own classes, those of a group's pixels
// together. `shared` has kPixelValues * kPixelThreads elements.
template <class T, int kGroup>
GPU_DEVICE void merge_groups(OwnSums<T>* sums, Quad<float>* shared) {
  const auto put = [&](int value, const float(&x)[kQuad]) {
    shared[value * kPixelThreads + thread_id()] = pack_quad<float>(x);
  };
  put(0, sums->max);
  put(1, sums->sum);
  barrier();
  const auto get = [&](int value, int group, float(&x)[kQuad]) {
    unpack(shared[value * kPixelThreads + group * kGroup + thread_id() % kGroup], x);
  };
  constexpr int kGroups = kPixelThreads / kGroup;
  float max[kQuad], part[kQuad];
#pragma unroll 1
  for (int group = 0; group < kGroups; ++group) {
    get(0, group, max);
#pragma unroll
    for (int j = 0; j < kQuad; ++j) sums->max[j] = fmaxf(sums->max[j], max[j]);
  }
#pragma unroll
  for (int j = 0; j < kQuad; ++j) sums->sum[j] = 0;
#pragma unroll 1
  for (int group = 0; group < kGroups; ++group) {
    get(0, group, max);
    get(1, group, part);
#pragma unroll
    for (int j = 0; j < kQuad; ++j) {
      sums->sum[j] = fmaf(PixelExp<T>(sums->max[j])(max[j]), part[j], sums->sum[j]);
    }
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CROSS_ENTROPY_PIXELS_SUMS_H_
