// adaptive_avg_pool2d and its gradient on GPUs: as avg_pool2d's where windows are all of one size.
#include "polyops/ops/pool2d.h"
#include "pool2d/average.h"
#include "pool2d/backward.h"
#include "pool2d/bands.h"
#include "pool2d/calls.h"
#include "pool2d/forward.h"
#include "table.h"

namespace polyops::gpu {

KernelList POLYOPS_GPU_CONCAT(avg_pool2d, POLYOPS_GPU_TARGET)();

namespace {

KernelList of_windows() { return POLYOPS_GPU_CONCAT(avg_pool2d, POLYOPS_GPU_TARGET)(); }

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

// Where the results divide the image, windows are all of one size, side by side.
bool divides(const polyops_tensor& src, const polyops_tensor& dst) {
  return src.sizes[2] % dst.sizes[2] == 0 && src.sizes[3] % dst.sizes[3] == 0;
}
polyops_pool2d_window window_of(const polyops_tensor& src, const polyops_tensor& dst) {
  const int64_t high = src.sizes[2] / dst.sizes[2], wide = src.sizes[3] / dst.sizes[3];
  return {{high, wide}, {high, wide}, {0, 0}, {1, 1}};
}

// As many results as elements are the elements, all in one order: as eight channels of a row of
// pixels they go by packs.
bool is_copy(const polyops_tensor& src, const polyops_tensor& dst) {
  return src.sizes[2] == dst.sizes[2] && src.sizes[3] == dst.sizes[3] &&
         polyops_numel(&src) % 8 == 0;
}
polyops_tensor as_row(const polyops_tensor& t) {
  polyops_tensor row = t;
  const int64_t n = polyops_numel(&t);
  const int64_t sizes[] = {1, 8, 1, n / 8}, strides[] = {n, 1, n, 8};
  for (int d = 0; d < 4; ++d) row.sizes[d] = sizes[d], row.strides[d] = strides[d];
  return row;
}

int forward(const void* data, const polyops_context* ctx) {
  auto a = *static_cast<const polyops_adaptive_avg_pool2d_args*>(data);
  if (is_copy(a.src, a.dst)) a.src = as_row(a.src), a.dst = as_row(a.dst);
  if (divides(a.src, a.dst)) {
    const polyops_avg_pool2d_args same = {sizeof same, 1, 0, window_of(a.src, a.dst), a.src, a.dst};
    const int status = launch_as(of_windows(), "avg_pool2d", same, ctx);
    if (status != POLYOPS_DECLINED) return status;
  }
  const polyops_tensor* const t[] = {&a.src, &a.dst};
  const Images images = images_of(t);
  const AdaptiveAxis high(a.src.sizes[2], a.dst.sizes[2]), wide(a.src.sizes[3], a.dst.sizes[3]);
  return with_type(a.src.dtype, [&]<class T>() {
    const Average<T> op = average_of<T>(a.src, a.dst, images, 1);
    if (has_bands(images, high, wide)) return launch_bands(op, images, high, wide, ctx);
    return with_width<kPack<T>>(t, images, [&](auto width) {
      constexpr int kWide = width.value;
      const Grid grid = make_grid(ctx, images, kWide, wide.out, high.out, 1);
      return gpu::launch(pool2d_taps<Average<T>, kWide, AdaptiveAxis>, grid.shape(), ctx, op, grid,
                         images.channels, high, wide);
    });
  });
}

int backward(const void* data, const polyops_context* ctx) {
  auto a = *static_cast<const polyops_adaptive_avg_pool2d_backward_args*>(data);
  if (is_copy(a.grad_src, a.grad_dst)) {
    a.grad_src = as_row(a.grad_src), a.grad_dst = as_row(a.grad_dst);
  }
  if (divides(a.grad_src, a.grad_dst)) {
    const polyops_avg_pool2d_backward_args same = {
        sizeof same, 1, 0, window_of(a.grad_src, a.grad_dst), a.grad_dst, a.grad_src};
    const int status = launch_as(of_windows(), "avg_pool2d_backward", same, ctx);
    if (status != POLYOPS_DECLINED) return status;
  }
  const polyops_tensor* const t[] = {&a.grad_src, &a.grad_dst};
  const Images images = images_of(t);
  const AdaptiveAxis high(a.grad_src.sizes[2], a.grad_dst.sizes[2]);
  const AdaptiveAxis wide(a.grad_src.sizes[3], a.grad_dst.sizes[3]);
  return with_type(a.grad_src.dtype, [&]<class T>() {
    const AverageGradient<T> op = gradient_of<T>(a.grad_src, a.grad_dst, images, 1);
    return with_width<kPack<T>>(t, images, [&](auto width) {
      return launch_backward_windows<AverageGradient<T>, width.value>(op, images, high, wide, ctx);
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
