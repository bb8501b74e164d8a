// adaptive_max_pool2d, adaptive_max_pool3d and their gradients on GPUs.
#include "max_pool/apart.h"
#include "max_pool/parts.h"
#include "max_pool/share_out.h"
#include "max_pool/sparse.h"
#include "max_pool/staged.h"
#include "max_pool/strips.h"
#include "max_pool/taps.h"
#include "max_pool/teams.h"
#include "max_pool/volume.h"
#include "polyops/ops/adaptive_max_pool.h"
#include "table.h"

namespace polyops::gpu {
namespace {

const char* check(const polyops_tensor& src, const polyops_tensor& dst,
                  const polyops_tensor& indices) {
  if (const char* reason = check_types(src, dst, indices)) return reason;
  for (int d = 2; d < src.rank; ++d) {  // bounds of windows are quotients of products
    if ((src.sizes[d] + 1) * (dst.sizes[d] + 1) > kMostPlaces) return "size";
  }
  return nullptr;
}

template <int kRank>
const char* forward_supports(const void* data) {
  const auto& a = *static_cast<const polyops_adaptive_max_pool_args*>(data);
  const polyops_tensor *const src[] = {&a.src}, *const results[] = {&a.dst, &a.indices};
  for (const polyops_tensor* t : {&a.src, &a.dst, &a.indices}) {
    if (t->rank != kRank) return "rank";
  }
  if (const char* reason = check(a.src, a.dst, a.indices)) return reason;
  const polyops_tensor* const all[] = {&a.src, &a.dst, &a.indices};
  const char* reason = check_volumes(all, kRank);
  const bool transposes = is_channels_last(a.src) && all_contiguous(results);
  return reason && transposes && !check_volumes(src, kRank) && !check_volumes(results, kRank)
             ? nullptr
             : reason;
}

template <int kRank>
const char* backward_supports(const void* data) {
  const auto& a = *static_cast<const polyops_adaptive_max_pool_backward_args*>(data);
  const polyops_tensor* const all[] = {&a.grad_src, &a.grad_dst, &a.indices};
  if (const char* reason = check_volumes(all, kRank)) return reason;
  return check(a.grad_src, a.grad_dst, a.indices);
}

Axes<AdaptiveAxis> axes_of(const polyops_tensor& src, const polyops_tensor& dst) {
  const auto axis = [&](int i) { return AdaptiveAxis(size_of(src, i), size_of(dst, i)); };
  return {axis(0), axis(1), axis(2)};
}

template <class T>
int forward_contiguous(const Largest<T>& op, const Images& images, const Axes<AdaptiveAxis>& axes,
                       const polyops_context* ctx) {
  if (axes.deep.out == 1 && axes.high.out == 1 && axes.wide.out == 1) {
    return launch_runs(op, images.count, op.src_image, ctx);
  }
  if (axes.wide.in >= kWideWindow * axes.wide.out) return launch_teams(op, images, axes, ctx);
  int status;
  if (launch_staged(op, images, axes, ctx, &status)) return status;
  return launch_taps<T, 1>(op, images, axes, ctx);
}

int forward(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_adaptive_max_pool_args*>(data);
  const polyops_tensor* const all[] = {&a.src, &a.dst, &a.indices};
  const polyops_tensor *const src[] = {&a.src}, *const results[] = {&a.dst, &a.indices};
  const Axes<AdaptiveAxis> axes = axes_of(a.src, a.dst);
  return with_type(a.src.dtype, [&]<class T>() {
    if (all_contiguous(all)) {
      const Images images = images_of(all);
      return forward_contiguous(largest_of<T>(a.src, a.dst, a.indices, images), images, axes, ctx);
    }
    const Images images = {a.src.sizes[0], static_cast<int>(a.src.sizes[1])};
    const auto op = largest_of<T>(a.src, a.dst, a.indices, images);
    const bool contiguous = all_contiguous(results);
    const ResultStrides strides = {contiguous ? static_cast<int>(places_of(a.dst)) : 1,
                                   contiguous ? 1 : images.channels};
    const auto launch = [&](auto width) {
      return launch_parts<T, width.value>(op, images, strides, axes, ctx);
    };
    return contiguous ? with_width<kPack<T>>(src, images, launch)
                      : with_width<kPack<T>>(all, images, launch);
  });
}

int backward(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_adaptive_max_pool_backward_args*>(data);
  const polyops_tensor* const t[] = {&a.grad_src, &a.grad_dst, &a.indices};
  const Images images = images_of(t);
  const Axes<AdaptiveAxis> axes = axes_of(a.grad_src, a.grad_dst);
  return with_type(a.grad_src.dtype, [&]<class T>() {
    const auto op = largest_gradient_of<T>(a.grad_src, a.grad_dst, a.indices, images);
    int status;
    const bool one = axes.high.out == 1 && axes.wide.out == 1;  // which two launches do as fast
    if (!one && has_times(axes, kStripTimes) && launch_strips(op, images, axes, ctx, &status)) {
      return status;
    }
    if (lie_apart(axes) && images.channels > 1 && goes_by_packs(t, images, kPack<T>)) {
      return launch_apart(op, images, axes, ctx);
    }
    if (is_sparse(axes)) return launch_sparse(op, images, axes, ctx);
    if (images.channels == 1) return launch_share_out(op, images.count, axes, ctx);
    return with_width<kPack<T>>(t, images, [&](auto width) {
      return launch_windows_of<T, width.value>(op, images, axes, ctx);
    });
  });
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(adaptive_max_pool,
                    POLYOPS_GPU_KERNEL("adaptive_max_pool2d", "adaptive_max_pool2d",
                                       forward_supports<4>, nullptr, forward),
                    POLYOPS_GPU_KERNEL("adaptive_max_pool2d_backward",
                                       "adaptive_max_pool2d_backward", backward_supports<4>,
                                       nullptr, backward),
                    POLYOPS_GPU_KERNEL("adaptive_max_pool3d", "adaptive_max_pool3d",
                                       forward_supports<5>, nullptr, forward),
                    POLYOPS_GPU_KERNEL("adaptive_max_pool3d_backward",
                                       "adaptive_max_pool3d_backward", backward_supports<5>,
                                       nullptr, backward))
