// layer_norm and layer_norm_backward on GPUs.
// Bound: memory, 2 and 3 elements moved per element.
#include "backward_launch.h"
#include "forward_launch.h"
#include "table.h"

namespace polyops::gpu {
namespace {

const char* supports(const void* p) {
  const auto& a = *static_cast<const polyops_layer_norm_args*>(p);
  if (!has_type(a.src.dtype) || a.dst.dtype != a.src.dtype) return "dtype";
  const polyops_tensor* const others[] = {&a.weight, &a.bias, &a.mean, &a.rstd};
  for (const polyops_tensor* t : others) {
    if (const char* reason = values_reason(*t, a.src.dtype)) return reason;
  }
  const bool both = polyops_is_present(&a.weight) && polyops_is_present(&a.bias);
  if (both && a.weight.dtype != a.bias.dtype) return "dtype";
  return shape_reason(shape_of(a.src, a.normalized_rank));
}

const char* contiguous_supports(const void* p) {
  const auto& a = *static_cast<const polyops_layer_norm_args*>(p);
  if (const char* reason = supports(p)) return reason;
  const Shape shape = shape_of(a.src, a.normalized_rank);
  return make_walk<2>({&a.src, &a.dst}, Order::kDimensions, shape.first_normalized, a.src.rank)
                 .is_run()
             ? nullptr
             : "layout";
}

const char* backward_supports(const void* p) {
  const auto& a = *static_cast<const BackwardArgs*>(p);
  if (!has_type(a.src.dtype) || a.grad_dst.dtype != a.src.dtype) return "dtype";
  const bool out = polyops_is_present(&a.grad_src);
  if (out && a.grad_src.dtype != a.src.dtype) return "dtype";
  const polyops_tensor* const others[] = {&a.weight, &a.mean, &a.rstd, &a.grad_weight,
                                          &a.grad_bias};
  for (const polyops_tensor* t : others) {
    if (const char* reason = values_reason(*t, a.src.dtype)) return reason;
  }
  if (!out && !wants_sums(a)) return "nothing to compute";
  return shape_reason(shape_of(a.src, a.normalized_rank));
}

const char* backward_contiguous_supports(const void* p) {
  const auto& a = *static_cast<const BackwardArgs*>(p);
  if (const char* reason = backward_supports(p)) return reason;
  const Shape shape = shape_of(a.src, a.normalized_rank);
  return backward_space(a, shape.first_normalized, a.src.rank).is_run() ? nullptr : "layout";
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(
    layer_norm,
    POLYOPS_GPU_KERNEL("layer_norm", "layer_norm_contiguous", contiguous_supports, nullptr,
                       forward_contiguous),
    POLYOPS_GPU_KERNEL("layer_norm", "layer_norm_strided", supports, nullptr, forward_anywhere),
    POLYOPS_GPU_KERNEL("layer_norm_backward", "layer_norm_backward_contiguous",
                       backward_contiguous_supports, backward_scratch, backward_contiguous),
    POLYOPS_GPU_KERNEL("layer_norm_backward", "layer_norm_backward_strided", backward_supports,
                       backward_strided_scratch, backward_anywhere))
