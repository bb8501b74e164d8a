// The gradient: zeros, but for one element of each sample that counts. Bound: memory, each element
// written once. A block fills its part of the whole, whatever rows it has there, and then sets the
// elements that fall into it; their targets are on the way meanwhile.
#ifndef POLYOPS_GPU_NLL_LOSS_BACKWARD_H_
#define POLYOPS_GPU_NLL_LOSS_BACKWARD_H_

#include "gpu.h"
#include "samples.h"
#include "span.h"

namespace polyops::gpu {
namespace {

constexpr int kFillThreads = 256;
constexpr int kFillPacks = 4;  // of a thread
constexpr int64_t kFillOfBlock = int64_t{kFillThreads} * kFillPacks;

template <class T>
struct NllLossBackwardCall {
  const T* grad_dst;
  int64_t grad_step;
  Targets targets;
  ClassWeights<T> weights;
  const T* total;  // null: not divided by it
  T* grad_src;
  int64_t numel;
};

// An element that is not 0; negative place: none.
template <class T>
struct Mark {
  int64_t place;
  T value;
};

template <class T>
GPU_DEVICE Mark<T> mark_of(const NllLossBackwardCall<T>& c, int64_t sample, int64_t target) {
  Mark<T> mark = {-1, narrow<T>(0.0f)};
  const auto i = static_cast<uint32_t>(sample);
  float grad = widen(c.grad_dst[i * c.grad_step]);
  if (c.total != nullptr) grad /= widen(*c.total);
  if (!c.targets.counts(target)) return mark;
  mark.place = sample * c.targets.classes + target;
  mark.value = narrow<T>(-c.weights.at(target) * grad);
  return mark;
}

template <class T>
GPU_DEVICE void fill_zeros(const Span<T>& out, int64_t first_pack) {
  const Words zeros = {{0, 0, 0, 0}};
#pragma unroll
  for (int k = 0; k < kFillPacks; ++k) {
    const int64_t pack = first_pack + k * kFillThreads;
    if (out.whole(pack)) {
      store_words(out.base + pack * kPack<T>, zeros);
    } else {
#pragma unroll 1
      for (int j = 0; j < kPack<T>; ++j) {
        const int64_t at = pack * kPack<T> + j;
        if (out.has(at)) out.base[at] = narrow<T>(0.0f);
      }
    }
  }
}

template <class T>
GPU_KERNEL(kFillThreads)
nll_loss_backward(const NllLossBackwardCall<T> c) {
  const Span<T> out(c.grad_src, c.numel);
  const int64_t first_pack = block_id() * kFillOfBlock;
  int64_t begin = first_pack * kPack<T> - out.shift;
  int64_t end = begin + kFillOfBlock * kPack<T>;
  if (begin < 0) begin = 0;
  if (end > c.numel) end = c.numel;
  const int64_t classes = c.targets.classes;
  const bool narrow_index = c.numel <= int64_t{0xffffffff};
  const int64_t first_row = narrow_index
                                ? static_cast<uint32_t>(begin) / static_cast<uint32_t>(classes)
                                : begin / classes;

  int64_t row = first_row + thread_id(), target = 0;
  const bool inside = row * classes < end;
  if (inside) target = c.targets.at(static_cast<uint32_t>(row));
  fill_zeros(out, first_pack + thread_id());
  Mark<T> mark = {-1, narrow<T>(0.0f)};
  if (inside) mark = mark_of(c, row, target);
  barrier();
  for (;;) {
    if (mark.place >= begin && mark.place < end) c.grad_src[mark.place] = mark.value;
    row += kFillThreads;
    if (row * classes >= end) break;
    mark = mark_of(c, row, c.targets.at(static_cast<uint32_t>(row)));
  }
}

template <class T>
int launch_loss_backward(const polyops_nll_loss_backward_args& a, const polyops_context* ctx) {
  const bool mean = a.reduction == POLYOPS_NLL_LOSS_MEAN;
  const NllLossBackwardCall<T> call = {static_cast<const T*>(a.grad_dst.data),
                                       step_of(a.grad_dst, a.reduction),
                                       targets_of(a.target, a.ignore_index, a.grad_src.sizes[1]),
                                       weights_of<T>(a.weight),
                                       mean ? static_cast<const T*>(a.total_weight.data) : nullptr,
                                       static_cast<T*>(a.grad_src.data),
                                       polyops_numel(&a.grad_src)};
  constexpr int64_t kOfBlock = kFillOfBlock * kPack<T>;
  // A pack more, since the first may begin before the gradient.
  const int64_t blocks = (call.numel + kPack<T> + kOfBlock - 1) / kOfBlock;
  return gpu::launch(nll_loss_backward<T>, {blocks, kFillThreads}, ctx, call);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_NLL_LOSS_BACKWARD_H_
