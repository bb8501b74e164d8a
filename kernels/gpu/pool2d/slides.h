// The launches of averages of windows of 3 and 5 at stride 1, and of their gradients.
#ifndef POLYOPS_GPU_POOL2D_SLIDES_H_
#define POLYOPS_GPU_POOL2D_SLIDES_H_

#include <cstdint>

#include "axis.h"
#include "forward.h"
#include "gpu.h"
#include "layout.h"
#include "packs.h"
#include "polyops/ops/pool2d.h"
#include "slide.h"
#include "stage.h"

namespace polyops::gpu {
namespace {

// For windows that begin less than their size before the image. Whether it was launched, and what
// that returned.
template <class T, int kSize>
bool launch_slide(const T* src, T* dst, float share, const Images& images, bool gathers,
                  const Axis& high, const Axis& wide, const polyops_context* ctx, int* status) {
  if (high.padding >= kSize || wide.padding >= kSize) return false;
  const auto launch = [&]<Weights kWeights>() {
    Slide<T, kSize, kWeights> work = {src,
                                      dst,
                                      share,
                                      gathers ? high.out : high.in,
                                      gathers ? wide.out : wide.in,
                                      gathers ? high.in : high.out,
                                      gathers ? wide.in : wide.out,
                                      gathers ? kSize - 1 - high.padding : high.padding,
                                      gathers ? kSize - 1 - wide.padding : wide.padding,
                                      false,
                                      high,
                                      wide};
    work.paired = work.out_wide % 2 == 0 && reinterpret_cast<uintptr_t>(dst) % (2 * sizeof(T)) == 0;
    if constexpr (kSize == 3) {
      if (launch_row_packs(work, images, ctx, status)) return true;
    }
    const Stage stage =
        make_stage(ctx, images.count, {work.in_high, work.in_wide, sizeof(T)},
                   {work.out_high, work.out_wide, sizeof(T)}, (work.out_wide + 1) / 2,
                   work.out_high, {1, -work.above, kSize, 1});
    if (stage.slab_units == 0) return false;
    *status = launch_stage(work, stage, ctx);
    return true;
  };
  if (high.even && wide.even) return launch.template operator()<Weights::kNone>();
  return gathers ? launch.template operator()<Weights::kOfTaps>()
                 : launch.template operator()<Weights::kOfResults>();
}

// Of a contiguous image's windows, if they are of that kind.
template <class T>
bool launch_slide(const T* src, T* dst, float share, const polyops_pool2d_window& window,
                  const Images& images, bool gathers, const Axis& high, const Axis& wide,
                  const polyops_context* ctx, int* status) {
  if (images.channels != 1) return false;
  const auto launch = [&]<int kSize>() {
    return is_square(window, kSize, 1) &&
           launch_slide<T, kSize>(src, dst, share, images, gathers, high, wide, ctx, status);
  };
  return launch.template operator()<3>() || launch.template operator()<5>();
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_SLIDES_H_
