// The gradient. Bound: memory, each score read and each gradient written once: what a thread's
// registers do not hold of its pixels it parks in shared memory, so that nobody waits for anybody.
// Only many classes are read again in part.
#ifndef POLYOPS_GPU_CROSS_ENTROPY_PIXELS_BACKWARD_H_
#define POLYOPS_GPU_CROSS_ENTROPY_PIXELS_BACKWARD_H_

#include "gpu.h"
#include "gradients.h"
#include "place.h"
#include "softmax/park.h"
#include "sums.h"
#include "tile.h"

namespace polyops::gpu {
namespace {

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
GPU_KERNEL(kPixelThreads, 4)
cross_entropy_pixels_backward(const PixelsBackwardCall<T> c) {
  await_earlier();
  GPU_DYNAMIC_SHARED(Quad<T>, memory);
  const Park<Quad<T>, kRows<T>, 1> park = {memory, c.parked};
  const Place at(c.tiling);
  if (!at.inside) return;
  const Labels labels = labels_of(c.targets, c.weights, c.tiling, at);
  const int* const targets = kApart<T> ? labels.target : nullptr;
  OwnSums<T> sums;
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
  const PixelGradients<T, kWeighted> gradients(c, at, common_gradient(c), labels, sums);
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
template <class T, int kGroup, class Tile>
GPU_DEVICE void absorb_tile(const PixelsBackwardCall<T>& c, const Tile& tile, OwnSums<T>* sums) {
  Quad<T> x[kRows<T>];
  const int classes = c.tiling.classes;
  int begin = thread_id() / kGroup * kRows<T>;
#pragma unroll 1
  for (; begin + kRows<T> <= classes; begin += kPixelThreads / kGroup * kRows<T>) {
    tile.load(begin, kRows<T>, x);
    absorb_classes<T, true>(x, begin, kRows<T>, c.weights, nullptr, sums);
  }
  if (begin >= classes) return;
  tile.load(begin, classes - begin, x);
  absorb_classes<T, false>(x, begin, classes - begin, c.weights, nullptr, sums);
}

// Whether the j-th pixel's label is a class of the thread's group.
template <class T, int kGroup>
GPU_DEVICE bool has_label(const Labels& labels, int j) {
  const int k = labels.target[j];
  return k >= 0 && k / kRows<T> % (kPixelThreads / kGroup) == thread_id() / kGroup;
}

// The sums of the thread's pixels. Where labels' scores are apart, they leave the tile before.
template <class T, int kGroup, class Tile>
GPU_DEVICE OwnSums<T> sums_of_tile(const PixelsBackwardCall<T>& c, const Labels& labels,
                                   const Tile& tile, bool inside) {
  OwnSums<T> sums;
#pragma unroll
  for (int j = 0; j < kQuad; ++j) {
    sums.label[j] = widen(*tile.of(labels.target[j] < 0 ? 0 : labels.target[j], j));
  }
  if constexpr (kApart<T>) {
    if constexpr (kGroup < kPixelThreads) barrier();  // all have read
#pragma unroll
    for (int j = 0; j < kQuad; ++j) {
      if (labels.target[j] < 0) continue;
      sums.max[j] = sums.label[j];
      if (has_label<T, kGroup>(labels, j)) *tile.of(labels.target[j], j) = kMinusInf;
    }
  }
  if (inside) absorb_tile<T, kGroup>(c, tile, &sums);
  return sums;
}

// Classes begin, begin + 1, ... of a tile: gradients in the place of scores. (16x21x513x513 on an
// H200, one class after the other and now: bfloat16 196 and 117 us, float32 257 and 201.)
template <bool kAll, class T, int kGroup>
GPU_DEVICE void turn_classes(const PixelsBackwardCall<T>& c,
                             const PixelGradients<T, false>& gradients, int begin,
                             const PixelTile<T, kGroup>& tile) {
  const int rows = kAll ? kRows<T> : c.tiling.classes - begin;
  Quad<T> quads[kRows<T>];
  tile.load(begin, rows, quads);
#pragma unroll
  for (int k = 0; k < kRows<T>; ++k) {
    if (!kAll && k >= rows) break;
    float x[kQuad];
    unpack(quads[k], x);
#pragma unroll
    for (int j = 0; j < kQuad; ++j) x[j] = gradients.other(x[j], j, 1.0f);
    quads[k] = pack_quad<T>(x);
  }
  tile.put(begin, rows, quads);
}

// The gradients of the classes of the thread's group, in the place of the scores: labels' last, so
// that no other class is asked whether it is one.
template <class T, int kGroup>
GPU_DEVICE void turn_tile(const PixelsBackwardCall<T>& c, const Labels& labels,
                          const PixelGradients<T, false>& gradients,
                          const float (&label_scores)[kQuad], const PixelTile<T, kGroup>& tile) {
  constexpr int kStep = kPixelThreads / kGroup * kRows<T>;
  const int classes = c.tiling.classes;
  int begin = thread_id() / kGroup * kRows<T>;
  float own[kQuad];
#pragma unroll
  for (int j = 0; j < kQuad; ++j) own[j] = gradients.at_label(label_scores[j], j, 1.0f);
#pragma unroll 1
  for (; begin + kRows<T> <= classes; begin += kStep) {
    turn_classes<true>(c, gradients, begin, tile);
  }
  if (begin < classes) turn_classes<false>(c, gradients, begin, tile);
#pragma unroll
  for (int j = 0; j < kQuad; ++j) {
    if (!has_label<T, kGroup>(labels, j)) continue;
    *tile.of(labels.target[j], j) = narrow<T>(own[j]);
  }
}

// Of planes which in both tensors are as far behind 16 bytes, so that a tile of gradients is stored
// as one of scores is read.
template <class T, int kGroup>
GPU_KERNEL(kPixelThreads, 6)
cross_entropy_tile_backward(const PixelsBackwardCall<T> c) {
  await_earlier();
  constexpr bool kOneGroup = kGroup == kPixelThreads;
  GPU_SHARED(Quad<float>, parts, kOneGroup ? 1 : kPixelValues * kPixelThreads);
  GPU_DYNAMIC_SHARED(T, memory);
  const PlaceOf<kGroup> at(c.tiling);
  const PixelTile<T, kGroup> tile(memory, c.src, c.tiling, at);
  tile.fetch();
  const Labels labels = labels_of(c.targets, c.weights, c.tiling, at);
  const float common = common_gradient(c);
  wait_copies<0>();
  barrier();
  auto sums = sums_of_tile<T, kGroup>(c, labels, tile, at.inside);
  if constexpr (!kOneGroup) merge_groups<T, kGroup>(&sums, parts);
  if (at.inside) {
    const PixelGradients<T, false> gradients(c, at, common, labels, sums);
    turn_tile(c, labels, gradients, sums.label, tile);
  }
  barrier();
  tile.store(image_gradients(c, at.image) + at.begin, c.tiling.pixels);
}

// Of channels_last, to planes.
template <class T>
GPU_KERNEL(kPixelThreads, 6)
cross_entropy_run_backward(const PixelsBackwardCall<T> c) {
  await_earlier();
  GPU_DYNAMIC_SHARED(T, memory);
  const Place at(c.tiling);
  const PixelRun<T> run(memory, c.src, c.tiling, at);
  run.fetch();
  const Labels labels = labels_of(c.targets, c.weights, c.tiling, at);
  const float common = common_gradient(c);
  wait_copies<0>();
  barrier();
  if (!at.inside) return;
  const auto sums = sums_of_tile<T, kPixelThreads>(c, labels, run, true);
  const PixelGradients<T, false> gradients(c, at, common, labels, sums);
  T* const out = image_gradients(c, at.image) + at.first;
#pragma unroll 1
  for (int begin = 0; begin < c.tiling.classes; begin += kRows<T>) {
    Quad<T> x[kRows<T>];
    run.load(begin, c.tiling.classes - begin, x);
    write_classes(c, at, labels, gradients, x, begin, out);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CROSS_ENTROPY_PIXELS_BACKWARD_H_
