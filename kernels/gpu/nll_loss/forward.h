// The losses, or their sum. Bound: latency. A sample is two loads, the second at a place that the
// first one names: so a thread has kSamples of them on the way. Sums of up to kOneBlock samples are
// one block's; of more, each block leaves its part in scratch memory, and a second kernel adds them
// up in order.
#ifndef POLYOPS_GPU_NLL_LOSS_FORWARD_H_
#define POLYOPS_GPU_NLL_LOSS_FORWARD_H_

#include "division.h"
#include "gpu.h"
#include "reduce.h"
#include "samples.h"

namespace polyops::gpu {
namespace {

constexpr int kLossThreads = 256;
constexpr int kLossThreadsAlone = 1024;
constexpr int kSamples = 8;
constexpr int64_t kOneBlock = int64_t{kLossThreadsAlone} * kSamples;
constexpr int64_t kMostParts = 1024;

template <class T>
struct NllLossCall {
  const T* src;
  int64_t src_steps[3];  // of images, classes, pixels
  Division pixels;       // of an image; a row is an image of one
  Targets targets;
  ClassWeights<T> weights;
  T* dst;
  int64_t dst_step;
  T* total;
  uint32_t samples;
  int32_t mean;
};

template <class T>
GPU_DEVICE float src_at(const NllLossCall<T>& c, uint32_t sample, int64_t target) {
  uint32_t image = sample;
  const uint32_t pixel = take_remainder(c.pixels, &image);
  return widen(c.src[image * c.src_steps[0] + target * c.src_steps[1] + pixel * c.src_steps[2]]);
}

template <class T>
GPU_KERNEL(kLossThreads)
nll_loss_each(const NllLossCall<T> c) {
  await_earlier();
  const auto i = static_cast<uint32_t>(block_id() * block_threads() + thread_id());
  if (i == 0) *c.total = narrow<T>(0.0f);
  if (i >= c.samples) return;
  const int64_t target = c.targets.at(i);
  float loss = 0;
  if (c.targets.counts(target)) loss = -c.weights.at(target) * src_at(c, i, target);
  c.dst[i * c.dst_step] = narrow<T>(loss);
}

// By one thread of all.
template <class T>
GPU_DEVICE void write_sums(const NllLossCall<T>& c, const float (&sums)[2]) {
  *c.total = narrow<T>(sums[1]);
  *c.dst = narrow<T>(c.mean != 0 ? sums[0] / sums[1] : sums[0]);
}

// Adds kSamples samples, `step` apart, to the sums of losses and of weights.
template <class T>
GPU_DEVICE void add_samples(const NllLossCall<T>& c, int64_t first, int64_t step,
                            float (&sums)[2]) {
  int64_t target[kSamples];
  float x[kSamples], w[kSamples];
#pragma unroll
  for (int k = 0; k < kSamples; ++k) {
    const int64_t i = first + k * step;
    target[k] = i < c.samples ? c.targets.at(static_cast<uint32_t>(i)) : c.targets.ignored;
  }
#pragma unroll
  for (int k = 0; k < kSamples; ++k) {
    x[k] = w[k] = 0;
    if (!c.targets.counts(target[k])) continue;
    x[k] = src_at(c, static_cast<uint32_t>(first + k * step), target[k]);
    w[k] = c.weights.at(target[k]);
  }
#pragma unroll
  for (int k = 0; k < kSamples; ++k) {
    sums[0] = fmaf(-x[k], w[k], sums[0]);
    sums[1] += w[k];
  }
}

// parts: null if there is one block.
template <class T>
GPU_KERNEL(kLossThreadsAlone)
nll_loss_sum(const NllLossCall<T> c, float* parts) {
  await_earlier();
  GPU_SHARED(float, shared, 2 * kMostWaves);
  float sums[2] = {0, 0};
  const int64_t of_block = int64_t{block_threads()} * kSamples;
#pragma unroll 1
  for (int64_t i = block_id() * of_block; i < c.samples; i += grid_blocks() * of_block) {
    add_samples(c, i + thread_id(), block_threads(), sums);
  }
  sum_team(sums, block_threads(), shared);
  if (thread_id() != 0) return;
  if (parts == nullptr) {
    write_sums(c, sums);
  } else {
    parts[2 * block_id()] = sums[0];
    parts[2 * block_id() + 1] = sums[1];
  }
}

template <class T>
GPU_KERNEL(kLossThreads)
nll_loss_add_parts(const NllLossCall<T> c, const float* parts, int32_t count) {
  await_earlier();
  GPU_SHARED(float, shared, 2 * kMostWaves);
  float sums[2] = {0, 0};
  for (int i = thread_id(); i < count; i += block_threads()) {
    sums[0] += parts[2 * i];
    sums[1] += parts[2 * i + 1];
  }
  sum_team(sums, block_threads(), shared);
  if (thread_id() == 0) write_sums(c, sums);
}

// Blocks that sum.
inline int64_t loss_blocks(int64_t samples) {
  if (samples <= kOneBlock) return 1;
  constexpr int64_t kOfBlock = int64_t{kLossThreads} * kSamples;
  const int64_t blocks = (samples + kOfBlock - 1) / kOfBlock;
  return blocks < kMostParts ? blocks : kMostParts;
}

template <class T>
int launch_loss(const polyops_nll_loss_args& a, const polyops_context* ctx) {
  const int64_t samples = samples_of(a.src);
  const bool pixels = a.src.rank == 3;
  const NllLossCall<T> call = {static_cast<const T*>(a.src.data),
                               {a.src.strides[0], a.src.strides[1], pixels ? a.src.strides[2] : 0},
                               Division(pixels ? static_cast<uint32_t>(a.src.sizes[2]) : 1),
                               targets_of(a.target, a.ignore_index, a.src.sizes[1]),
                               weights_of<T>(a.weight),
                               static_cast<T*>(a.dst.data),
                               step_of(a.dst, a.reduction),
                               static_cast<T*>(a.total_weight.data),
                               static_cast<uint32_t>(samples),
                               a.reduction == POLYOPS_NLL_LOSS_MEAN};
  if (a.reduction == POLYOPS_NLL_LOSS_NONE) {
    const int64_t blocks = (samples + kLossThreads - 1) / kLossThreads;
    return gpu::launch(nll_loss_each<T>, {blocks, kLossThreads}, ctx, call);
  }
  const int64_t blocks = loss_blocks(samples);
  if (blocks == 1) {
    const int64_t whole = (samples + 63) / 64 * 64;
    const auto threads =
        static_cast<int>(whole < kLossThreadsAlone ? whole : int64_t{kLossThreadsAlone});
    return gpu::launch(nll_loss_sum<T>, {1, threads}, ctx, call, nullptr);
  }
  auto* parts = static_cast<float*>(ctx->scratch);
  const int status = gpu::launch(nll_loss_sum<T>, {blocks, kLossThreads}, ctx, call, parts);
  if (status != POLYOPS_OK) return status;
  return gpu::launch(nll_loss_add_parts<T>, {1, kLossThreads}, ctx, call, parts,
                     static_cast<int32_t>(blocks));
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_NLL_LOSS_FORWARD_H_
