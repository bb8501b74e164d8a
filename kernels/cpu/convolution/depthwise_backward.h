// The gradients of a depthwise convolution with one filter per channel: depthwise_source.h and
// depthwise_weight.h, one after the other in the same scratch.
#ifndef POLYOPS_CPU_CONVOLUTION_DEPTHWISE_BACKWARD_H_
#define POLYOPS_CPU_CONVOLUTION_DEPTHWISE_BACKWARD_H_

#include <cstddef>
#include <cstdint>

#include "convolution/depthwise_source.h"
#include "convolution/depthwise_weight.h"
#include "parallel.h"

namespace polyops::cpu {
namespace {

// Its scratch, in bytes: taps, where the phases' taps begin, then what the parts need, one after
// the other.
struct DepthwiseBackwardPlan {
  Shape shape, mirrored;
  bool has_source, is_mirrored, has_weight;
  DepthwisePlan forward, source;
  PhasesPlan phases;
  int64_t begins_bytes, taps_bytes, sums_elements;

  explicit DepthwiseBackwardPlan(const polyops_convolution_backward_args& args)
      : shape(backward_shape(args)) {
    has_source = polyops_is_present(&args.grad_src) != 0;
    has_weight =
        polyops_is_present(&args.grad_weight) != 0 || polyops_is_present(&args.grad_bias) != 0;
    is_mirrored = mirrored_shape(shape, &mirrored);
    forward = depthwise_plan(shape);
    if (is_mirrored) source = depthwise_plan(mirrored);
    phases = phases_plan(shape);
    taps_bytes = rounded_up(shape.taps()) * static_cast<int64_t>(sizeof(Tap));
    begins_bytes = rounded_up(phases.grid.phases() + 1) * static_cast<int64_t>(sizeof(int64_t));
    sums_elements = rounded_up(shape.taps() + 1);
  }

  size_t bytes(int64_t threads, int64_t width) const {
    int64_t elements =
        is_mirrored ? depthwise_elements(source, threads) : threads * phases.thread_elements();
    elements = max_of(elements, threads * forward.thread_elements());
    return taps_bytes + begins_bytes + threads * sums_elements * sizeof(double) + elements * width;
  }
};

inline const char* depthwise_backward_supports(const void* data) {
  const auto& args = *static_cast<const polyops_convolution_backward_args*>(data);
  if (!has_dtype(args.grad_dst.dtype) || !one_dtype(args)) return "dtype";
  if (args.weight.sizes[1] != 1) return "several channels in a group";
  if (args.weight.sizes[0] != args.groups) return "several filters in a group";
  return has_small_strides(backward_shape(args)) ? nullptr : "stride";
}

inline size_t depthwise_backward_scratch(const void* data, int32_t threads) {
  const auto& args = *static_cast<const polyops_convolution_backward_args*>(data);
  return DepthwiseBackwardPlan(args).bytes(threads, width_of(args.grad_dst.dtype));
}

template <class V, class E>
void depthwise_backward(const polyops_convolution_backward_args& args, const polyops_context* ctx) {
  using S = typename V::Scalar;
  const DepthwiseBackwardPlan plan(args);
  auto* bytes = static_cast<char*>(ctx->scratch);
  auto* taps = reinterpret_cast<Tap*>(bytes);
  auto* begins = reinterpret_cast<int64_t*>(bytes + plan.taps_bytes);
  auto* sums = reinterpret_cast<double*>(bytes + plan.taps_bytes + plan.begins_bytes);
  auto* scratch = reinterpret_cast<S*>(sums + ctx->num_threads * plan.sums_elements);
  const Strides weight = strides_of(args.weight), grad_dst = strides_of(args.grad_dst);
  if (plan.has_source && plan.is_mirrored) {
    list_mirrored_taps(plan.mirrored, plan.source.padded, weight, taps);
    const DepthwiseImages<E> images = {static_cast<const E*>(args.grad_dst.data),
                                       grad_dst,
                                       static_cast<const E*>(args.weight.data),
                                       weight.batch,
                                       nullptr,
                                       0,
                                       static_cast<E*>(args.grad_src.data),
                                       strides_of(args.grad_src)};
    depthwise_run<V>(ctx, plan.source, taps, images, scratch);
  } else if (plan.has_source) {
    list_phase_taps(plan.phases, weight, taps, begins);
    source_by_phases<V, E>(ctx, args, plan.phases, taps, begins, scratch);
  }
  if (!plan.has_weight) return;
  list_taps(plan.shape, plan.forward.padded, weight, taps);
  Strides grad_weight = {};
  if (polyops_is_present(&args.grad_weight) != 0) grad_weight = strides_of(args.grad_weight);
  const DepthwiseWeight<V, E> job = {args,     plan.forward,         taps,
                                     grad_dst, strides_of(args.src), grad_weight};
  parallel_for(ctx, plan.shape.groups, grain_of(2 * plan.shape.products() / plan.shape.groups),
               [&](int64_t begin, int64_t end, int32_t thread) {
                 const auto first = job.band_of(0);
                 for (int64_t channel = begin; channel < end; ++channel) {
                   job.run(first, channel, sums + thread * plan.sums_elements,
                           scratch + thread * plan.forward.thread_elements());
                 }
               });
}

inline int depthwise_backward_launch(const void* data, const polyops_context* ctx) {
  const auto& args = *static_cast<const polyops_convolution_backward_args*>(data);
  with_types(args.grad_dst.dtype, [&]<class V, class E>() { depthwise_backward<V, E>(args, ctx); });
  return POLYOPS_OK;
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_CONVOLUTION_DEPTHWISE_BACKWARD_H_
