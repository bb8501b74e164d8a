// softmax and softmax_backward on CPUs.
// Bound: 2 and 3 elements of memory traffic per element; in cache, the 13 vector operations of exp.
#include "softmax/backward.h"
#include "softmax/forward.h"
#include "table.h"

namespace polyops::cpu {
namespace {

const polyops_softmax_args& forward_args(const void* p) {
  return *static_cast<const polyops_softmax_args*>(p);
}
const polyops_softmax_backward_args& backward_args(const void* p) {
  return *static_cast<const polyops_softmax_backward_args*>(p);
}

const char* supports(const void* p) {
  const auto& a = forward_args(p);
  return a.dst.dtype == a.src.dtype && has_dtype(a.src.dtype) ? nullptr : "dtype";
}

const char* lastdim_supports(const void* p) {
  const auto& a = forward_args(p);
  if (const char* reason = supports(p)) return reason;
  return unit_stride<2>({&a.src, &a.dst}, a.dim) ? nullptr : "layout";
}

const char* inner_supports(const void* p) {
  const auto& a = forward_args(p);
  if (const char* reason = supports(p)) return reason;
  return columns_of<2>({&a.src, &a.dst}, a.dim).shape.width > 0 ? nullptr : "layout";
}

const char* backward_supports(const void* p) {
  const auto& a = backward_args(p);
  const bool same = a.grad_dst.dtype == a.dst.dtype && a.grad_src.dtype == a.dst.dtype;
  return same && has_dtype(a.dst.dtype) ? nullptr : "dtype";
}

const char* backward_lastdim_supports(const void* p) {
  const auto& a = backward_args(p);
  if (const char* reason = backward_supports(p)) return reason;
  return unit_stride<3>({&a.grad_dst, &a.dst, &a.grad_src}, a.dim) ? nullptr : "layout";
}

const char* backward_inner_supports(const void* p) {
  const auto& a = backward_args(p);
  if (const char* reason = backward_supports(p)) return reason;
  const auto plan = columns_of<3>({&a.grad_dst, &a.dst, &a.grad_src}, a.dim);
  return plan.shape.width > 0 ? nullptr : "layout";
}

}  // namespace
}  // namespace polyops::cpu

POLYOPS_CPU_KERNELS(
    softmax,
    POLYOPS_KERNEL("softmax", "softmax_lastdim", lastdim_supports, lastdim_scratch, lastdim),
    POLYOPS_KERNEL("softmax", "softmax_inner", inner_supports, inner_scratch, inner),
    POLYOPS_KERNEL("softmax", "softmax_strided", supports, strided_scratch, strided),
    POLYOPS_KERNEL("softmax_backward", "softmax_backward_lastdim", backward_lastdim_supports,
                   nullptr, backward_lastdim),
    POLYOPS_KERNEL("softmax_backward", "softmax_backward_inner", backward_inner_supports, nullptr,
                   backward_inner),
    POLYOPS_KERNEL("softmax_backward", "softmax_backward_strided", backward_supports,
                   backward_strided_scratch, backward_strided))
