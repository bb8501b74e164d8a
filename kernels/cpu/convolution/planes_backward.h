// The gradients of any convolution, on padded copies of planes: planes_source.h, planes_weight.h,
// and the sums over grad_dst for that of bias.
#ifndef POLYOPS_CPU_CONVOLUTION_PLANES_BACKWARD_H_
#define POLYOPS_CPU_CONVOLUTION_PLANES_BACKWARD_H_

#include <cstddef>
#include <cstdint>

#include "convolution/planes_source.h"
#include "convolution/planes_weight.h"
#include "parallel.h"
#include "rows.h"

namespace polyops::cpu {
namespace {

template <class V, class E>
double sum_of(const Space<1>& space, const E* from) {
  constexpr int64_t kSteps = kSumSteps<typename V::Scalar>;
  double sum = 0;
  if (!space.dense()) {
    double block = 0;
    for_each_point(space, [&](int64_t offset, int64_t i) {
      block += get(from + offset);
      if (i % kSteps != kSteps - 1) return;
      sum += block;
      block = 0;
    });
    return sum + block;
  }
  for (int64_t begin = 0; begin < space.count; begin += kSteps * V::kLanes) {
    const int64_t end = min_of(begin + kSteps * V::kLanes, space.count);
    V acc = V::zero();
    for (int64_t i = begin; i < end; i += V::kLanes) {
      acc = acc + load_partial<V>(from + i, end - i);
    }
    sum += reduce_add(acc);
  }
  return sum;
}

template <class V, class E>
void add_up_bias(const polyops_context* ctx, const polyops_convolution_backward_args& args) {
  const polyops_tensor& grad = args.grad_dst;
  const polyops_tensor* const tensors[] = {&grad};
  const Space<1> pixels = make_space(tensors, 2, grad.rank);
  parallel_for(ctx, grad.sizes[1], grain_of(8.0 * grad.sizes[0] * pixels.count),
               [&](int64_t begin, int64_t end, int32_t) {
                 for (int64_t f = begin; f < end; ++f) {
                   double sum = 0;
                   for (int64_t n = 0; n < grad.sizes[0]; ++n) {
                     const auto* from = static_cast<const E*>(grad.data) + n * grad.strides[0] +
                                        f * grad.strides[1];
                     sum += sum_of<V>(pixels, from);
                   }
                   put(static_cast<E*>(args.grad_bias.data) + f * args.grad_bias.strides[0],
                       static_cast<typename V::Scalar>(sum));
                 }
               });
}

// Scratch: first what grad_src needs, then, in its place, what grad_weight needs.
struct PlanesBackwardPlan {
  Shape shape;
  bool has_source, has_weight, has_bias;

  explicit PlanesBackwardPlan(const polyops_convolution_backward_args& args)
      : shape(backward_shape(args)),
        has_source(polyops_is_present(&args.grad_src) != 0),
        has_weight(polyops_is_present(&args.grad_weight) != 0),
        has_bias(polyops_is_present(&args.grad_bias) != 0) {}
};

inline int64_t begins_bytes(const PlanesSourcePlan& plan) {
  return rounded_up(plan.grid.phases() + 1) * static_cast<int64_t>(sizeof(int64_t));
}

inline size_t source_bytes(const PlanesSourcePlan& plan, int64_t threads, int64_t width) {
  const int64_t weights = rounded_up(plan.shape.groups * plan.shape.channels * plan.k);
  return begins_bytes(plan) + rounded_up(plan.k) * sizeof(int32_t) +
         (weights + threads * plan.thread_elements) * width;
}

inline size_t weight_bytes(const PlanesWeightPlan& plan, int64_t threads, int64_t width) {
  return rounded_up(plan.k) * (sizeof(int64_t) + sizeof(int32_t)) +
         threads * plan.thread_elements * width;
}

inline const char* planes_backward_supports(const void* data) {
  const auto& args = *static_cast<const polyops_convolution_backward_args*>(data);
  if (!has_dtype(args.grad_dst.dtype) || !one_dtype(args)) return "dtype";
  const Shape shape = backward_shape(args);
  if (!has_small_strides(shape)) return "stride";
  const Padded padded = padded_of(shape, 0, shape.side[1].out);
  const SourceGrid grid = source_grid(shape, 0, position_count(shape.side[1]));
  const int64_t most = max_of(shape.channels * padded.size(), shape.filters * grid.padded.size());
  return most > INT32_MAX ? "size" : nullptr;
}

inline size_t planes_backward_scratch(const void* data, int32_t threads) {
  const auto& args = *static_cast<const polyops_convolution_backward_args*>(data);
  const PlanesBackwardPlan plan(args);
  size_t bytes = 0;
  with_types(args.grad_dst.dtype, [&]<class V, class E>() {
    const int64_t width = sizeof(typename V::Scalar);
    if (plan.has_source)
      bytes = source_bytes(planes_source_plan(plan.shape, threads), threads, width);
    if (plan.has_weight) {
      const size_t needed =
          weight_bytes(planes_weight_plan<V>(plan.shape, threads), threads, width);
      if (needed > bytes) bytes = needed;
    }
  });
  return bytes;
}

template <class V, class E>
void planes_source(const polyops_context* ctx, const polyops_convolution_backward_args& args,
                   const Shape& shape) {
  using S = typename V::Scalar;
  const PlanesSourcePlan plan = planes_source_plan(shape, ctx->num_threads);
  auto* begins = static_cast<int64_t*>(ctx->scratch);
  auto* shifts = reinterpret_cast<int32_t*>(static_cast<char*>(ctx->scratch) + begins_bytes(plan));
  auto* turned = reinterpret_cast<S*>(shifts + rounded_up(plan.k));
  S* scratch = turned + rounded_up(shape.groups * shape.channels * plan.k);
  list_source_steps(plan, begins, shifts);
  turn_weights<E>(ctx, plan, args.weight, begins, turned);
  const PlanesSource<V, E> source = {
      args, plan, begins, shifts, turned, strides_of(args.grad_dst), strides_of(args.grad_src)};
  for_each_unit(ctx, plan.units(), shape.products(), scratch, plan.thread_elements,
                [&](int64_t unit, S* own) { source.run(unit, own); });
}

template <class V, class E>
void planes_weight(const polyops_context* ctx, const polyops_convolution_backward_args& args,
                   const Shape& shape) {
  using S = typename V::Scalar;
  const PlanesWeightPlan plan = planes_weight_plan<V>(shape, ctx->num_threads);
  auto* targets = static_cast<int64_t*>(ctx->scratch);
  auto* shifts = reinterpret_cast<int32_t*>(targets + rounded_up(plan.k));
  auto* scratch = reinterpret_cast<S*>(shifts + rounded_up(plan.k));
  const Strides to = strides_of(args.grad_weight);
  int64_t k = 0;
  for (int64_t c = 0; c < plan.channels; ++c) {
    for_each_tap(shape, [&](int64_t t0, int64_t t1, int64_t t2) {
      targets[k] = c * to.channel + t0 * to.at[0] + t1 * to.at[1] + t2 * to.at[2];
      shifts[k] = c == 0 ? static_cast<int32_t>(plan.padded.shift(t0, t1, t2))
                         : shifts[k - shape.taps()] + static_cast<int32_t>(plan.padded.size());
      ++k;
    });
  }
  const PlanesWeight<V, E> job = {
      args, plan, shifts, targets, strides_of(args.grad_dst), strides_of(args.src), to};
  for_each_unit(ctx, plan.units(), shape.products(), scratch, plan.thread_elements,
                [&](int64_t unit, S* own) { job.run(unit, own); });
}

inline int planes_backward_launch(const void* data, const polyops_context* ctx) {
  const auto& args = *static_cast<const polyops_convolution_backward_args*>(data);
  const PlanesBackwardPlan plan(args);
  with_types(args.grad_dst.dtype, [&]<class V, class E>() {
    if (plan.has_source) planes_source<V, E>(ctx, args, plan.shape);
    if (plan.has_weight) planes_weight<V, E>(ctx, args, plan.shape);
    if (plan.has_bias) add_up_bias<V, E>(ctx, args);
  });
  return POLYOPS_OK;
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_CONVOLUTION_PLANES_BACKWARD_H_
