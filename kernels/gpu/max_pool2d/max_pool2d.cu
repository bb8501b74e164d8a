// max_pool2d and its gradient on GPUs.
#include "max_pool/squares.h"
#include "max_pool/thirds.h"
#include "max_pool/two_columns.h"
#include "max_pool/words.h"
#include "polyops/ops/pool2d.h"
#include "pool2d/backward.h"
#include "pool2d/calls.h"
#include "pool2d/forward.h"
#include "pool2d/gather.h"
#include "pool2d/largest.h"
#include "table.h"

namespace polyops::gpu {
namespace {

// Channels to a thread where they lie next to each other: their indices are 16 bytes, so that a
// wave's accesses leave no gaps.
constexpr int kChannels = 2;

const char* supports(const polyops_pool2d_window& window, const polyops_tensor& src,
                     const polyops_tensor& dst, const polyops_tensor& indices) {
  if (!has_type(src.dtype) || dst.dtype != src.dtype || indices.dtype != POLYOPS_INT64) {
    return "dtype";
  }
  const polyops_tensor* const t[] = {&src, &dst, &indices};
  if (const char* reason = check_tensors(t)) return reason;
  return check_window(window, src, dst);
}

const char* forward_supports(const void* data) {
  const auto& a = *static_cast<const polyops_max_pool2d_args*>(data);
  return supports(a.window, a.src, a.dst, a.indices);
}

const char* backward_supports(const void* data) {
  const auto& a = *static_cast<const polyops_max_pool2d_backward_args*>(data);
  return supports(a.window, a.grad_src, a.grad_dst, a.indices);
}

int forward(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_max_pool2d_args*>(data);
  const polyops_tensor* const t[] = {&a.src, &a.dst, &a.indices};
  const Images images = images_of(t);
  const Axis high(a.src.sizes[2], a.dst.sizes[2], a.window, 0, false);
  const Axis wide(a.src.sizes[3], a.dst.sizes[3], a.window, 1, false);
  return with_type(a.src.dtype, [&]<class T>() {
    const Largest<T> op = {input<T>(a.src),
                           output<T>(a.dst),
                           output<int64_t>(a.indices),
                           plane(a.src) * images.channels,
                           plane(a.dst) * images.channels,
                           a.lowest_is_0 != 0};
    if constexpr (sizeof(T) == 2) {
      int status;
      if (launch_plane_words(op, a.window, images, high, wide, ctx, &status) ||
          launch_two_columns(op, a.window, images, high, wide, ctx, &status)) {
        return status;
      }
    }
    return with_width<kChannels>(t, images, [&](auto width) {
      return launch_windows<Largest<T>, width.value>(op, a.window, images, high, wide, ctx);
    });
  });
}

int backward(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_max_pool2d_backward_args*>(data);
  const polyops_tensor* const t[] = {&a.grad_src, &a.grad_dst, &a.indices};
  const Images images = images_of(t);
  const Axis high(a.grad_src.sizes[2], a.grad_dst.sizes[2], a.window, 0, false);
  const Axis wide(a.grad_src.sizes[3], a.grad_dst.sizes[3], a.window, 1, false);
  return with_type(a.grad_src.dtype, [&]<class T>() {
    const LargestGradient<T> op = {input<T>(a.grad_dst), input<int64_t>(a.indices),
                                   output<T>(a.grad_src), plane(a.grad_src) * images.channels,
                                   plane(a.grad_dst) * images.channels};
    int status;
    if (images.channels == 1 &&
        (launch_thirds<1>(op, images.count, 1, high, wide, ctx, &status) ||
         (is_square(a.window, 3, 1) && launch_gather<T, 3>(op, images, high, wide, ctx, &status)) ||
         (is_square(a.window, 5, 1) &&
          launch_gather<T, 5>(op, images, high, wide, ctx, &status)))) {
      return status;
    }
    if (launch_squares(op, a.window, images, high, wide, ctx, &status)) return status;
    return with_width<kChannels>(t, images, [&](auto width) {
      return launch_backward<LargestGradient<T>, width.value>(op, a.window, images, high, wide,
                                                              ctx);
    });
  });
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(max_pool2d,
                    POLYOPS_GPU_KERNEL("max_pool2d", "max_pool2d", forward_supports, nullptr,
                                       forward),
                    POLYOPS_GPU_KERNEL("max_pool2d_backward", "max_pool2d_backward",
                                       backward_supports, nullptr, backward))
