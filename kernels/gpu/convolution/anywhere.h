// Depthwise convolutions of any sizes, windows and strides: a result per thread, its taps one by
// one through the cache. For what the other kernels leave.
#ifndef POLYOPS_GPU_CONVOLUTION_ANYWHERE_H_
#define POLYOPS_GPU_CONVOLUTION_ANYWHERE_H_

#include "layout.h"

namespace polyops::gpu {
namespace {

constexpr int kAnywhereThreads = 256;

// Which element a thread has: the last dimension or the channels next to each other, as in memory.
struct Element {
  int32_t n, c, h, w;

  Element() = default;
  GPU_DEVICE Element(uint32_t index, uint32_t channels, uint32_t height, uint32_t width,
                     bool last) {
    if (last) {
      c = static_cast<int32_t>(index % channels);
      index /= channels;
    }
    w = static_cast<int32_t>(index % width);
    index /= width;
    h = static_cast<int32_t>(index % height);
    index /= height;
    if (!last) {
      c = static_cast<int32_t>(index % channels);
      index /= channels;
    }
    n = static_cast<int32_t>(index);
  }
};

template <class T>
struct AnywhereCall {
  Shape shape;
  const T* src;
  T* dst;
  Strides from, to;
  Taps<T> taps;  // of filters
  Bias<T> bias;
  int64_t count;  // of dst
  bool last;      // channels are what lies next to each other in dst
};

// kAtOnce: taps of a row; of what happens seldom 1, which is less code.
template <int kAtOnce = 4, class T>
GPU_DEVICE float convolve_at(const AnywhereCall<T>& call, const Element& e) {
  const Shape& s = call.shape;
  float sum = call.bias.at(e.c);
#pragma unroll 1
  for (int32_t i = 0; i < s.h.taps; ++i) {
    const int32_t y = e.h * s.h.stride - s.h.padding + i * s.h.dilation;
    if (y < 0 || y >= s.h.in) continue;
#pragma unroll(kAtOnce)
    for (int32_t j = 0; j < s.w.taps; ++j) {
      const int32_t x = e.w * s.w.stride - s.w.padding + j * s.w.dilation;
      if (x < 0 || x >= s.w.in) continue;
      const float value = widen(call.src[call.from.at(e.n, e.c / s.multiple, y, x)]);
      sum = fmaf(value, call.taps.at(e.c, i, j), sum);
    }
  }
  return sum;
}

template <class T>
GPU_KERNEL(kAnywhereThreads)
convolve_anywhere(AnywhereCall<T> call) {
  await_earlier();
  const int64_t index = block_id() * block_threads() + thread_id();
  if (index >= call.count) return;
  const Shape& s = call.shape;
  const Element e(static_cast<uint32_t>(index), s.filters(), s.h.out, s.w.out, call.last);
  call.dst[call.to.at(e.n, e.c, e.h, e.w)] = narrow<T>(convolve_at(call, e));
}

// The result that reads `place` by a tap; negative: none does.
GPU_DEVICE int32_t reader(const Axis& axis, int32_t place, int32_t tap) {
  const int32_t from = place + axis.padding - tap * axis.dilation;
  if (from < 0 || from % axis.stride != 0) return -1;
  const int32_t out = from / axis.stride;
  return out < axis.out ? out : -1;
}

// src: the gradient of the result; dst: that of the input.
template <class T>
GPU_KERNEL(kAnywhereThreads)
gather_anywhere(AnywhereCall<T> call) {
  await_earlier();
  const int64_t index = block_id() * block_threads() + thread_id();
  if (index >= call.count) return;
  const Shape& s = call.shape;
  const Element e(static_cast<uint32_t>(index), s.channels, s.h.in, s.w.in, call.last);
  float sum = 0;
  for (int32_t m = 0; m < s.multiple; ++m) {
    const int64_t filter = int64_t{e.c} * s.multiple + m;
    for (int32_t i = 0; i < s.h.taps; ++i) {
      const int32_t y = reader(s.h, e.h, i);
      if (y < 0) continue;
      for (int32_t j = 0; j < s.w.taps; ++j) {
        const int32_t x = reader(s.w, e.w, j);
        if (x < 0) continue;
        const float grad = widen(call.src[call.from.at(e.n, filter, y, x)]);
        sum = fmaf(grad, call.taps.at(filter, i, j), sum);
      }
    }
  }
  call.dst[call.to.at(e.n, e.c, e.h, e.w)] = narrow<T>(sum);
}

template <class T>
int launch_anywhere(void (*kernel)(AnywhereCall<T>), AnywhereCall<T> call,
                    const polyops_tensor& dst, const polyops_context* ctx) {
  call.dst = static_cast<T*>(dst.data);
  call.to = strides_of(dst);
  call.count = polyops_numel(&dst);
  call.last = dst.strides[1] == 1 && dst.strides[dst.rank - 1] != 1;
  return launch(kernel, {ceil_div(call.count, kAnywhereThreads), kAnywhereThreads}, ctx, call);
}

inline int forward_anywhere(const void* p, const polyops_context* ctx) {
  const auto& a = *static_cast<const ForwardArgs*>(p);
  return with_type(a.src.dtype, [&]<class T>() {
    const AnywhereCall<T> call = {shape_of(a),
                                  static_cast<const T*>(a.src.data),
                                  nullptr,
                                  strides_of(a.src),
                                  {},
                                  taps_of<T>(a.weight),
                                  bias_of<T>(a.bias),
                                  0,
                                  false};
    return launch_anywhere(convolve_anywhere<T>, call, a.dst, ctx);
  });
}

inline int input_anywhere(const BackwardArgs& a, const polyops_context* ctx) {
  return with_type(a.src.dtype, [&]<class T>() {
    const AnywhereCall<T> call = {shape_of(a),  static_cast<const T*>(a.grad_dst.data),
                                  nullptr,      strides_of(a.grad_dst),
                                  {},           taps_of<T>(a.weight),
                                  {nullptr, 0}, 0,
                                  false};
    return launch_anywhere(gather_anywhere<T>, call, a.grad_src, ctx);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_ANYWHERE_H_
