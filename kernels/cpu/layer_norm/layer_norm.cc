// layer_norm and layer_norm_backward on CPUs.
// Bound: 2 and 3 elements of memory traffic per element.
#include "layer_norm/backward.h"
#include "layer_norm/forward.h"
#include "table.h"

namespace polyops::cpu {
namespace {

const char* supports(const void* p) {
  const auto& a = *static_cast<const polyops_layer_norm_args*>(p);
  const int32_t parameters = a.mean.dtype;
  if (a.dst.dtype != a.src.dtype || !has_dtypes(a.src.dtype, parameters)) return "dtype";
  const polyops_tensor* const others[] = {&a.weight, &a.bias, &a.mean, &a.rstd};
  for (const polyops_tensor* t : others) {
    if (const char* reason = parameter_reason(*t, parameters)) return reason;
  }
  return nullptr;
}

const char* contiguous_supports(const void* p) {
  const auto& a = *static_cast<const polyops_layer_norm_args*>(p);
  if (const char* reason = supports(p)) return reason;
  const Shape shape = shape_of(a.src, a.normalized_rank);
  return dense_rows<2>({&a.src, &a.dst}, shape) ? nullptr : "layout";
}

const char* backward_supports(const void* p) {
  const auto& a = *static_cast<const polyops_layer_norm_backward_args*>(p);
  const int32_t parameters = a.mean.dtype;
  const bool out = polyops_is_present(&a.grad_src);
  if (a.grad_dst.dtype != a.src.dtype || !has_dtypes(a.src.dtype, parameters)) return "dtype";
  if (out && a.grad_src.dtype != a.src.dtype) return "dtype";
  const polyops_tensor* const others[] = {&a.weight, &a.mean, &a.rstd, &a.grad_weight,
                                          &a.grad_bias};
  for (const polyops_tensor* t : others) {
    if (const char* reason = parameter_reason(*t, parameters)) return reason;
  }
  return out || wants_sums(a) ? nullptr : "nothing to compute";
}

const char* backward_contiguous_supports(const void* p) {
  const auto& a = *static_cast<const polyops_layer_norm_backward_args*>(p);
  if (const char* reason = backward_supports(p)) return reason;
  const Shape shape = shape_of(a.src, a.normalized_rank);
  return backward_space(a, shape.first_normalized, a.src.rank).dense() ? nullptr : "layout";
}

}  // namespace
}  // namespace polyops::cpu

POLYOPS_CPU_KERNELS(
    layer_norm,
    POLYOPS_KERNEL("layer_norm", "layer_norm_contiguous", contiguous_supports, nullptr, contiguous),
    POLYOPS_KERNEL("layer_norm", "layer_norm_strided", supports, strided_scratch, strided),
    POLYOPS_KERNEL("layer_norm_backward", "layer_norm_backward_contiguous",
                   backward_contiguous_supports, backward_scratch, backward_contiguous),
    POLYOPS_KERNEL("layer_norm_backward", "layer_norm_backward_strided", backward_supports,
                   backward_strided_scratch, backward_strided))
