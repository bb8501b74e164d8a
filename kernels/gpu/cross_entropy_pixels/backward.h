// The gradient. Bound: memory, each score read and each gradient written once: what a thread's
// registers do not hold of its pixels it parks in shared memory, so that nobody waits for anybody.
// Only many classes are read again in part.
#ifndef POLYOPS_GPU_CROSS_ENTROPY_PIXELS_BACKWARD_H_
#define POLYOPS_GPU_CROSS_ENTROPY_PIXELS_BACKWARD_H_

#include "gpu.h"
#include "place.h"
#include "softmax/park.h"
#include "sums.h"
#include "tile.h"

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

// Of the thread's pixels, as RowGradient of a row: share exp(x - max) - spread weight. Where one
// does not count the result is 0, or NaN if its sum is.
template <class T, bool kWeighted>
struct PixelGradients {
  float max[kQuad], share[kQuad], spread[kQuad];
  float label[kQuad];  // the gradient there, or what is taken off

  template <int kGroup>
  GPU_DEVICE PixelGradients(const PixelsBackwardCall<T>& c, const PlaceOf<kGroup>& at,
                            const Labels& labels, const PixelSums<T, Smooth::kNone>& sums) {
    float all = static_cast<float>(c.tiling.classes);  // weights
    if constexpr (kWeighted) {
      all = 0;
#pragma unroll 1
      for (int k = 0; k < c.tiling.classes; ++k) all += c.weights.at(k);
    }
#pragma unroll
    for (int j = 0; j < kQuad; ++j) {
      max[j] = sums.max[j];
      spread[j] = label[j] = 0;
      share[j] = 0 / sums.sum[j];
      if (labels.target[j] < 0) continue;
      float grad = widen(c.grad_dst[at.sample(c.tiling, j) * c.grad_step]);
      if (c.total != nullptr) grad /= *c.total;
      float sum = sums.sum[j];
      if constexpr (kApart<T>) sum += exp_of<T>(sums.label[j] - max[j]);
      const float keep = c.keep * labels.weight[j];
      share[j] = grad * fmaf(c.spread, all, keep) / sum;
      if (c.spread != 0) spread[j] = grad * c.spread;  // grad may be infinite
      label[j] = grad * keep;
      if constexpr (kApart<T>) {
        const float miss = sums.sum[j] / sum;  // 1 - p
        const float own = kWeighted ? labels.weight[j] : 1.0f;
        const float smooth = spread[j] * (all * (1 - miss) - own);
        // NaN where grad is infinite.
        label[j] = fmaf(grad, 0.0f, smooth - label[j] * miss);
      }
    }
  }
  // w: the weight of its class, which is not the label.
  GPU_DEVICE float other(float x, int j, float w) const {
    const float exp = exp_of<T>(x - max[j]);
    return fmaf(exp, share[j], kWeighted ? -spread[j] * w : -spread[j]);
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

// out: where the first class of the thread's first pixel is.
template <class T, bool kWeighted, int kGroup>
GPU_DEVICE void write_classes(const PixelsBackwardCall<T>& c, const PlaceOf<kGroup>& at,
                              const Labels& labels, const PixelGradients<T, kWeighted>& gradients,
                              const Quad<T> (&quads)[kRows<T>], int begin, T* out) {
#pragma unroll
  for (int k = 0; k < kRows<T>; ++k) {
    if (begin + k >= c.tiling.classes) break;
    float w = 1, x[kQuad];
    if constexpr (kWeighted) w = c.weights.at(begin + k);
    unpack(quads[k], x);
#pragma unroll
    for (int j = 0; j < kQuad; ++j) {
      x[j] = gradients(x[j], j, w, labels.target[j] == begin + k);
    }
    store_class(c.tiling, at, out + int64_t{begin + k} * c.tiling.pixels, x);
  }
}

// Where the gradients of the block's image begin.
template <class T>
GPU_DEVICE T* image_gradients(const PixelsBackwardCall<T>& c, uint32_t image) {
  return c.grad_src + int64_t{image} * c.tiling.classes * c.tiling.pixels;
}

template <class T, bool kWeighted>
GPU_KERNEL(kPixelThreads, kWeighted ? 4 : 5)
cross_entropy_pixels_backward(const PixelsBackwardCall<T> c) {
  GPU_DYNAMIC_SHARED(Quad<T>, memory);
  const Park<Quad<T>, kRows<T>, 1> park = {memory, c.parked};
  const Place at(c.tiling);
  if (!at.inside) return;
  const Labels labels = labels_of(c.targets, c.weights, c.tiling, at);
  const int* const targets = kApart<T> ? labels.target : nullptr;
  PixelSums<T, Smooth::kNone> sums;
  Quad<T> x[kRows<T>], next[kRows<T>];
  const int classes = c.tiling.classes;
  int begin = 0, chunk = 0;
  load_classes(c.src, c.tiling, at, 0, x);
#pragma unroll 1
  for (; begin + kRows<T> < classes; begin += kRows<T>, ++chunk) {
    load_classes(c.src, c.tiling, at, begin + kRows<T>, next);
    absorb_classes<T, true, kApart<T>>(x, begin, kRows<T>, c.weights, targets, &sums);
    park.keep(chunk, 0, x);
#pragma unroll
    for (int k = 0; k < kRows<T>; ++k) x[k] = next[k];
  }
  absorb_classes<T, false, kApart<T>>(x, begin, classes - begin, c.weights, targets, &sums);
  const PixelGradients<T, kWeighted> gradients(c, at, labels, sums);
  T* const out = image_gradients(c, at.image) + at.first;
#pragma unroll 1
  for (;;) {
    write_classes(c, at, labels, gradients, x, begin, out);
    begin -= kRows<T>;
    if (--chunk < 0) break;
    if (park.has(chunk)) {
      park.fetch(chunk, 0, x);
    } else {
      load_classes(c.src, c.tiling, at, begin, x);
    }
  }
}

// The classes of the thread's group.
template <class T, int kGroup>
GPU_DEVICE void absorb_tile(const PixelsBackwardCall<T>& c, const int* targets,
                            const PixelTile<T, kGroup>& tile, PixelSums<T, Smooth::kNone>* sums) {
  Quad<T> x[kRows<T>];
  const int classes = c.tiling.classes;
  int begin = thread_id() / kGroup * kRows<T>;
#pragma unroll 1
  for (; begin + kRows<T> <= classes; begin += kPixelThreads / kGroup * kRows<T>) {
    tile.load(begin, kRows<T>, x);
    absorb_classes<T, true, kApart<T>>(x, begin, kRows<T>, c.weights, targets, sums);
  }
  if (begin >= classes) return;
  tile.load(begin, classes - begin, x);
  absorb_classes<T, false, kApart<T>>(x, begin, classes - begin, c.weights, targets, sums);
}

// Classes begin, begin + 1, ... of a tile: gradients in the place of scores. (16x21x513x513 on an
// H200, by eight classes at a time and with labels' gradients last: bfloat16 196 to 162 us, float32
// 257 to 225.)
template <bool kAll, class T, bool kWeighted, int kGroup>
GPU_DEVICE void turn_classes(const PixelsBackwardCall<T>& c,
                             const PixelGradients<T, kWeighted>& gradients, int begin,
                             const PixelTile<T, kGroup>& tile) {
  const int rows = kAll ? kRows<T> : c.tiling.classes - begin;
  Quad<T> quads[kRows<T>];
  tile.load(begin, rows, quads);
#pragma unroll
  for (int k = 0; k < kRows<T>; ++k) {
    if (!kAll && k >= rows) break;
    float w = 1, x[kQuad];
    if constexpr (kWeighted) w = c.weights.at(begin + k);
    unpack(quads[k], x);
#pragma unroll
    for (int j = 0; j < kQuad; ++j) x[j] = gradients.other(x[j], j, w);
    quads[k] = pack_quad<T>(x);
  }
  tile.put(begin, rows, quads);
}

// The gradients of the classes of the thread's group, in the place of the scores: labels' last, so
// that no other class is asked whether it is one.
template <class T, bool kWeighted, int kGroup>
GPU_DEVICE void turn_tile(const PixelsBackwardCall<T>& c, const Labels& labels,
                          const PixelGradients<T, kWeighted>& gradients,
                          const float (&label_scores)[kQuad], const PixelTile<T, kGroup>& tile) {
  constexpr int kGroups = kPixelThreads / kGroup, kStep = kGroups * kRows<T>;
  const int classes = c.tiling.classes, group = thread_id() / kGroup;
  int begin = group * kRows<T>;
#pragma unroll 1
  for (; begin + kRows<T> <= classes; begin += kStep) {
    turn_classes<true>(c, gradients, begin, tile);
  }
  if (begin < classes) turn_classes<false>(c, gradients, begin, tile);
#pragma unroll
  for (int j = 0; j < kQuad; ++j) {
    const int k = labels.target[j];
    if (k < 0 || k / kRows<T> % kGroups != group) continue;
    const float w = kWeighted ? labels.weight[j] : 1.0f;
    *tile.of(k, j) = narrow<T>(gradients.at_label(label_scores[j], j, w));
  }
}

// The same to memory.
template <class T, bool kWeighted, int kGroup>
GPU_DEVICE void write_tile(const PixelsBackwardCall<T>& c, const PlaceOf<kGroup>& at,
                           const Labels& labels, const PixelGradients<T, kWeighted>& gradients,
                           const PixelTile<T, kGroup>& tile) {
  Quad<T> x[kRows<T>];
  const int classes = c.tiling.classes;
  T* const out = image_gradients(c, at.image) + at.first;
#pragma unroll 1
  for (int begin = thread_id() / kGroup * kRows<T>; begin < classes;
       begin += kPixelThreads / kGroup * kRows<T>) {
    tile.load(begin, classes - begin, x);
    write_classes(c, at, labels, gradients, x, begin, out);
  }
}

// kAlike: tiles' planes are as far behind 16 bytes as those of grad_src, so that a tile of
// gradients is stored as one of scores is read.
template <class T, bool kWeighted, int kGroup, bool kAlike>
GPU_KERNEL(kPixelThreads, 5)
cross_entropy_tile_backward(const PixelsBackwardCall<T> c) {
  constexpr int kGroups = kPixelThreads / kGroup;
  GPU_SHARED(Quad<float>, parts, kGroups == 1 ? 1 : kPixelValues * kPixelThreads);
  GPU_DYNAMIC_SHARED(T, memory);
  const PlaceOf<kGroup> at(c.tiling);
  const PixelTile<T, kGroup> tile(memory, c.src, c.tiling, at);
  tile.fetch();
  const Labels labels = labels_of(c.targets, c.weights, c.tiling, at);
  wait_copies<0>();
  barrier();
  PixelSums<T, Smooth::kNone> sums;
  if (at.inside) absorb_tile(c, kApart<T> ? labels.target : nullptr, tile, &sums);
  if constexpr (kGroups > 1) merge_groups<T, kGroup>(&sums, parts);
  if constexpr (kGroups > 1 || (kAlike && !kApart<T>)) {
#pragma unroll
    for (int j = 0; j < kQuad; ++j) {
      if (labels.target[j] >= 0) sums.label[j] = widen(*tile.of(labels.target[j], j));
    }
  }
  if constexpr (kGroups > 1 && kAlike) barrier();  // before scores make room for gradients
  if (at.inside) {
    const PixelGradients<T, kWeighted> gradients(c, at, labels, sums);
    if constexpr (kAlike) {
      turn_tile(c, labels, gradients, sums.label, tile);
    } else {
      write_tile(c, at, labels, gradients, tile);
    }
  }
  if constexpr (kAlike) {
    barrier();
    tile.store(image_gradients(c, at.image) + at.begin, c.tiling.pixels);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CROSS_ENTROPY_PIXELS_BACKWARD_H_
