// The windows of three dimensions that kernels are made for: as high as they are wide, and of a
// depth of their own.
#ifndef POLYOPS_GPU_MAX_POOL_WINDOWS_H_
#define POLYOPS_GPU_MAX_POOL_WINDOWS_H_

#include <cstdint>

#include "gpu.h"
#include "polyops/ops/pool3d.h"

namespace polyops::gpu {
namespace {

// kDeepSize, kDeepStride: of the depth.
template <int kDeepSize_, int kDeepStride_, int kSize_, int kStride_>
struct Cube {
  static constexpr int kDeepSize = kDeepSize_, kDeepStride = kDeepStride_;
  static constexpr int kSize = kSize_, kStride = kStride_;

  static bool is(const polyops_pool3d_window& w) {
    bool same = w.size[0] == kDeepSize && w.stride[0] == kDeepStride && w.dilation[0] == 1;
    for (int d = 1; d < 3; ++d) {
      same = same && w.size[d] == kSize && w.stride[d] == kStride && w.dilation[d] == 1;
    }
    return same;
  }
};

// What stands for a place of a dimension that is beside it.
GPU_DEVICE int nearest(int at, int n) { return at < 0 ? 0 : at < n ? at : n - 1; }

// Whether the window is one of those, for which f.operator()<Cube>() was called.
template <class F>
bool with_cube(const polyops_pool3d_window& w, F f) {
  const auto is = [&]<class C>() { return C::is(w) && (f.template operator()<C>(), true); };
  return is.template operator()<Cube<3, 2, 3, 2>>() || is.template operator()<Cube<2, 2, 2, 2>>() ||
         is.template operator()<Cube<3, 1, 3, 1>>() || is.template operator()<Cube<1, 1, 3, 2>>() ||
         is.template operator()<Cube<1, 1, 2, 2>>();
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_MAX_POOL_WINDOWS_H_
