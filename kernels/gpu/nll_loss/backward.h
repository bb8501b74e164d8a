// The gradient: zeros, but for one element of each sample that counts. Bound: memory, each element
// written once. A block sets up its part of the whole, whatever rows it has there, in shared memory
// while their targets are on the way, and stores it in packs: an element of its own would be a
// sector more for each row.
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

// An element of a pack in shared memory.
template <class T>
struct Marked {
  T value;
} __attribute__((may_alias));

// part: packs first_pack, first_pack + 1, ... of out.
template <class T>
GPU_DEVICE void store_part(const Span<T>& out, int64_t first_pack, const Words* part) {
#pragma unroll
  for (int k = 0; k < kFillPacks; ++k) {
    const int at = thread_id() + k * kFillThreads;
    const int64_t pack = first_pack + at;
    if (out.whole(pack)) {
      store_words(out.base + pack * kPack<T>, part[at]);
    } else {
#pragma unroll 1
      for (int j = 0; j < kPack<T>; ++j) {
        const int64_t place = pack * kPack<T> + j;
        if (out.has(place))
          out.base[place] = reinterpret_cast<const Marked<T>*>(part + at)[j].value;
      }
    }
  }
}

template <class T>
GPU_KERNEL(kFillThreads)
nll_loss_backward(const NllLossBackwardCall<T> c) {
  await_earlier();
  GPU_SHARED(Words, part, kFillOfBlock);
  const Span<T> out(c.grad_src, c.numel);
  const int64_t first_pack = block_id() * kFillOfBlock, first = first_pack * kPack<T> - out.shift;
  const int64_t begin = first < 0 ? 0 : first;
  int64_t end = first + kFillOfBlock * kPack<T>;
  if (end > c.numel) end = c.numel;
  const int64_t classes = c.targets.classes;
  const bool narrow_index = c.numel <= int64_t{0xffffffff};
  const int64_t first_row = narrow_index
                                ? static_cast<uint32_t>(begin) / static_cast<uint32_t>(classes)
                                : begin / classes;

  int64_t row = first_row + thread_id(), target = 0;
  const bool inside = row * classes < end;
  if (inside) target = c.targets.at(static_cast<uint32_t>(row));
#pragma unroll
  for (int k = 0; k < kFillPacks; ++k) part[thread_id() + k * kFillThreads] = {{0, 0, 0, 0}};
  Mark<T> mark = {-1, narrow<T>(0.0f)};
  if (inside) mark = mark_of(c, row, target);
  barrier();
  for (;;) {
    if (mark.place >= begin && mark.place < end) {
      reinterpret_cast<Marked<T>*>(part)[mark.place - first].value = mark.value;
    }
    row += kFillThreads;
    if (row * classes >= end) break;
    mark = mark_of(c, row, c.targets.at(static_cast<uint32_t>(row)));
  }
  barrier();
  store_part(out, first_pack, part);
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
