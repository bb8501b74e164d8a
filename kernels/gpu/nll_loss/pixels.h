// The gradient of pixels. Bound: memory, each element written once: a thread knows the classes of a
// pack of pixels and of the next, and walks the planes, of each of which it writes the 16 aligned
// bytes that begin among its pixels, wherever planes begin.
#ifndef POLYOPS_GPU_NLL_LOSS_PIXELS_H_
#define POLYOPS_GPU_NLL_LOSS_PIXELS_H_

#include "backward.h"
#include "cross_entropy_pixels/place.h"
#include "gpu.h"

namespace polyops::gpu {
namespace {

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

// The block's marks and a pack more, from `begin`, for all to read.
template <class T>
GPU_DEVICE void mark_tile(const NllLossBackwardCall<T>& c, const Tiling& t, uint32_t image,
                          uint32_t begin, int* target, float* value) {
  for (int i = thread_id(); i < kPackTile<T> + kPack<T>; i += kPixelThreads) {
    target[i] = -1;
    value[i] = 0;
    if (begin + i >= t.pixels) continue;
    const uint32_t sample = image * t.pixels + begin + i;
    const int64_t own = c.targets.at(sample);
    if (!c.targets.counts(own)) continue;
    float grad = widen(c.grad_dst[sample * c.grad_step]);
    if (c.total != nullptr) grad /= widen(*c.total);
    target[i] = static_cast<int>(own);
    value[i] = -c.weights.at(own) * grad;
  }
}

template <class T>
GPU_KERNEL(kPixelThreads)
nll_loss_pixels_backward(const NllLossBackwardCall<T> c, const Tiling t) {
  GPU_SHARED(int, target, kPackTile<T> + kPack<T>);
  GPU_SHARED(float, value, kPackTile<T> + kPack<T>);
  auto image = static_cast<uint32_t>(block_id());
  const uint32_t begin = take_remainder(t.tiles, &image) * kPackTile<T>;
  mark_tile(c, t, image, begin, target, value);
  barrier();
  const int place = thread_id() * kPack<T>;
  Marks<T> marks;
#pragma unroll
  for (int j = 0; j < 2 * kPack<T>; ++j) {
    marks.target[j] = target[place + j];
    marks.value[j] = value[place + j];
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
      if (j < first && j < left) out[j] = narrow<T>(target[j] == k ? value[j] : 0.0f);
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
  return gpu::launch(nll_loss_pixels_backward<T>, {pixel_blocks(out, kPackTile<T>), kPixelThreads},
                     ctx, call, tiling_of(out, false, kPackTile<T>));
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_NLL_LOSS_PIXELS_H_
