// Images of two or three dimensions as the pools of largest elements see them: three axes, of which
// an image of two has a depth of 1.
#ifndef POLYOPS_GPU_MAX_POOL_VOLUME_H_
#define POLYOPS_GPU_MAX_POOL_VOLUME_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "pool2d/axis.h"
#include "pool2d/calls.h"
#include "pool2d/largest.h"
#include "pool2d/layout.h"
#include "pool3d/layout.h"

namespace polyops::gpu {
namespace {

// Of depth, height and width.
inline int64_t size_of(const polyops_tensor& t, int axis) {
  const int d = t.rank - 3 + axis;
  return d < 2 ? 1 : t.sizes[d];
}
inline int64_t places_of(const polyops_tensor& t) {
  return size_of(t, 0) * size_of(t, 1) * size_of(t, 2);
}

template <class AnyAxis>
struct Axes {
  AnyAxis deep, high, wide;
  Division frames, columns;  // of results

  Axes(const AnyAxis& d, const AnyAxis& h, const AnyAxis& w)
      : deep(d),
        high(h),
        wide(w),
        frames(static_cast<uint32_t>(d.out)),
        columns(static_cast<uint32_t>(w.out)) {}

  GPU_DEVICE int place(int d, int h, int w) const { return (d * high.in + h) * wide.in + w; }
  GPU_DEVICE int result(int d, int h, int w) const { return (d * high.out + h) * wide.out + w; }
};

// The elements of a window, or the windows of an element.
struct Range {
  int begin, end;

  GPU_DEVICE int count() const { return end - begin; }
};
template <class AnyAxis>
GPU_DEVICE Range taps_of(const AnyAxis& axis, int window) {
  return {axis.first_tap(window), axis.taps_end(window)};
}
template <class AnyAxis>
GPU_DEVICE Range windows_of(const AnyAxis& axis, int first, int last) {
  return {axis.first_window(first), axis.windows_end(last)};
}

template <int kTensors>
const char* check_volumes(const polyops_tensor* const (&t)[kTensors], int rank) {
  bool last = true;
  for (const polyops_tensor* each : t) {
    if (each->rank != rank) return "rank";
    if (polyops_numel(each) > kMostElements) return "size";
    last = last && is_channels_last(*each);
  }
  return last || all_contiguous(t) ? nullptr : "layout";
}

inline const char* check_types(const polyops_tensor& src, const polyops_tensor& dst,
                               const polyops_tensor& indices) {
  const bool good = has_type(src.dtype) && dst.dtype == src.dtype && indices.dtype == POLYOPS_INT64;
  return good ? nullptr : "dtype";
}

template <class T>
Largest<T> largest_of(const polyops_tensor& src, const polyops_tensor& dst,
                      const polyops_tensor& indices, const Images& images) {
  return {input<T>(src),
          output<T>(dst),
          output<int64_t>(indices),
          places_of(src) * images.channels,
          places_of(dst) * images.channels,
          false};
}
template <class T>
LargestGradient<T> largest_gradient_of(const polyops_tensor& grad_src,
                                       const polyops_tensor& grad_dst,
                                       const polyops_tensor& indices, const Images& images) {
  return {input<T>(grad_dst), input<int64_t>(indices), output<T>(grad_src),
          places_of(grad_src) * images.channels, places_of(grad_dst) * images.channels};
}

// Threads of kWide channels each, one per result, or several in a column of them.
template <int kWide>
Grid frames_grid(const polyops_context* ctx, const Images& images, int64_t frames, int64_t columns,
                 int64_t rows) {
  return make_grid(ctx, {images.count * frames, images.channels}, kWide, columns, rows, 1);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_MAX_POOL_VOLUME_H_
