// What layer_norm and rms_norm share on GPUs: which calls their kernels take. Bound: memory, 2 and
// 3 elements moved per element.
#ifndef POLYOPS_GPU_LAYER_NORM_CALLS_H_
#define POLYOPS_GPU_LAYER_NORM_CALLS_H_

#include "backward_copied.h"
#include "forward_launch.h"

namespace polyops::gpu {
namespace {

template <class Norm>
const char* supports(const void* p) {
  const auto& a = *static_cast<const typename Norm::Args*>(p);
  const int32_t dtype = a.src.dtype;
  if (!has_type(dtype) || a.dst.dtype != dtype) return "dtype";
  for (const polyops_tensor* t : {&a.weight, &Norm::bias(a)}) {
    if (const char* reason = parameter_reason<Norm>(*t, dtype)) return reason;
  }
  for (const polyops_tensor* t : {&Norm::mean(a), &a.rstd}) {
    if (const char* reason = statistic_reason<Norm>(*t, dtype)) return reason;
  }
  const bool both = polyops_is_present(&a.weight) && polyops_is_present(&Norm::bias(a));
  if (both && a.weight.dtype != Norm::bias(a).dtype) return "dtype";
  return shape_reason(shape_of(a.src, a.normalized_rank));
}

template <class Norm>
const char* contiguous_supports(const void* p) {
  const auto& a = *static_cast<const typename Norm::Args*>(p);
  if (const char* reason = supports<Norm>(p)) return reason;
  const Shape shape = shape_of(a.src, a.normalized_rank);
  return make_walk<2>({&a.src, &a.dst}, Order::kDimensions, shape.first_normalized, a.src.rank)
                 .is_run()
             ? nullptr
             : "layout";
}

template <class Norm>
const char* backward_supports(const void* p) {
  const auto& a = *static_cast<const typename Norm::BackwardArgs*>(p);
  const int32_t dtype = a.src.dtype;
  if (!has_type(dtype) || a.grad_dst.dtype != dtype) return "dtype";
  const bool out = polyops_is_present(&a.grad_src);
  if (out && a.grad_src.dtype != dtype) return "dtype";
  for (const polyops_tensor* t : {&a.weight, &a.grad_weight, &Norm::grad_bias(a)}) {
    if (const char* reason = parameter_reason<Norm>(*t, dtype)) return reason;
  }
  for (const polyops_tensor* t : {&Norm::mean(a), &a.rstd}) {
    if (const char* reason = statistic_reason<Norm>(*t, dtype)) return reason;
  }
  if (!out && !wants_sums<Norm>(a)) return "nothing to compute";
  return shape_reason(shape_of(a.src, a.normalized_rank));
}

template <class Norm>
const char* backward_contiguous_supports(const void* p) {
  const auto& a = *static_cast<const typename Norm::BackwardArgs*>(p);
  if (const char* reason = backward_supports<Norm>(p)) return reason;
  const Shape shape = shape_of(a.src, a.normalized_rank);
  return backward_space(a, shape.first_normalized, a.src.rank).is_run() ? nullptr : "layout";
}

}  // namespace
}  // namespace polyops::gpu

// The kernels of a norm and its gradient, in the order in which they are tried.
#define POLYOPS_GPU_NORM(op, Norm)                                                            \
  POLYOPS_GPU_KERNEL(op, op "_contiguous", contiguous_supports<Norm>, forward_scratch<Norm>,  \
                     forward_contiguous<Norm>),                                               \
      POLYOPS_GPU_KERNEL(op, op "_strided", supports<Norm>, nullptr, forward_anywhere<Norm>), \
      POLYOPS_GPU_KERNEL(op "_backward", op "_backward_contiguous",                           \
                         backward_contiguous_supports<Norm>, backward_scratch<Norm>,          \
                         backward_contiguous<Norm>),                                          \
      POLYOPS_GPU_KERNEL(op "_backward", op "_backward_strided", backward_supports<Norm>,     \
                         backward_copied_scratch<Norm>, backward_copied<Norm>)

#endif  // POLYOPS_GPU_LAYER_NORM_CALLS_H_
