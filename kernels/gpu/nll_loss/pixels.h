// The gradient of pixels. Bound: memory, each element written once: a thread knows its pixels'
// classes and walks the planes. Where these begin anywhere it knows those of a pack of pixels and
// of the next, and writes of each plane the 16 aligned bytes that begin among its pixels.
// (16x21x513x513 on an H200: bfloat16 112 to 61 us, float32 183 to 111. Of planes of quads alike 20
// % slower.)
#ifndef POLYOPS_GPU_NLL_LOSS_PIXELS_H_
#define POLYOPS_GPU_NLL_LOSS_PIXELS_H_

#include "backward.h"
#include "cross_entropy_pixels/labels.h"
#include "cross_entropy_pixels/place.h"
#include "gpu.h"

namespace polyops::gpu {
namespace {

template <class T>
GPU_KERNEL(kPixelThreads)
nll_loss_quads_backward(const NllLossBackwardCall<T> c, const Tiling t) {
  await_earlier();
  const Place at(t);
  if (!at.inside) return;
  const Labels labels = labels_of(c.targets, c.weights, t, at);
  float value[kQuad];
#pragma unroll
  for (int j = 0; j < kQuad; ++j) {
    value[j] = 0;
    if (labels.target[j] < 0) continue;
    float grad = widen(c.grad_dst[at.sample(t, j) * c.grad_step]);
    if (c.total != nullptr) grad /= widen(*c.total);
    value[j] = -labels.weight[j] * grad;
  }
  T* out = c.grad_src + int64_t{at.image} * t.classes * t.pixels + at.first;
#pragma unroll 4
  for (int k = 0; k < t.classes; ++k, out += t.pixels) {
    float x[kQuad];
#pragma unroll
    for (int j = 0; j < kQuad; ++j) x[j] = labels.target[j] == k ? value[j] : 0.0f;
    store_class(t, at, out, x);
  }
}

template <class T>
inline constexpr int kPackTile = kPixelThreads * kPack<T>;  // pixels of a block

// Of pixels that follow one another: the class, -1 where none counts, and the gradient there.
template <class T>
struct Marks {
  int target[2 * kPack<T>];
  float value[2 * kPack<T>];

  // Of class k, the pixels kFirst, kFirst + 1, ...
  template <int kFirst>
  GPU_DEVICE void of_class(int k, float (&x)[kPack<T>]) const {
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) {
      x[j] = target[kFirst + j] == k ? value[kFirst + j] : 0.0f;
    }
  }
};

// As of_class(); first: 0 to kPack - 1, the same for all threads.
template <int kFirst = 0, class T>
GPU_DEVICE void marks_from(const Marks<T>& marks, int first, int k, float (&x)[kPack<T>]) {
  if (first == kFirst) return marks.template of_class<kFirst>(k, x);
  if constexpr (kFirst + 1 < kPack<T>) marks_from<kFirst + 1>(marks, first, k, x);
}

// Four marks of the block to an element.
template <class T>
inline constexpr int kMarkWords = (kPackTile<T> + kPack<T>) / 4;

// The block's marks and a pack more, from `begin`, for all to read. All labels are on their way
// before the first is looked at.
template <class T>
GPU_DEVICE void mark_tile(const NllLossBackwardCall<T>& c, const Tiling& t, uint32_t image,
                          uint32_t begin, Words* target, Words* value) {
  constexpr int kMarks = kMarkWords<T> * 4, kEach = kPack<T> + 1;  // of a thread
  int64_t own[kEach];
  float grad[kEach];
  const bool each = c.grad_step != 0;
#pragma unroll
  for (int n = 0; n < kEach; ++n) {
    const uint32_t i = thread_id() + n * kPixelThreads, sample = image * t.pixels + begin + i;
    const bool inside = i < kMarks && begin + i < t.pixels;
    own[n] = inside ? c.targets.at(sample) : c.targets.ignored;
    grad[n] = inside && each ? widen(c.grad_dst[sample * c.grad_step]) : 0.0f;
  }
  float common = widen(*c.grad_dst);
  if (c.total != nullptr) common /= widen(*c.total);
#pragma unroll
  for (int n = 0; n < kEach; ++n) {
    const int i = thread_id() + n * kPixelThreads;
    if (i >= kMarks) break;
    const bool counts = c.targets.counts(own[n]);
    const float mark = counts ? -c.weights.at(own[n]) * (each ? grad[n] : common) : 0.0f;
    target[i / 4].w[i % 4] = static_cast<uint32_t>(counts ? static_cast<int>(own[n]) : -1);
    value[i / 4].w[i % 4] = float_bits(mark);
  }
}

template <class T>
GPU_KERNEL(kPixelThreads)
nll_loss_pixels_backward(const NllLossBackwardCall<T> c, const Tiling t) {
  await_earlier();
  GPU_SHARED(Words, target, kMarkWords<T>);
  GPU_SHARED(Words, value, kMarkWords<T>);
  auto image = static_cast<uint32_t>(block_id());
  const uint32_t begin = take_remainder(t.tiles, &image) * kPackTile<T>;
  mark_tile(c, t, image, begin, target, value);
  barrier();
  const int place = thread_id() * kPack<T>;
  Marks<T> marks;
#pragma unroll
  for (int j = 0; j < 2 * kPack<T>; j += 4) {
    const Words targets = target[(place + j) / 4], values = value[(place + j) / 4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      marks.target[j + i] = static_cast<int>(targets.w[i]);
      marks.value[j + i] = float_of_bits(values.w[i]);
    }
  }
  T* out = c.grad_src + int64_t{image} * t.classes * t.pixels + begin;
  const int turn = static_cast<int>(t.pixels & (kPack<T> - 1));
  const auto left = static_cast<int>(t.pixels - begin);  // pixels
  int first = -misplaced(out) & (kPack<T> - 1);
#pragma unroll 1
  for (int k = 0; k < t.classes; ++k, out += t.pixels, first = (first - turn) & (kPack<T> - 1)) {
    float x[kPack<T>];
    marks_from(marks, first, k, x);
    const int at = place + first;
    if (at + kPack<T> <= left) {
      store_words(out + at, pack<T>(x));
    } else {
#pragma unroll
      for (int j = 0; j < kPack<T>; ++j) {
        if (at + j < left) out[at + j] = narrow<T>(x[j]);
      }
    }
    if (begin != 0 || thread_id() != 0) continue;
#pragma unroll
    for (int j = 0; j < kPack<T> - 1; ++j) {  // before the plane's first
      if (j < first && j < left) out[j] = narrow<T>(marks.target[j] == k ? marks.value[j] : 0.0f);
    }
  }
}

template <class T>
int launch_pixels_backward(const polyops_nll_loss_backward_args& a, const polyops_context* ctx) {
  const polyops_tensor& out = a.grad_src;
  const bool mean = a.reduction == POLYOPS_NLL_LOSS_MEAN;
  const NllLossBackwardCall<T> call = {static_cast<const T*>(a.grad_dst.data),
                                       step_of(a.grad_dst, a.reduction),
                                       targets_of(a.target, a.ignore_index, out.sizes[1]),
                                       weights_of<T>(a.weight),
                                       mean ? static_cast<const T*>(a.total_weight.data) : nullptr,
                                       static_cast<T*>(out.data),
                                       polyops_numel(&out)};
  if (has_quads<T>(out)) {
    return gpu::launch(nll_loss_quads_backward<T>, {pixel_blocks(out), kPixelThreads}, ctx, call,
                       tiling_of(out, true));
  }
  return gpu::launch(nll_loss_pixels_backward<T>, {pixel_blocks(out, kPackTile<T>), kPixelThreads},
                     ctx, call, tiling_of(out, false, kPackTile<T>));
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_NLL_LOSS_PIXELS_H_
