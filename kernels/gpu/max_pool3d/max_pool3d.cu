// max_pool3d and its gradient on GPUs.
#include "max_pool/cubes.h"
#include "max_pool/frames.h"
#include "max_pool/keys.h"
#include "max_pool/pairs.h"
#include "max_pool/planes.h"
#include "max_pool/share_out.h"
#include "max_pool/taps.h"
#include "max_pool/thirds.h"
#include "max_pool/volume.h"
#include "max_pool/windows.h"
#include "max_pool/words.h"
#include "polyops/ops/max_pool3d.h"
#include "table.h"

namespace polyops::gpu {
namespace {

// Channels to a thread where they lie next to each other: as max_pool2d's.
constexpr int kChannels = 2;

// That every window has a tap in the image, and that products of places fit into 32 bits.
const char* check_taps(const polyops_pool3d_window& w, const polyops_tensor& src,
                       const polyops_tensor& dst) {
  for (int d = 0; d < 3; ++d) {
    const int64_t n = src.sizes[2 + d];
    const int64_t last = (dst.sizes[2 + d] - 1) * w.stride[d] - w.padding[d];
    const int64_t reach = (w.size[d] - 1) * w.dilation[d] + 1;
    if (last >= n || reach <= w.padding[d] || (w.padding[d] > 0 && w.dilation[d] > n)) {
      return "window";
    }
  }
  return nullptr;
}

const char* supports(const polyops_pool3d_window& window, const polyops_tensor& src,
                     const polyops_tensor& dst, const polyops_tensor& indices) {
  if (const char* reason = check_types(src, dst, indices)) return reason;
  const polyops_tensor* const t[] = {&src, &dst, &indices};
  if (const char* reason = check_volumes(t, 5)) return reason;
  if (const char* reason = check_window(window, src, dst)) return reason;
  return check_taps(window, src, dst);
}

const char* forward_supports(const void* data) {
  const auto& a = *static_cast<const polyops_max_pool3d_args*>(data);
  return supports(a.window, a.src, a.dst, a.indices);
}

const char* backward_supports(const void* data) {
  const auto& a = *static_cast<const polyops_max_pool3d_backward_args*>(data);
  return supports(a.window, a.grad_src, a.grad_dst, a.indices);
}

Axes<Axis> axes_of(const polyops_tensor& src, const polyops_tensor& dst,
                   const polyops_pool3d_window& window) {
  const auto axis = [&](int d) {
    return Axis(src.sizes[2 + d], dst.sizes[2 + d], window, d, false);
  };
  return {axis(0), axis(1), axis(2)};
}

int forward(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_max_pool3d_args*>(data);
  const polyops_tensor* const t[] = {&a.src, &a.dst, &a.indices};
  const Images images = images_of(t);
  const Axes<Axis> axes = axes_of(a.src, a.dst, a.window);
  return with_type(a.src.dtype, [&]<class T>() {
    const auto op = largest_of<T>(a.src, a.dst, a.indices, images);
    return with_width<kChannels>(t, images, [&](auto width) {
      constexpr int kWide = width.value;
      int status = POLYOPS_OK;
      const auto planes = [&]<class C>() {
        if constexpr (kWide == 1 && sizeof(T) == 2) {
          if (launch_words<T, C>(op, images, axes, ctx, &status)) return;
        }
        if constexpr (kWide == 1 && std::is_same_v<T, float> && C::kDeepSize == 3 &&
                      C::kStride == 2) {
          if (launch_pairs<C>(op, images, axes, ctx, &status)) return;
        }
        if constexpr (kWide == 1 && sizeof(T) == 2 && C::kStride == 1) {
          if (launch_keys(op, images, axes, ctx, &status)) return;
        }
        if constexpr (kWide == 1 && sizeof(T) == 4 && C::kStride == 1) {
          if (launch_frames(op, images, axes, ctx, &status)) return;
        }
        status = launch_planes<T, kWide, C>(op, images, axes, ctx);
      };
      if ((kWide > 1 || images.channels == 1) && with_cube(a.window, planes)) return status;
      return launch_taps<T, kWide>(op, images, axes, ctx);
    });
  });
}

int backward(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_max_pool3d_backward_args*>(data);
  const polyops_tensor* const t[] = {&a.grad_src, &a.grad_dst, &a.indices};
  const Images images = images_of(t);
  const Axes<Axis> axes = axes_of(a.grad_src, a.grad_dst, a.window);
  return with_type(a.grad_src.dtype, [&]<class T>() {
    const auto op = largest_gradient_of<T>(a.grad_src, a.grad_dst, a.indices, images);
    int status = POLYOPS_OK;
    if (images.channels == 1 && keeps_size(axes.deep) &&
        launch_thirds<3>(op, images.count, axes.deep.in, axes.high, axes.wide, ctx, &status)) {
      return status;
    }
    return with_width<kChannels>(t, images, [&](auto width) {
      constexpr int kWide = width.value;
      bool launched = false;
      const auto cubes = [&]<class C>() {
        launched = launch_cubes<T, kWide, C>(op, images, axes, ctx, &status);
      };
      if ((kWide > 1 || images.channels == 1) && with_cube(a.window, cubes) && launched) {
        return status;
      }
      if (images.channels == 1) return launch_share_out(op, images.count, axes, ctx);
      return launch_windows_of<T, kWide>(op, images, axes, ctx);
    });
  });
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(max_pool3d,
                    POLYOPS_GPU_KERNEL("max_pool3d", "max_pool3d", forward_supports, nullptr,
                                       forward),
                    POLYOPS_GPU_KERNEL("max_pool3d_backward", "max_pool3d_backward",
                                       backward_supports, nullptr, backward))
