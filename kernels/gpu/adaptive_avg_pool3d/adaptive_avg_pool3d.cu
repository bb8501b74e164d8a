// adaptive_avg_pool3d and its gradient on GPUs.
#include "polyops/ops/pool3d.h"
#include "pool2d/calls.h"
#include "pool3d/flat.h"
#include "pool3d/gather.h"
#include "pool3d/last.h"
#include "pool3d/layout.h"
#include "pool3d/windows.h"
#include "table.h"

namespace polyops::gpu {

KernelList POLYOPS_GPU_CONCAT(avg_pool3d, POLYOPS_GPU_TARGET)();
KernelList POLYOPS_GPU_CONCAT(adaptive_avg_pool2d, POLYOPS_GPU_TARGET)();

namespace {

KernelList of_windows() { return POLYOPS_GPU_CONCAT(avg_pool3d, POLYOPS_GPU_TARGET)(); }
KernelList of_planes() { return POLYOPS_GPU_CONCAT(adaptive_avg_pool2d, POLYOPS_GPU_TARGET)(); }

const char* check(const polyops_tensor& pooled, const polyops_tensor& result) {
  for (int d = 2; d < 5; ++d) {  // bounds of windows are quotients of products
    if ((pooled.sizes[d] + 1) * (result.sizes[d] + 1) > kMostPlaces) return "size";
  }
  return nullptr;
}

const char* forward_supports(const void* data) {
  const auto& a = *static_cast<const polyops_adaptive_avg_pool3d_args*>(data);
  if (const char* reason = check_volumes(a.src, a.dst)) return reason;
  return check(a.src, a.dst);
}

const char* backward_supports(const void* data) {
  const auto& a = *static_cast<const polyops_adaptive_avg_pool3d_backward_args*>(data);
  if (const char* reason = check_volumes(a.grad_dst, a.grad_src)) return reason;
  return check(a.grad_src, a.grad_dst);
}

// Where the results divide the image, windows are all of one size, side by side.
bool divides(const polyops_tensor& pooled, const polyops_tensor& result,
             polyops_pool3d_window* window) {
  for (int d = 0; d < 3; ++d) {
    if (pooled.sizes[2 + d] % result.sizes[2 + d] != 0) return false;
    window->size[d] = window->stride[d] = pooled.sizes[2 + d] / result.sizes[2 + d];
    window->padding[d] = 0;
    window->dilation[d] = 1;
  }
  return true;
}

struct Windows {
  AdaptiveAxis deep, high, wide;

  Windows(const polyops_tensor& pooled, const polyops_tensor& result)
      : deep(pooled.sizes[2], result.sizes[2]),
        high(pooled.sizes[3], result.sizes[3]),
        wide(pooled.sizes[4], result.sizes[4]) {}
};

int forward(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_adaptive_avg_pool3d_args*>(data);
  const int64_t together = channels_together(a.src);
  polyops_avg_pool3d_args same = {sizeof same, 1, 0, {}, a.src, a.dst};
  int status = POLYOPS_DECLINED;
  if (divides(a.src, a.dst, &same.window)) {
    status = launch_as(of_windows(), "avg_pool3d", same, ctx);
  } else if (together == 1 && a.src.sizes[2] == a.dst.sizes[2]) {
    const polyops_adaptive_avg_pool2d_args args = {sizeof args, planes_apart(a.src),
                                                   planes_apart(a.dst)};
    status = launch_as(of_planes(), "adaptive_avg_pool2d", args, ctx);
  }
  if (status != POLYOPS_DECLINED) return status;
  const Windows w(a.src, a.dst);
  return with_type(a.src.dtype, [&]<class T>() {
    Average<T> op = {input<T>(a.src), output<T>(a.dst), volume(a.src), volume(a.dst), 1};
    if (together > 1) {
      op.src_image *= together;
      op.dst_image *= together;
      return launch_last(op, a.src, a.src.sizes[3] / a.dst.sizes[3], w.deep, w.high, w.wide, ctx);
    }
    return launch_wide_windows(op, planes_of(a.dst, a.dst.sizes[2]),
                               a.src.sizes[4] / a.dst.sizes[4], w.deep, w.high, w.wide, ctx);
  });
}

int backward(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_adaptive_avg_pool3d_backward_args*>(data);
  const int64_t together = channels_together(a.grad_dst);
  polyops_avg_pool3d_backward_args same = {sizeof same, 1, 0, {}, a.grad_dst, a.grad_src};
  int status = POLYOPS_DECLINED;
  if (divides(a.grad_src, a.grad_dst, &same.window)) {
    status = launch_as(of_windows(), "avg_pool3d_backward", same, ctx);
  } else if (together == 1 && a.grad_src.sizes[2] == a.grad_dst.sizes[2]) {
    const polyops_adaptive_avg_pool2d_backward_args args = {sizeof args, planes_apart(a.grad_dst),
                                                            planes_apart(a.grad_src)};
    status = launch_as(of_planes(), "adaptive_avg_pool2d_backward", args, ctx);
  }
  if (status != POLYOPS_DECLINED) return status;
  const Windows w(a.grad_src, a.grad_dst);
  return with_type(a.grad_src.dtype, [&]<class T>() {
    const AverageGradient<T> op = {input<T>(a.grad_dst), output<T>(a.grad_src), volume(a.grad_src),
                                   volume(a.grad_dst) * together, 1};
    return launch_gather(op, planes_of(a.grad_src, w.deep.in), together, w.deep, w.high, w.wide,
                         ctx);
  });
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(adaptive_avg_pool3d,
                    POLYOPS_GPU_KERNEL("adaptive_avg_pool3d", "adaptive_avg_pool3d",
                                       forward_supports, nullptr, forward),
                    POLYOPS_GPU_KERNEL("adaptive_avg_pool3d_backward",
                                       "adaptive_avg_pool3d_backward", backward_supports, nullptr,
                                       backward))
