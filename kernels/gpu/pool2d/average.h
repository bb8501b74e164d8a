// The average of a window, summed in float32; and the share of an element in a window's gradient. What
// a window's number of elements divides is multiplied by its inverse: a division per element took more
// registers than there were.
#ifndef POLYOPS_GPU_POOL2D_AVERAGE_H_
#define POLYOPS_GPU_POOL2D_AVERAGE_H_

#include <cmath>
#include <cstdint>

#include "gpu.h"
#include "tap.h"

namespace polyops::gpu {
namespace {

template <int kWide>
struct AveragePool {
  static constexpr float kAbsent = 0;
  float sum[kWide] = {};

  GPU_DEVICE void begin(const float (&x)[kWide], int) {
#pragma unroll
    for (int j = 0; j < kWide; ++j) sum[j] = x[j];
  }
  GPU_DEVICE void add(const float (&x)[kWide], int) {
#pragma unroll
    for (int j = 0; j < kWide; ++j) sum[j] += x[j];
  }
  GPU_DEVICE void merge(const AveragePool& next) {
#pragma unroll
    for (int j = 0; j < kWide; ++j) sum[j] += next.sum[j];
  }
};

// By which a window's sum is multiplied, right to the last place. divisor: 0 where it is the number of
// elements.
template <class AnyAxis>
GPU_DEVICE float share_of(float divisor, int row, int column, const AnyAxis& high,
                          const AnyAxis& wide) {
  const float by =
      divisor != 0 ? divisor : static_cast<float>(high.counted(row) * wide.counted(column));
  const float near = reciprocal_fast(by);
  return fmaf(near, fmaf(-by, near, 1.0f), near);
}

template <class T>
struct Average {
  using Element = T;
  template <int kWide>
  using Pool = AveragePool<kWide>;

  const T* src;
  T* dst;
  int64_t src_image, dst_image;
  float divisor;

  template <int kWide, class AnyAxis>
  GPU_DEVICE void store(const AveragePool<kWide>& pool, int64_t at, int, int row, int column,
                        const AnyAxis& high, const AnyAxis& wide) const {
    const float share = share_of(divisor, row, column, high, wide);
    float x[kWide];
#pragma unroll
    for (int j = 0; j < kWide; ++j) x[j] = pool.sum[j] * share;
    Tap<T, kWide>::store(dst + at, x);
  }
};

template <class T>
struct AverageGradient {
  using Element = T;
  template <int kWide>
  struct Entry {
    float grad[kWide];

    GPU_DEVICE void clear() {
#pragma unroll
      for (int j = 0; j < kWide; ++j) grad[j] = 0;
    }
    GPU_DEVICE void add_to(float (&sum)[kWide], int) const {
#pragma unroll
      for (int j = 0; j < kWide; ++j) sum[j] += grad[j];
    }
  };

  const T* grad_dst;
  T* grad_src;
  int64_t src_image, dst_image;
  float divisor;

  template <int kWide, class AnyAxis>
  GPU_DEVICE void load(Entry<kWide>* entry, int64_t at, int row, int column, const AnyAxis& high,
                       const AnyAxis& wide) const {
    Tap<T, kWide> tap;
    tap.load(grad_dst + at);
    tap.get(entry->grad);
    const float share = share_of(divisor, row, column, high, wide);
#pragma unroll
    for (int j = 0; j < kWide; ++j) entry->grad[j] *= share;
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_AVERAGE_H_
