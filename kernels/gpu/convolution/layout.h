// What the kernels of depthwise convolutions share: sizes in 32 bits, how tensors lie, and what may
// be asked for. A signal of one dimension is an image of one row.
#ifndef POLYOPS_GPU_CONVOLUTION_LAYOUT_H_
#define POLYOPS_GPU_CONVOLUTION_LAYOUT_H_

#include <cstdint>

#include "gpu.h"
#include "polyops/ops/convolution.h"
#include "polyops/tensor_view.h"

namespace polyops::gpu {
namespace {

using ForwardArgs = polyops_convolution_args;
using BackwardArgs = polyops_convolution_backward_args;

// Result o reads in at o stride - padding + t dilation.
struct Axis {
  int32_t in, out, taps, stride, padding, dilation;
};

// Filters f * multiple ... belong to channel f.
struct Shape {
  int32_t batch, channels, multiple;
  Axis h, w;

  GPU_DEVICE int32_t filters() const { return channels * multiple; }
  GPU_DEVICE int32_t taps() const { return h.taps * w.taps; }
  GPU_DEVICE int32_t in() const { return h.in * w.in; }
  GPU_DEVICE int32_t out() const { return h.out * w.out; }
};

// Of a tensor (batch, channels, [height,] width).
struct Strides {
  int64_t n, c, h, w;
  GPU_DEVICE int64_t at(int64_t i, int64_t j, int64_t y, int64_t x) const {
    return i * n + j * c + y * h + x * w;
  }
};

inline Strides strides_of(const polyops_tensor& t) {
  const int last = t.rank - 1;
  return {t.strides[0], t.strides[1], last == 3 ? t.strides[2] : 0, t.strides[last]};
}

inline Axis axis_of(const polyops_convolution_window& window, const polyops_tensor& src,
                    const polyops_tensor& weight, const polyops_tensor& dst, int d) {
  const auto narrow = [](int64_t x) { return static_cast<int32_t>(x); };
  return {narrow(src.sizes[d + 2]), narrow(dst.sizes[d + 2]),  narrow(weight.sizes[d + 2]),
          narrow(window.stride[d]), narrow(window.padding[d]), narrow(window.dilation[d])};
}

inline Shape shape_of(const polyops_convolution_window& window, const polyops_tensor& src,
                      const polyops_tensor& weight, const polyops_tensor& dst) {
  const bool row = src.rank == 3;
  const auto channels = static_cast<int32_t>(src.sizes[1]);
  return {static_cast<int32_t>(src.sizes[0]), channels,
          static_cast<int32_t>(weight.sizes[0]) / channels,
          row ? Axis{1, 1, 1, 1, 0, 1} : axis_of(window, src, weight, dst, 0),
          axis_of(window, src, weight, dst, src.rank - 3)};
}
inline Shape shape_of(const ForwardArgs& a) { return shape_of(a.window, a.src, a.weight, a.dst); }
inline Shape shape_of(const BackwardArgs& a) {
  return shape_of(a.window, a.src, a.weight, a.grad_dst);
}

// ---- What may be asked for.

// Places in an image and its padding, and elements of a tensor, are counted in 32 bits, sums of a
// few of them too.
constexpr int64_t kMostPlace = int64_t{1} << 28;
constexpr int64_t kMostCount = (int64_t{1} << 31) - (1 << 24);

// Why a call is declined, whose tensors have the sizes that convolution.h asks for. Dense ones,
// which are most, by the first line.
inline const char* depthwise_reason(const polyops_convolution_window& window, int32_t groups,
                                    const polyops_tensor& src, const polyops_tensor& weight,
                                    const polyops_tensor& dst) {
  if (groups == 1 || weight.sizes[1] != 1) return "not depthwise";
  if (src.rank > 4) return "rank";
  if (!has_type(src.dtype) || weight.dtype != src.dtype || dst.dtype != src.dtype) return "dtype";
  for (const polyops_tensor* t : {&src, &dst, &weight}) {
    if (polyops_numel(t) > kMostCount) return "shape";
  }
  for (int d = 0; d < src.rank - 2; ++d) {
    const int64_t reach = window.dilation[d] * (weight.sizes[d + 2] - 1);
    if (src.sizes[d + 2] + 2 * window.padding[d] > kMostPlace || reach > kMostPlace ||
        window.stride[d] > kMostPlace) {
      return "window";
    }
  }
  return nullptr;
}

inline const char* optional_reason(const polyops_tensor& t, int32_t dtype) {
  return polyops_is_present(&t) && t.dtype != dtype ? "dtype" : nullptr;
}

inline const char* supports_any(const void* p) {
  const auto& a = *static_cast<const ForwardArgs*>(p);
  if (const char* reason = depthwise_reason(a.window, a.groups, a.src, a.weight, a.dst)) {
    return reason;
  }
  return optional_reason(a.bias, a.src.dtype);
}

inline const char* backward_supports_any(const void* p) {
  const auto& a = *static_cast<const BackwardArgs*>(p);
  if (const char* reason = depthwise_reason(a.window, a.groups, a.src, a.weight, a.grad_dst)) {
    return reason;
  }
  for (const polyops_tensor* t : {&a.grad_src, &a.grad_weight, &a.grad_bias}) {
    if (const char* reason = optional_reason(*t, a.src.dtype)) return reason;
  }
  return nullptr;
}

// ---- How images lie.

// Pixels of channels, in whole packs, one after the other.
inline bool is_last(const polyops_tensor& t) {
  if (t.sizes[1] % (16 / polyops_dtype_size(t.dtype)) != 0) return false;
  int64_t expected = 1;
  const int last = t.rank - 1;
  for (const int d : {1, last, last == 3 ? 2 : 0, 0}) {
    if (t.sizes[d] != 1 && t.strides[d] != expected) return false;
    if (d == 0) break;
    expected *= t.sizes[d];
  }
  return true;
}

// A filter's taps in memory, backwards where a gradient is gathered.
template <class T>
struct Taps {
  const T* data;
  int64_t c, h, w;
  GPU_DEVICE float at(int64_t channel, int y, int x) const {
    return widen(data[channel * c + y * h + x * w]);
  }
};
template <class T>
Taps<T> taps_of(const polyops_tensor& weight) {
  const Strides s = strides_of(weight);
  return {static_cast<const T*>(weight.data), s.n, s.h, s.w};
}
template <class T>
Taps<T> turned(Taps<T> taps, const Shape& shape) {
  taps.data += (shape.h.taps - 1) * taps.h + (shape.w.taps - 1) * taps.w;
  taps.h = -taps.h;
  taps.w = -taps.w;
  return taps;
}

// A bias, or none.
template <class T>
struct Bias {
  const T* data;
  int64_t stride;
  GPU_DEVICE float at(int64_t filter) const {
    return data == nullptr ? 0.0f : widen(data[filter * stride]);
  }
};
template <class T>
Bias<T> bias_of(const polyops_tensor& t) {
  if (!polyops_is_present(&t)) return {nullptr, 0};
  return {static_cast<const T*>(t.data), t.strides[0]};
}

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_LAYOUT_H_
