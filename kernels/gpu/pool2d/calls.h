// What the pools' launches share: which calls are taken, and the two ways of going through
// channels.
#ifndef POLYOPS_GPU_POOL2D_CALLS_H_
#define POLYOPS_GPU_POOL2D_CALLS_H_

#include <cstdint>
#include <type_traits>

#include "axis.h"
#include "gpu.h"
#include "layout.h"

namespace polyops::gpu {
namespace {

constexpr int64_t kMostPlaces = (int64_t{1} << 31) - 1;

// That no place of a tap, in the image or outside, is beyond 32 bits. Window: of two dimensions, or
// three.
template <class Window>
const char* check_window(const Window& w, const polyops_tensor& src, const polyops_tensor& dst) {
  for (int d = 0; d < static_cast<int>(std::extent_v<decltype(w.size)>); ++d) {
    if (w.size[d] < 1 || w.stride[d] < 1 || w.dilation[d] < 1 || w.padding[d] < 0) return "window";
    if (w.size[d] > kMostElements || w.stride[d] > kMostElements || w.padding[d] > kMostElements ||
        w.dilation[d] > kMostElements / w.size[d]) {
      return "size";
    }
    const int64_t reach = (w.size[d] - 1) * w.dilation[d] + 1;
    const int64_t most = src.sizes[2 + d] + 2 * w.padding[d] + reach + w.dilation[d];
    if (most > kMostPlaces || (dst.sizes[2 + d] - 1) * w.stride[d] > kMostPlaces - most) {
      return "size";
    }
  }
  return nullptr;
}

inline int64_t plane(const polyops_tensor& t) { return t.sizes[2] * t.sizes[3]; }

// Calls f(a constant), how many channels a thread has: kMost, or one.
template <int kMost, int kTensors, class F>
int with_width(const polyops_tensor* const (&t)[kTensors], const Images& images, F f) {
  if (goes_by_packs(t, images, kMost)) return f(std::integral_constant<int, kMost>());
  return f(std::integral_constant<int, 1>());
}

template <class T>
const T* input(const polyops_tensor& t) {
  return static_cast<const T*>(t.data);
}
template <class T>
T* output(const polyops_tensor& t) {
  return static_cast<T*>(t.data);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_CALLS_H_
