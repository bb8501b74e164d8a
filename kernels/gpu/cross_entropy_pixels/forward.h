// The losses, or their sum. Bound: memory, each score read once; nothing is kept for backward,
// which has all of a pixel's classes before it anyway. Each block leaves its losses and weights
// added up in scratch memory; a second kernel adds these in order.
#ifndef POLYOPS_GPU_CROSS_ENTROPY_PIXELS_FORWARD_H_
#define POLYOPS_GPU_CROSS_ENTROPY_PIXELS_FORWARD_H_

#include "cross_entropy/forward.h"
#include "gpu.h"
#include "place.h"
#include "reduce.h"
#include "sums.h"
#include "tile.h"

namespace polyops::gpu {
namespace {

template <class T>
struct PixelsCall {
  Scores<T> src;
  Tiling tiling;
  Targets targets;
  ClassWeights<T> weights;
  float keep, spread;  // 1 - label_smoothing; label_smoothing / classes
  T* dst;              // with _NONE
  int64_t dst_step;
  float* parts;  // with _MEAN and _SUM
};

// Each chunk of classes is under way while the one before it is absorbed.
template <class T, Smooth kSmooth>
GPU_DEVICE void walk_classes(const PixelsCall<T>& c, const Place& at, const Labels& labels,
                             PixelSums<T, kSmooth>* sums) {
  const int classes = c.tiling.classes;
  Quad<T> x[kRows<T>], next[kRows<T>];
  load_classes(c.src, c.tiling, at, 0, x);
  int begin = 0;
#pragma unroll 1
  for (; begin + kRows<T> < classes; begin += kRows<T>) {
    load_classes(c.src, c.tiling, at, begin + kRows<T>, next);
    absorb_classes<T, true>(x, begin, kRows<T>, c.weights, labels.target, sums);
#pragma unroll
    for (int k = 0; k < kRows<T>; ++k) x[k] = next[k];
  }
  absorb_classes<T, false>(x, begin, classes - begin, c.weights, labels.target, sums);
}

// Of a tile; without the scores of labels.
template <class T, Smooth kSmooth>
GPU_DEVICE void walk_tile(const PixelsCall<T>& c, const PixelTile<T, kPixelThreads>& tile,
                          PixelSums<T, kSmooth>* sums) {
  Quad<T> x[kRows<T>];
  int begin = 0;
#pragma unroll 1
  for (; begin + kRows<T> <= c.tiling.classes; begin += kRows<T>) {
    tile.load(begin, kRows<T>, x);
    absorb_classes<T, true>(x, begin, kRows<T>, c.weights, nullptr, sums);
  }
  const int rows = c.tiling.classes - begin;
  if (rows <= 0) return;
  tile.load(begin, rows, x);
  absorb_classes<T, false>(x, begin, rows, c.weights, nullptr, sums);
}

// Of the j-th pixel.
template <class T, Smooth kSmooth>
GPU_DEVICE float loss_of(const PixelsCall<T>& c, const Labels& labels,
                         const PixelSums<T, kSmooth>& sums, int j) {
  if (labels.target[j] < 0) return 0;
  const float log_sum = log_close(sums.sum[j]);
  // In two steps, for both may be large where the loss is not.
  float loss = c.keep * labels.weight[j] * ((sums.max[j] - sums.label[j]) + log_sum);
  if constexpr (kSmooth != Smooth::kNone) {
    loss = fmaf(c.spread, fmaf(sums.weight, log_sum, sums.below[j]), loss);
  }
  return loss;
}

// Of all, where their weights are 1: one logarithm for the product of their sums, which are at most
// as large as classes are many.
template <class T, Smooth kSmooth>
GPU_DEVICE float loss_of_equals(const PixelsCall<T>& c, const Labels& labels,
                                const PixelSums<T, kSmooth>& sums) {
  float product = 1, distance = 0, below = 0;
#pragma unroll
  for (int j = 0; j < kQuad; ++j) {
    if (labels.target[j] < 0) continue;
    product *= sums.sum[j];
    distance += sums.max[j] - sums.label[j];
    if constexpr (kSmooth != Smooth::kNone) below += sums.below[j];
  }
  const float log_sum = log_close(product);
  const float loss = c.keep * (distance + log_sum);
  if constexpr (kSmooth == Smooth::kNone) return loss;
  return fmaf(c.spread, fmaf(sums.weight, log_sum, below), loss);
}

// Adds the losses and weights of the thread's pixels to `part`.
template <class T, Smooth kSmooth>
GPU_DEVICE void finish_pixels(const PixelsCall<T>& c, const Place& at, const Labels& labels,
                              const PixelSums<T, kSmooth>& sums, float (&part)[2]) {
#pragma unroll
  for (int j = 0; j < kQuad; ++j) part[1] += labels.weight[j];
  if (c.dst == nullptr && c.weights.data == nullptr) {
    part[0] += loss_of_equals(c, labels, sums);
    return;
  }
#pragma unroll
  for (int j = 0; j < kQuad; ++j) {
    const float loss = loss_of(c, labels, sums, j);
    part[0] += loss;
    if (c.dst != nullptr && at.has(c.tiling, j)) {
      c.dst[at.sample(c.tiling, j) * c.dst_step] = narrow<T>(loss);
    }
  }
}

template <class T>
GPU_DEVICE void leave_part(const PixelsCall<T>& c, float (&part)[2], float* shared) {
  if (c.parts == nullptr) return;
  sum_team(part, block_threads(), shared);
  if (thread_id() != 0) return;
  c.parts[2 * block_id()] = part[0];
  c.parts[2 * block_id() + 1] = part[1];
}

template <class T, Smooth kSmooth>
GPU_KERNEL(kPixelThreads, kSmooth == Smooth::kNone ? 5 : 4)
cross_entropy_pixels(const PixelsCall<T> c) {
  await_earlier();
  GPU_SHARED(float, shared, 2 * kMostWaves);
  if (c.parts != nullptr) let_later_begin();
  const Place at(c.tiling);
  float part[2] = {0, 0};
  if (at.inside) {
    const Labels labels = labels_of(c.targets, c.weights, c.tiling, at);
    PixelSums<T, kSmooth> sums;
    walk_classes(c, at, labels, &sums);
    finish_pixels(c, at, labels, sums, part);
  }
  leave_part(c, part, shared);
}

template <class T, Smooth kSmooth>
GPU_KERNEL(kPixelThreads, 6)
cross_entropy_tile(const PixelsCall<T> c) {
  await_earlier();
  GPU_SHARED(float, shared, 2 * kMostWaves);
  GPU_DYNAMIC_SHARED(T, memory);
  if (c.parts != nullptr) let_later_begin();
  const Place at(c.tiling);
  const PixelTile<T, kPixelThreads> tile(memory, c.src, c.tiling, at);
  tile.fetch();
  const Labels labels = labels_of(c.targets, c.weights, c.tiling, at);
  wait_copies<0>();
  barrier();
  float part[2] = {0, 0};
  if (at.inside) {
    PixelSums<T, kSmooth> sums;
    walk_tile(c, tile, &sums);
#pragma unroll
    for (int j = 0; j < kQuad; ++j) {
      sums.label[j] = widen(*tile.of(labels.target[j] < 0 ? 0 : labels.target[j], j));
    }
    finish_pixels(c, at, labels, sums, part);
  }
  leave_part(c, part, shared);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CROSS_ENTROPY_PIXELS_FORWARD_H_
