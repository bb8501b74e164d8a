// group_norm and group_norm_backward on GPUs.
// Bound: memory, 2 and 3 elements moved per element.
#include "backward_launch.h"
#include "forward_launch.h"
#include "table.h"

namespace polyops::gpu {
namespace {

// ---- What may be asked for.

const char* group_reason(const polyops_tensor& src, int32_t groups,
                         std::initializer_list<const polyops_tensor*> same,
                         std::initializer_list<const polyops_tensor*> values) {
  if (!has_type(src.dtype)) return "dtype";
  if (src.rank != 3 || groups < 1 || src.sizes[1] % groups != 0) return "shape";
  for (const polyops_tensor* t : same) {
    if (!polyops_is_present(t)) continue;
    if (t->dtype != src.dtype) return "dtype";
    if (!polyops_is_contiguous(t)) return "layout";
  }
  for (const polyops_tensor* t : values) {
    if (!polyops_is_present(t)) continue;
    if (t->dtype != POLYOPS_FLOAT32 && t->dtype != src.dtype) return "dtype";
    if (!polyops_is_contiguous(t)) return "layout";
  }
  const GroupShape shape = group_shape(src, groups);
  const bool fits = shape.n() <= kMostElements && shape.samples * shape.channels <= kMostElements &&
                    shape.width() < kMostChannels;
  return fits ? nullptr : "shape";
}

const char* group_supports(const void* p) {
  const auto& a = *static_cast<const GroupArgs*>(p);
  return group_reason(a.src, a.groups, {&a.src, &a.dst}, {&a.weight, &a.bias, &a.mean, &a.rstd});
}

const char* group_backward_supports(const void* p) {
  const auto& a = *static_cast<const GroupBackwardArgs*>(p);
  const bool any = polyops_is_present(&a.grad_src) || polyops_is_present(&a.grad_weight) ||
                   polyops_is_present(&a.grad_bias);
  if (!any) return "nothing to compute";
  return group_reason(a.src, a.groups, {&a.src, &a.grad_dst, &a.grad_src},
                      {&a.weight, &a.mean, &a.rstd, &a.grad_weight, &a.grad_bias});
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(group_norm,
                    POLYOPS_GPU_KERNEL("group_norm", "group_norm", group_supports, group_scratch,
                                       group_forward),
                    POLYOPS_GPU_KERNEL("group_norm_backward", "group_norm_backward",
                                       group_backward_supports, group_backward_scratch,
                                       group_backward))
