// avg_pool3d and its gradient on GPUs.
#include "polyops/ops/pool3d.h"
#include "pool2d/calls.h"
#include "pool3d/flat.h"
#include "pool3d/gather.h"
#include "pool3d/last.h"
#include "pool3d/layout.h"
#include "pool3d/march.h"
#include "pool3d/packs.h"
#include "pool3d/spread.h"
#include "pool3d/sums.h"
#include "pool3d/windows.h"
#include "table.h"

namespace polyops::gpu {

KernelList POLYOPS_GPU_CONCAT(avg_pool2d, POLYOPS_GPU_TARGET)();

namespace {

KernelList of_planes() { return POLYOPS_GPU_CONCAT(avg_pool2d, POLYOPS_GPU_TARGET)(); }

const char* check(const polyops_pool3d_window& w, const polyops_tensor& pooled,
                  const polyops_tensor& result) {
  if (w.dilation[0] != 1 || w.dilation[1] != 1 || w.dilation[2] != 1) return "window";
  if (const char* reason = check_window(w, pooled, result)) return reason;
  const int64_t plane = w.size[1] * w.size[2];
  return plane > kMostPlaces || plane * w.size[0] > kMostPlaces ? "size" : nullptr;
}

const char* forward_supports(const void* data) {
  const auto& a = *static_cast<const polyops_avg_pool3d_args*>(data);
  if (const char* reason = check_volumes(a.src, a.dst)) return reason;
  return check(a.window, a.src, a.dst);
}

const char* backward_supports(const void* data) {
  const auto& a = *static_cast<const polyops_avg_pool3d_backward_args*>(data);
  if (const char* reason = check_volumes(a.grad_dst, a.grad_src)) return reason;
  return check(a.window, a.grad_src, a.grad_dst);
}

// The three dimensions of windows, and an element's share in one.
struct Windows {
  Axis deep, high, wide;
  float share;

  template <class Args>
  Windows(const Args& a, const polyops_tensor& pooled, const polyops_tensor& result)
      : deep(pooled.sizes[2], result.sizes[2], a.window, 0, a.count_padding != 0),
        high(pooled.sizes[3], result.sizes[3], a.window, 1, a.count_padding != 0),
        wide(pooled.sizes[4], result.sizes[4], a.window, 2, a.count_padding != 0) {
    const int64_t* size = a.window.size;
    if (a.divisor != 0) deep.even = high.even = wide.even = true;
    const int64_t divisor = a.divisor != 0 ? a.divisor : size[0] * size[1] * size[2];
    share = static_cast<float>(1.0 / static_cast<double>(divisor));
  }
};

int forward(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_avg_pool3d_args*>(data);
  const int64_t together = channels_together(a.src);
  Flat flat;
  if (together == 1 && flatten(a.src, a.dst, a.window, &flat)) {
    const polyops_avg_pool2d_args args = {sizeof args, a.count_padding, a.divisor,
                                          flat.window, flat.pooled,     flat.result};
    const int status = launch_as(of_planes(), "avg_pool2d", args, ctx);
    if (status != POLYOPS_DECLINED) return status;
  }
  const Windows w(a, a.src, a.dst);
  return with_type(a.src.dtype, [&]<class T>() {
    Average<T> op = {input<T>(a.src), output<T>(a.dst), volume(a.src), volume(a.dst), w.share};
    if (together > 1) {
      op.src_image *= together;
      op.dst_image *= together;
      return launch_last(op, a.src, w.high.size, w.deep, w.high, w.wide, ctx);
    }
    const Images images = planes_of(a.dst, a.dst.sizes[2]);
    const Sums<T> sums = {op.src, op.dst, op.src_image, op.dst_image, op.share};
    const int64_t volumes = images.count / w.deep.out;
    int status;
    if (launch_march(sums, volumes, w.deep, w.high, w.wide, ctx, &status) ||
        launch_sums<true>(sums, volumes, w.deep, w.high, w.wide, ctx, &status) ||
        launch_packs(op, images, w.deep, w.high, w.wide, ctx, &status)) {
      return status;
    }
    return launch_wide_windows(op, images, w.wide.size, w.deep, w.high, w.wide, ctx);
  });
}

int backward(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_avg_pool3d_backward_args*>(data);
  const int64_t together = channels_together(a.grad_dst);
  Flat flat;
  if (together == 1 && (flatten(a.grad_src, a.grad_dst, a.window, &flat) ||
                        flatten_columns(a.grad_src, a.grad_dst, a.window, &flat))) {
    const polyops_avg_pool2d_backward_args args = {sizeof args, a.count_padding, a.divisor,
                                                   flat.window, flat.result,     flat.pooled};
    const int status = launch_as(of_planes(), "avg_pool2d_backward", args, ctx);
    if (status != POLYOPS_DECLINED) return status;
  }
  const Windows w(a, a.grad_src, a.grad_dst);
  return with_type(a.grad_src.dtype, [&]<class T>() {
    const AverageGradient<T> op = {input<T>(a.grad_dst), output<T>(a.grad_src), volume(a.grad_src),
                                   volume(a.grad_dst) * together, w.share};
    const int64_t volumes = planes_of(a.grad_src, 1).count;
    const Sums<T> sums = {op.grad_dst, op.grad_src, op.dst_image, op.src_image, op.share};
    int status;
    if (together == 1 &&
        (launch_march(sums, volumes, w.deep, w.high, w.wide, ctx, &status) ||
         launch_spread(op, volumes, w.deep, w.high, w.wide, ctx, &status) ||
         launch_sums<false>(sums, volumes, w.deep, w.high, w.wide, ctx, &status))) {
      return status;
    }
    return launch_gather(op, planes_of(a.grad_src, w.deep.in), together, w.deep, w.high, w.wide,
                         ctx);
  });
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(avg_pool3d,
                    POLYOPS_GPU_KERNEL("avg_pool3d", "avg_pool3d", forward_supports, nullptr,
                                       forward),
                    POLYOPS_GPU_KERNEL("avg_pool3d_backward", "avg_pool3d_backward",
                                       backward_supports, nullptr, backward))
