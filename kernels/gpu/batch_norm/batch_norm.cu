// batch_norm and batch_norm_backward on GPUs.
// Bound: memory, 2 and 3 elements moved per element.
#include "backward.h"
#include "forward.h"
#include "table.h"

namespace polyops::gpu {
namespace {

using Tensors = std::initializer_list<const polyops_tensor*>;

const char* batch_reason(const polyops_tensor& src, Tensors same, Tensors values) {
  if (!has_type(src.dtype)) return "dtype";
  if (src.rank != 3) return "shape";
  const bool last = lies(src, true);
  for (const polyops_tensor* t : same) {
    if (!polyops_is_present(t)) continue;
    if (t->dtype != src.dtype) return "dtype";
    if (!lies(*t, last)) return "layout";
  }
  for (const polyops_tensor* t : values) {
    if (!polyops_is_present(t)) continue;
    if (t->dtype != POLYOPS_FLOAT32 && t->dtype != src.dtype) return "dtype";
    if (!polyops_is_contiguous(t)) return "layout";
  }
  const BatchShape shape = batch_shape(src);
  const bool fits = shape.n() <= kMostElements && shape.channels < kMostChannels &&
                    shape.channels * shape.pixels <= kMostElements;
  return fits ? nullptr : "shape";
}

const char* batch_supports(const void* p) {
  const auto& a = *static_cast<const BatchArgs*>(p);
  const bool kept = polyops_is_present(&a.mean) && polyops_is_present(&a.rstd);
  const bool running = polyops_is_present(&a.running_mean) && polyops_is_present(&a.running_var);
  if (a.training != 0 ? !kept : !running) return "moments";
  return batch_reason(a.src, {&a.src, &a.dst},
                      {&a.weight, &a.bias, &a.running_mean, &a.running_var, &a.mean, &a.rstd});
}

const char* batch_backward_supports(const void* p) {
  const auto& a = *static_cast<const BatchBackwardArgs*>(p);
  if (!wants_sums(a) && !polyops_is_present(&a.grad_src)) return "nothing to compute";
  const bool spread = polyops_is_present(&a.rstd) || polyops_is_present(&a.var);
  if (!polyops_is_present(&a.mean) || !spread) return "moments";
  return batch_reason(a.src, {&a.src, &a.grad_dst, &a.grad_src},
                      {&a.mean, &a.rstd, &a.var, &a.weight, &a.grad_weight, &a.grad_bias});
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(batch_norm,
                    POLYOPS_GPU_KERNEL("batch_norm", "batch_norm", batch_supports, batch_scratch,
                                       batch_forward),
                    POLYOPS_GPU_KERNEL("batch_norm_backward", "batch_norm_backward",
                                       batch_backward_supports, batch_backward_scratch,
                                       batch_backward))
