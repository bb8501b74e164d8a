// The gradient of pixels. Bound: memory, each element written once: a thread knows its pixels'
// classes and walks the planes.
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
nll_loss_pixels_backward(const NllLossBackwardCall<T> c, const Tiling t) {
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
  return gpu::launch(nll_loss_pixels_backward<T>, {pixel_blocks(out), kPixelThreads}, ctx, call,
                     tiling_of(out, has_quads<T>(out)));
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_NLL_LOSS_PIXELS_H_
