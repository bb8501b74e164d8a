// nll_loss and nll_loss_backward on GPUs.
#include "backward.h"
#include "forward.h"
#include "pixels.h"
#include "polyops/ops/nll_loss.h"
#include "table.h"

namespace polyops::gpu {
namespace {

const char* loss_supports(const void* data) {
  const auto& a = *static_cast<const polyops_nll_loss_args*>(data);
  if (const char* reason = unsupported(a.src, a.target, a.weight)) return reason;
  if (a.dst.dtype != a.src.dtype || a.total_weight.dtype != a.src.dtype) return "dtype";
  const bool fits = fits_reduction(a.dst, a.reduction, a.src);
  return fits && polyops_numel(&a.total_weight) == 1 ? nullptr : "shape";
}

size_t loss_scratch(const void* data, int32_t) {
  const auto& a = *static_cast<const polyops_nll_loss_args*>(data);
  const int64_t blocks = loss_blocks(samples_of(a.src));
  const bool none = a.reduction == POLYOPS_NLL_LOSS_NONE || blocks == 1;
  return none ? 0 : static_cast<size_t>(blocks) * 2 * sizeof(float);
}

int loss(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_nll_loss_args*>(data);
  return with_type(a.src.dtype, [&]<class T>() { return launch_loss<T>(a, ctx); });
}

const char* loss_backward_supports(const void* data) {
  const auto& a = *static_cast<const polyops_nll_loss_backward_args*>(data);
  if (const char* reason = unsupported(a.grad_src, a.target, a.weight)) return reason;
  if (a.grad_dst.dtype != a.grad_src.dtype) return "dtype";
  if (!fits_reduction(a.grad_dst, a.reduction, a.grad_src)) return "shape";
  if (a.reduction == POLYOPS_NLL_LOSS_MEAN) {
    if (a.total_weight.dtype != a.grad_src.dtype) return "dtype";
    if (polyops_numel(&a.total_weight) != 1) return "shape";
  }
  return polyops_is_contiguous(&a.grad_src) != 0 ? nullptr : "layout";
}

int loss_backward(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_nll_loss_backward_args*>(data);
  return with_type(a.grad_src.dtype, [&]<class T>() {
    return a.grad_src.rank == 3 ? launch_pixels_backward<T>(a, ctx)
                                : launch_loss_backward<T>(a, ctx);
  });
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(nll_loss,
                    POLYOPS_GPU_KERNEL("nll_loss", "nll_loss", loss_supports, loss_scratch, loss),
                    POLYOPS_GPU_KERNEL("nll_loss_backward", "nll_loss_backward",
                                       loss_backward_supports, nullptr, loss_backward))
