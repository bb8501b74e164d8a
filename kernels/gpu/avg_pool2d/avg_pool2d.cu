// avg_pool2d and its gradient on GPUs.
#include "polyops/ops/pool2d.h"
#include "pool2d/averages.h"
#include "pool2d/calls.h"
#include "table.h"

namespace polyops::gpu {
namespace {

const char* supports(const polyops_pool2d_window& window, const polyops_tensor& src,
                     const polyops_tensor& dst) {
  if (!has_type(src.dtype) || dst.dtype != src.dtype) return "dtype";
  const polyops_tensor* const t[] = {&src, &dst};
  if (const char* reason = check_tensors(t)) return reason;
  if (window.dilation[0] != 1 || window.dilation[1] != 1) return "window";
  if (const char* reason = check_window(window, src, dst)) return reason;
  return window.size[0] * window.size[1] > kMostPlaces ? "size" : nullptr;
}

const char* forward_supports(const void* data) {
  const auto& a = *static_cast<const polyops_avg_pool2d_args*>(data);
  return supports(a.window, a.src, a.dst);
}

const char* backward_supports(const void* data) {
  const auto& a = *static_cast<const polyops_avg_pool2d_backward_args*>(data);
  return supports(a.window, a.grad_src, a.grad_dst);
}

int forward(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_avg_pool2d_args*>(data);
  const Windows windows(a.src, a.dst, a.window, a.count_padding != 0, a.divisor);
  return launch_averages(a.src, a.dst, a.window, windows, ctx);
}

int backward(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_avg_pool2d_backward_args*>(data);
  const Windows windows(a.grad_src, a.grad_dst, a.window, a.count_padding != 0, a.divisor);
  return launch_gradients(a.grad_src, a.grad_dst, a.window, windows, ctx);
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(avg_pool2d,
                    POLYOPS_GPU_KERNEL("avg_pool2d", "avg_pool2d", forward_supports, nullptr,
                                       forward),
                    POLYOPS_GPU_KERNEL("avg_pool2d_backward", "avg_pool2d_backward",
                                       backward_supports, nullptr, backward))
