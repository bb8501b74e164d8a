// The launches of averages, of windows of one size: forward and backward.
#ifndef POLYOPS_GPU_POOL2D_AVERAGES_H_
#define POLYOPS_GPU_POOL2D_AVERAGES_H_

#include <cstdint>

#include "average.h"
#include "axis.h"
#include "backward.h"
#include "bands.h"
#include "calls.h"
#include "fold.h"
#include "forward.h"
#include "gpu.h"
#include "halves.h"
#include "layout.h"
#include "slides.h"
#include "spread.h"
#include "spread_bands.h"
#include "spread_flat.h"
#include "sums.h"
#include "teams.h"

namespace polyops::gpu {
namespace {

// Both dimensions of windows, and an element's share in one. divisor: 0 where it is the number of
// elements.
struct Windows {
  Axis high, wide;
  float share;

  Windows(const polyops_tensor& src, const polyops_tensor& dst, const polyops_pool2d_window& w,
          bool counts_padding, int64_t divisor)
      : high(src.sizes[2], dst.sizes[2], w, 0, counts_padding),
        wide(src.sizes[3], dst.sizes[3], w, 1, counts_padding) {
    if (divisor != 0) high.even = wide.even = true;
    if (divisor == 0) divisor = w.size[0] * w.size[1];
    share = static_cast<float>(1.0 / static_cast<double>(divisor));
  }
};

inline int launch_averages(const polyops_tensor& src, const polyops_tensor& dst,
                           const polyops_pool2d_window& window, const Windows& windows,
                           const polyops_context* ctx) {
  const polyops_tensor* const t[] = {&src, &dst};
  const Images images = images_of(t);
  const Axis &high = windows.high, &wide = windows.wide;
  return with_type(src.dtype, [&]<class T>() {
    const Average<T> op = average_of<T>(src, dst, images, windows.share);
    const bool teams = has_teams(images, wide.size);
    if (teams && goes_by_packs(op, wide)) return launch_teams(op, images, high, wide, ctx);
    if (has_bands(images, high, wide)) return launch_bands(op, images, high, wide, ctx);
    if (teams) return launch_teams(op, images, high, wide, ctx);
    int status;
    if (launch_fold(op, images, high, wide, ctx, &status)) return status;
    if (launch_slide(op.src, op.dst, op.share, window, images, false, high, wide, ctx, &status)) {
      return status;
    }
    if (launch_halves(op, window, images, high, wide, ctx, &status)) return status;
    return with_width<kPack<T>>(t, images, [&](auto width) {
      return launch_windows<Average<T>, width.value>(op, window, images, high, wide, ctx);
    });
  });
}

template <class T, int kWide>
int launch_gradients(const AverageGradient<T>& op, const polyops_pool2d_window& window,
                     const Images& images, const Axis& high, const Axis& wide,
                     const polyops_context* ctx) {
  int status = POLYOPS_OK;
  if (lies_side_by_side(images, high, wide)) {
    if (launch_spread_flat(op, images, high, wide, ctx, &status) ||
        launch_spread_bands(op, images, high, wide, ctx, &status)) {
      return status;
    }
    return launch_spread(op, images, high, wide, ctx);
  }
  if (launch_slide(op.grad_dst, op.grad_src, op.share, window, images, true, high, wide, ctx,
                   &status)) {
    return status;
  }
  const auto sums = [&]<int kSize, int kStride, int kShift>() {
    status = launch_sums<T, kWide, kSize, kStride, kShift>(op, images, high, wide, ctx);
  };
  if ((kWide > 1 || images.channels == 1) && with_squares<true>(window, sums)) return status;
  return launch_backward_windows<AverageGradient<T>, kWide>(op, images, high, wide, ctx);
}

inline int launch_gradients(const polyops_tensor& grad_src, const polyops_tensor& grad_dst,
                            const polyops_pool2d_window& window, const Windows& windows,
                            const polyops_context* ctx) {
  const polyops_tensor* const t[] = {&grad_src, &grad_dst};
  const Images images = images_of(t);
  return with_type(grad_src.dtype, [&]<class T>() {
    const AverageGradient<T> op = gradient_of<T>(grad_src, grad_dst, images, windows.share);
    return with_width<kPack<T>>(t, images, [&](auto width) {
      return launch_gradients<T, width.value>(op, window, images, windows.high, windows.wide, ctx);
    });
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_AVERAGES_H_
