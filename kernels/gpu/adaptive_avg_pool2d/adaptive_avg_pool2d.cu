// adaptive_avg_pool2d and its gradient on GPUs.
#include "polyops/ops/pool2d.h"
#include "pool2d/average.h"
#include "pool2d/backward.h"
#include "pool2d/calls.h"
#include "pool2d/forward.h"
#include "pool2d/teams.h"
#include "table.h"

namespace polyops::gpu {
namespace {

const char* supports(const polyops_tensor& src, const polyops_tensor& dst) {
  if (!has_type(src.dtype) || dst.dtype != src.dtype) return "dtype";
  const polyops_tensor* const t[] = {&src, &dst};
  if (const char* reason = check_tensors(t)) return reason;
  for (int d = 2; d < 4; ++d) {  // bounds of windows are quotients of products
    if ((src.sizes[d] + 1) * (dst.sizes[d] + 1) > kMostPlaces) return "size";
  }
  return nullptr;
}

const char* forward_supports(const void* data) {
  const auto& a = *static_cast<const polyops_adaptive_avg_pool2d_args*>(data);
  return supports(a.src, a.dst);
}

const char* backward_supports(const void* data) {
  const auto& a = *static_cast<const polyops_adaptive_avg_pool2d_backward_args*>(data);
  return supports(a.grad_src, a.grad_dst);
}

int forward(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_adaptive_avg_pool2d_args*>(data);
  const polyops_tensor* const t[] = {&a.src, &a.dst};
  const Images images = images_of(t);
  const AdaptiveAxis high(a.src.sizes[2], a.dst.sizes[2]), wide(a.src.sizes[3], a.dst.sizes[3]);
  return with_type(a.src.dtype, [&]<class T>() {
    const Average<T> op = {input<T>(a.src), output<T>(a.dst), plane(a.src) * images.channels,
                           plane(a.dst) * images.channels, 0};
    const int64_t width = a.src.sizes[3] / a.dst.sizes[3];
    if (has_teams(images, width)) return launch_teams(op, images, width, high, wide, ctx);
    return with_width<kPack<T>>(t, images, [&](auto width) {
      constexpr int kWide = width.value;
      const Grid grid = make_grid(ctx, images, kWide, wide.out, high.out, 1);
      return gpu::launch(pool2d_taps<Average<T>, kWide, AdaptiveAxis>, grid.shape(), ctx, op, grid,
                         images.channels, high, wide);
    });
  });
}

int backward(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_adaptive_avg_pool2d_backward_args*>(data);
  const polyops_tensor* const t[] = {&a.grad_src, &a.grad_dst};
  const Images images = images_of(t);
  const AdaptiveAxis high(a.grad_src.sizes[2], a.grad_dst.sizes[2]);
  const AdaptiveAxis wide(a.grad_src.sizes[3], a.grad_dst.sizes[3]);
  return with_type(a.grad_src.dtype, [&]<class T>() {
    const AverageGradient<T> op = {input<T>(a.grad_dst), output<T>(a.grad_src),
                                   plane(a.grad_src) * images.channels,
                                   plane(a.grad_dst) * images.channels, 0};
    return with_width<kPack<T>>(t, images, [&](auto width) {
      constexpr int kWide = width.value;
      const Grid grid = make_grid(ctx, images, kWide, wide.in, high.in, 1);
      return gpu::launch(pool2d_backward_windows<AverageGradient<T>, kWide, AdaptiveAxis>,
                         grid.shape(), ctx, op, grid, images.channels, high, wide);
    });
  });
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(adaptive_avg_pool2d,
                    POLYOPS_GPU_KERNEL("adaptive_avg_pool2d", "adaptive_avg_pool2d",
                                       forward_supports, nullptr, forward),
                    POLYOPS_GPU_KERNEL("adaptive_avg_pool2d_backward",
                                       "adaptive_avg_pool2d_backward", backward_supports, nullptr,
                                       backward))
