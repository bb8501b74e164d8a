// One dimension of a pool, depth, height or width: which elements a window has, and which windows
// an element is in. Two kinds with the same functions: windows of one size, and those that share a
// dimension out among a given number of results.
#ifndef POLYOPS_GPU_POOL2D_AXIS_H_
#define POLYOPS_GPU_POOL2D_AXIS_H_

#include <cmath>
#include <cstdint>

#include "division.h"
#include "gpu.h"

namespace polyops::gpu {
namespace {

// Right to the last place.
GPU_DEVICE float reciprocal(float x) {
  const float near = reciprocal_fast(x);
  return fmaf(near, fmaf(-x, near, 1.0f), near);
}

struct Axis {
  int in, out;  // elements and windows
  int size, padding, dilation;
  Division stride;
  bool counts_padding;  // in an average's divisor
  bool even;            // all windows have the same there
  int first_full;       // of those that have all of their size there
  uint32_t full;        // how many they are, side by side

  Axis() = default;
  template <class Window>  // of two dimensions, or three
  Axis(int64_t elements, int64_t windows, const Window& w, int dim, bool counts)
      : in(static_cast<int>(elements)),
        out(static_cast<int>(windows)),
        size(static_cast<int>(w.size[dim])),
        padding(static_cast<int>(w.padding[dim])),
        dilation(static_cast<int>(w.dilation[dim])),
        stride(static_cast<uint32_t>(w.stride[dim])),
        counts_padding(counts) {
    const int64_t beyond = (windows - 1) * w.stride[dim] + w.size[dim];
    even = beyond <= elements + (counts ? 2 * w.padding[dim] : 0) && (counts || padding == 0);
    const int64_t step = w.stride[dim], before = counts ? 0 : w.padding[dim];
    const int64_t room = elements + w.padding[dim] + (counts ? w.padding[dim] : 0) - w.size[dim];
    const int64_t from = (before + step - 1) / step, end = room < 0 ? 0 : room / step + 1;
    first_full = static_cast<int>(from);
    full = static_cast<uint32_t>(end > from ? end - from : 0);
  }

  GPU_DEVICE int step() const { return dilation; }
  GPU_DEVICE int reach() const { return (size - 1) * dilation + 1; }
  GPU_DEVICE int start(int window) const {
    return window * static_cast<int>(stride.divisor) - padding;
  }
  // Of the taps in the image the first, and where they end.
  GPU_DEVICE int first_tap(int window) const {
    int at = start(window);
    while (at < 0) at += dilation;
    return at;
  }
  // The same of windows without dilation.
  GPU_DEVICE int first_inside(int window) const {
    const int at = start(window);
    return at > 0 ? at : 0;
  }
  GPU_DEVICE int taps_end(int window) const {
    const int end = start(window) + reach();
    return end < in ? end : in;
  }
  // What the window has in an average's divisor.
  GPU_DEVICE int counted(int window) const {
    const int begin = start(window), most = in + (counts_padding ? padding : 0);
    const int end = begin + size < most ? begin + size : most;
    return end - (begin < 0 && !counts_padding ? 0 : begin);
  }
  // By which a sum's share grows because the window has fewer than its size; mostly 1.
  GPU_DEVICE float weight(int window) const {
    if (even || static_cast<uint32_t>(window - first_full) < full) return 1;
    const int count = counted(window);
    return count == size ? 1 : static_cast<float>(size) * reciprocal(static_cast<float>(count));
  }
  // The windows that reach over an element.
  GPU_DEVICE int first_window(int element) const {
    const int behind = element + padding - reach();
    return behind < 0 ? 0 : static_cast<int>(stride.quotient(behind)) + 1;
  }
  GPU_DEVICE int windows_end(int element) const {
    const int end = static_cast<int>(stride.quotient(element + padding)) + 1;
    return end < out ? end : out;
  }
};

// Whether windows are of 3 elements, at every place.
inline bool keeps_size(const Axis& axis) {
  return axis.size == 3 && axis.stride.divisor == 1 && axis.padding == 1 && axis.dilation == 1 &&
         axis.in == axis.out;
}

struct AdaptiveAxis {
  int in, out;
  Division by_in, by_out;

  AdaptiveAxis() = default;
  AdaptiveAxis(int64_t elements, int64_t windows)
      : in(static_cast<int>(elements)),
        out(static_cast<int>(windows)),
        by_in(static_cast<uint32_t>(elements)),
        by_out(static_cast<uint32_t>(windows)) {}

  GPU_DEVICE int step() const { return 1; }
  GPU_DEVICE int first_tap(int window) const {
    return static_cast<int>(by_out.quotient(window * in));
  }
  GPU_DEVICE int first_inside(int window) const { return first_tap(window); }
  GPU_DEVICE int taps_end(int window) const {
    return static_cast<int>(by_out.quotient((window + 1) * in + out - 1));
  }
  // Of a window's elements.
  GPU_DEVICE float weight(int window) const {
    return reciprocal(static_cast<float>(taps_end(window) - first_tap(window)));
  }
  GPU_DEVICE int first_window(int element) const {
    return static_cast<int>(by_in.quotient(element * out));
  }
  GPU_DEVICE int windows_end(int element) const {
    return static_cast<int>(by_in.quotient((element + 1) * out + in - 1));
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_AXIS_H_
