// avg_pool2d and its gradient on GPUs.
#include "polyops/ops/pool2d.h"
#include "pool2d/average.h"
#include "pool2d/backward.h"
#include "pool2d/calls.h"
#include "pool2d/forward.h"
#include "pool2d/teams.h"
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
  const polyops_tensor* const t[] = {&a.src, &a.dst};
  const Images images = images_of(t);
  const bool counts = a.count_padding != 0;
  const Axis high(a.src.sizes[2], a.dst.sizes[2], a.window, 0, counts);
  const Axis wide(a.src.sizes[3], a.dst.sizes[3], a.window, 1, counts);
  return with_type(a.src.dtype, [&]<class T>() {
    const Average<T> op = {input<T>(a.src), output<T>(a.dst), plane(a.src) * images.channels,
                           plane(a.dst) * images.channels, static_cast<float>(a.divisor)};
    if (has_teams(images, a.window.size[1])) {
      return launch_teams(op, images, a.window.size[1], high, wide, ctx);
    }
    return with_width<kPack<T>>(t, images, [&](auto width) {
      return launch_windows<Average<T>, width.value>(op, a.window, images, high, wide, ctx);
    });
  });
}

int backward(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_avg_pool2d_backward_args*>(data);
  const polyops_tensor* const t[] = {&a.grad_src, &a.grad_dst};
  const Images images = images_of(t);
  const bool counts = a.count_padding != 0;
  const Axis high(a.grad_src.sizes[2], a.grad_dst.sizes[2], a.window, 0, counts);
  const Axis wide(a.grad_src.sizes[3], a.grad_dst.sizes[3], a.window, 1, counts);
  return with_type(a.grad_src.dtype, [&]<class T>() {
    const AverageGradient<T> op = {
        input<T>(a.grad_dst), output<T>(a.grad_src), plane(a.grad_src) * images.channels,
        plane(a.grad_dst) * images.channels, static_cast<float>(a.divisor)};
    return with_width<kPack<T>>(t, images, [&](auto width) {
      return launch_backward_windows<AverageGradient<T>, width.value>(op, a.window, images, high,
                                                                      wide, ctx);
    });
  });
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(avg_pool2d,
                    POLYOPS_GPU_KERNEL("avg_pool2d", "avg_pool2d", forward_supports, nullptr,
                                       forward),
                    POLYOPS_GPU_KERNEL("avg_pool2d_backward", "avg_pool2d_backward",
                                       backward_supports, nullptr, backward))
