// Pools of three dimensions that are pools of two: of planes on their own, or of windows that are
// as wide or as high as the image, whose rows then come one behind the other. They go to the
// kernels of those.
#ifndef POLYOPS_GPU_POOL3D_FLAT_H_
#define POLYOPS_GPU_POOL3D_FLAT_H_

#include <cstdint>

#include "polyops/abi.h"
#include "polyops/ops/pool2d.h"
#include "polyops/ops/pool3d.h"
#include "table.h"

namespace polyops::gpu {
namespace {

inline polyops_tensor as_planes(const polyops_tensor& t, int64_t images, int64_t channels,
                                int64_t high, int64_t wide) {
  polyops_tensor flat = t;
  flat.rank = 4;
  const int64_t sizes[4] = {images, channels, high, wide};
  int64_t stride = 1;
  for (int d = 3; d >= 0; --d) {
    flat.sizes[d] = sizes[d];
    flat.strides[d] = stride;
    stride *= sizes[d];
  }
  return flat;
}

// Each plane is an image.
inline polyops_tensor planes_apart(const polyops_tensor& t) {
  return as_planes(t, t.sizes[0] * t.sizes[1], t.sizes[2], t.sizes[3], t.sizes[4]);
}
// Dimension `first` and the next are one.
inline polyops_tensor joined(const polyops_tensor& t, int first) {
  const int64_t* n = t.sizes;
  return first == 2 ? as_planes(t, n[0], n[1], n[2] * n[3], n[4])
                    : as_planes(t, n[0], n[1], n[2], n[3] * n[4]);
}

struct Flat {
  polyops_tensor pooled, result;
  polyops_pool2d_window window;
};

// Both tensors are contiguous. Whether there is such a pool of two dimensions.
inline bool flatten(const polyops_tensor& pooled, const polyops_tensor& result,
                    const polyops_pool3d_window& w, Flat* flat) {
  const auto numbers = [&w](int d, int64_t times, int to, polyops_pool2d_window* out) {
    out->size[to] = w.size[d] * times;
    out->stride[to] = w.stride[d] * times;
    out->padding[to] = w.padding[d] * times;
    out->dilation[to] = 1;
  };
  const auto spans = [&](int d) {
    return w.size[d] == pooled.sizes[2 + d] && w.padding[d] == 0 && result.sizes[2 + d] == 1;
  };
  if (w.size[0] == 1 && w.stride[0] == 1 && w.padding[0] == 0) {
    *flat = {planes_apart(pooled), planes_apart(result), {}};
    numbers(1, 1, 0, &flat->window);
    numbers(2, 1, 1, &flat->window);
    return true;
  }
  if (spans(2)) {
    *flat = {joined(pooled, 3), joined(result, 3), {}};
    numbers(0, 1, 0, &flat->window);
    numbers(1, pooled.sizes[4], 1, &flat->window);
    return true;
  }
  if (spans(1)) {
    *flat = {joined(pooled, 2), joined(result, 2), {}};
    numbers(0, pooled.sizes[3], 0, &flat->window);
    numbers(2, 1, 1, &flat->window);
    return true;
  }
  return false;
}

// The same of windows that lie one behind the other and have one element of a plane.
inline bool flatten_columns(const polyops_tensor& pooled, const polyops_tensor& result,
                            const polyops_pool3d_window& w, Flat* flat) {
  for (int d = 0; d < 3; ++d) {
    if (w.padding[d] != 0 || w.stride[d] != w.size[d] || (d > 0 && w.size[d] != 1)) return false;
  }
  *flat = {joined(pooled, 3), joined(result, 3), {{w.size[0], 1}, {w.size[0], 1}, {0, 0}, {1, 1}}};
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL3D_FLAT_H_
