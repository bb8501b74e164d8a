// cross_entropy and cross_entropy_backward on GPUs.
#include "backward.h"
#include "checks.h"
#include "few.h"
#include "forward.h"
#include "plan.h"
#include "polyops/ops/cross_entropy.h"
#include "table.h"

namespace polyops::gpu {
namespace {

template <class T, Smooth kSmooth>
int launch_losses(const CrossEntropyCall<T>& call, Way way, const polyops_context* ctx) {
  const int packs = call.n / kPack<T>;
  const int64_t parts = parts_of<T>(way, call.rows, call.n);
  if (way == Way::kFew) {
    const size_t bytes = sizeof(T) * kFewThreads * call.n;
    return gpu::launch(cross_entropy_few<T, kSmooth>, {parts, kFewThreads, bytes}, ctx, call,
                       few_turns(call.rows));
  }
  if (way == Way::kTeam) {
    const auto team = team_packs(packs) == 4 ? cross_entropy_team<T, kSmooth, 4>
                                             : cross_entropy_team<T, kSmooth, 8>;
    return gpu::launch(team, {parts, kLossTeamThreads}, ctx, call, team_lanes_log2(packs));
  }
  int threads = kLossBlockThreads;
  while (threads > 64 && packs <= threads / 2 * kLossPacks) threads /= 2;
  const int blocks = row_blocks(call.rows, packs, threads, ctx);
  return gpu::launch(cross_entropy_block<T, kSmooth>, {parts * blocks, threads, 0, blocks}, ctx,
                     call);
}

template <class T>
int launch_forward(const polyops_cross_entropy_args& a, const polyops_context* ctx) {
  const bool none = a.reduction == POLYOPS_NLL_LOSS_NONE;
  const int64_t rows = a.src.sizes[0], classes = a.src.sizes[1];
  auto* scratch = static_cast<float*>(ctx->scratch);
  auto* dst = static_cast<T*>(a.dst.data);
  const CrossEntropyCall<T> call = {
      static_cast<const T*>(a.src.data),
      a.src.strides[0],
      targets_of(a.target, a.ignore_index, classes),
      weights_of<T>(a.weight),
      static_cast<float>(1 - a.label_smoothing),
      static_cast<float>(a.label_smoothing / classes),
      none ? dst : nullptr,
      step_of(a.dst, a.reduction),
      none ? nullptr : scratch,
      polyops_is_present(&a.stats) != 0 ? static_cast<float*>(a.stats.data) : nullptr,
      static_cast<uint32_t>(rows),
      static_cast<int>(classes),
      is_ragged<T>(a.src)};
  const auto launch = call.spread == 0               ? launch_losses<T, Smooth::kNone>
                      : call.weights.data == nullptr ? launch_losses<T, Smooth::kEqual>
                                                     : launch_losses<T, Smooth::kWeighted>;
  const Way way = way_of<T>(a.src);
  const int status = launch(call, way, ctx);
  if (status != POLYOPS_OK || none) return status;
  const bool mean = a.reduction == POLYOPS_NLL_LOSS_MEAN;
  const bool counted = mean && polyops_is_present(&a.total_weight) != 0;
  const int64_t parts = parts_of<T>(way, rows, call.n);
  return gpu::launch(cross_entropy_end<T>, end_shape(parts), ctx, scratch, static_cast<int>(parts),
                     dst, counted ? static_cast<float*>(a.total_weight.data) : nullptr, mean);
}

template <class T>
int launch_backward(const polyops_cross_entropy_backward_args& a, const polyops_context* ctx) {
  constexpr int kThreadsLog2 = 8;
  static_assert(1 << kThreadsLog2 == kGradientThreads);
  const int64_t rows = a.src.sizes[0], classes = a.src.sizes[1];
  const int packs = static_cast<int>(classes / kPack<T>),
            lanes_log2 = lanes_log2_for(packs, kGradientPacks, kThreadsLog2);
  const int of_chunk = kGradientPacks << lanes_log2;
  const int chunks = packs > of_chunk ? (packs + of_chunk - 1) / of_chunk : 1;
  const bool mean = a.reduction == POLYOPS_NLL_LOSS_MEAN;
  const CrossEntropyBackwardCall<T> call = {
      static_cast<const T*>(a.src.data),
      a.src.strides[0],
      static_cast<const T*>(a.grad_dst.data),
      step_of(a.grad_dst, a.reduction),
      targets_of(a.target, a.ignore_index, classes),
      weights_of<T>(a.weight),
      static_cast<const float*>(a.stats.data),
      mean ? static_cast<const float*>(a.total_weight.data) : nullptr,
      static_cast<float>(1 - a.label_smoothing),
      static_cast<float>(a.label_smoothing / classes),
      static_cast<T*>(a.grad_src.data),
      static_cast<uint32_t>(rows),
      static_cast<uint32_t>(chunks),
      static_cast<int>(classes),
      is_ragged<T>(a.src)};
  const bool weighted = call.spread != 0 && call.weights.data != nullptr;
  if (way_of<T>(a.src) == Way::kFew && is_aligned(a.grad_src)) {
    const LaunchShape shape = {(rows + kFewThreads - 1) / kFewThreads, kFewThreads,
                               sizeof(T) * kFewThreads * call.n};
    return gpu::launch(
        weighted ? cross_entropy_few_backward<T, true> : cross_entropy_few_backward<T, false>,
        shape, ctx, call);
  }
  const int64_t of_block = kGradientThreads >> lanes_log2;
  const LaunchShape shape = {(rows * chunks + of_block - 1) / of_block, kGradientThreads};
  auto kernel =
      weighted ? cross_entropy_backward<T, true, false> : cross_entropy_backward<T, false, false>;
  if constexpr (sizeof(T) == 2) {
    if (chunks == 1) {
      kernel =
          weighted ? cross_entropy_backward<T, true, true> : cross_entropy_backward<T, false, true>;
    }
  }
  return gpu::launch(kernel, shape, ctx, call, lanes_log2);
}

// What both directions ask of their arguments.
template <class Args>
const char* declined(const Args& a, const polyops_tensor& value) {
  if (a.src.rank != 2) return "shape";
  if (const char* reason = unsupported(a, value)) return reason;
  return a.src.strides[1] != 1 && a.src.sizes[1] != 1 ? "layout" : nullptr;
}

const char* forward_supports(const void* data) {
  const auto& a = *static_cast<const polyops_cross_entropy_args*>(data);
  if (const char* reason = declined(a, a.dst)) return reason;
  const int64_t stats = a.src.sizes[0] * POLYOPS_CROSS_ENTROPY_STATS;
  if (polyops_is_present(&a.stats) != 0 && !is_float(a.stats, stats)) return "stats";
  const bool counted = polyops_is_present(&a.total_weight) != 0;
  return counted && !is_float(a.total_weight, 1) ? "total weight" : nullptr;
}

size_t forward_scratch(const void* data, int32_t) {
  const auto& a = *static_cast<const polyops_cross_entropy_args*>(data);
  if (a.reduction == POLYOPS_NLL_LOSS_NONE) return 0;
  const auto most = [&]<class T>() {  // where the data is may not be known yet
    const bool team = a.src.sizes[1] / kPack<T> <= kTeamPacks;
    return parts_of<T>(team ? Way::kTeam : Way::kBlock, a.src.sizes[0], a.src.sizes[1]);
  };
  const int64_t parts =
      a.src.dtype == POLYOPS_FLOAT32 ? most.operator()<float>() : most.operator()<f16>();
  return static_cast<size_t>(parts) * 2 * sizeof(float);
}

int forward(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_cross_entropy_args*>(data);
  return with_type(a.src.dtype, [&]<class T>() { return launch_forward<T>(a, ctx); });
}

const char* backward_supports(const void* data) {
  const auto& a = *static_cast<const polyops_cross_entropy_backward_args*>(data);
  if (const char* reason = declined(a, a.grad_dst)) return reason;
  if (!is_float(a.stats, a.src.sizes[0] * POLYOPS_CROSS_ENTROPY_STATS)) return "stats";
  if (a.reduction == POLYOPS_NLL_LOSS_MEAN && !is_float(a.total_weight, 1)) return "total weight";
  if (a.grad_src.dtype != a.src.dtype) return "dtype";
  return polyops_is_contiguous(&a.grad_src) != 0 ? nullptr : "layout";
}

int backward(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_cross_entropy_backward_args*>(data);
  return with_type(a.src.dtype, [&]<class T>() { return launch_backward<T>(a, ctx); });
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(cross_entropy,
                    POLYOPS_GPU_KERNEL("cross_entropy", "cross_entropy", forward_supports,
                                       forward_scratch, forward),
                    POLYOPS_GPU_KERNEL("cross_entropy_backward", "cross_entropy_backward",
                                       backward_supports, nullptr, backward))
