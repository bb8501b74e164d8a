// The average of a window, summed in float32; and the share of an element in a window's gradient:
// that of a window as large as they get, times a row's and a column's weight, most of which are 1.
#ifndef POLYOPS_GPU_POOL2D_AVERAGE_H_
#define POLYOPS_GPU_POOL2D_AVERAGE_H_

#include <cstdint>

#include "calls.h"
#include "gpu.h"
#include "layout.h"
#include "stage_plan.h"
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

template <class T>
struct Average {
  using Element = T;
  template <int kWide>
  using Pool = AveragePool<kWide>;
  static constexpr bool kSlides = true;
  static constexpr bool kPlaces = false;

  const T* src;
  T* dst;
  int64_t src_image, dst_image;
  float share;  // of a window's elements, where its weights are 1

  // The same with results in a block's memory.
  GPU_DEVICE Average staged(const StagedResults<T>& results) const {
    return {src, results.values, src_image, dst_image, share};
  }
  template <class AnyAxis>
  GPU_DEVICE float of_column(int column, const AnyAxis& wide) const {
    return share * wide.weight(column);
  }
  template <int kWide, class AnyAxis>
  GPU_DEVICE void store(const AveragePool<kWide>& pool, int64_t at, int, float of_column, int row,
                        const AnyAxis& high) const {
    const float by = of_column * high.weight(row);
    float x[kWide];
#pragma unroll
    for (int j = 0; j < kWide; ++j) x[j] = pool.sum[j] * by;
    Tap<T, kWide>::store(dst + at, x);
  }
};

template <class T>
struct AverageGradient {
  using Element = T;
  template <int kWide>
  struct Entry {
    float grad[kWide];

    GPU_DEVICE void add_to(float (&sum)[kWide], int) const {
#pragma unroll
      for (int j = 0; j < kWide; ++j) sum[j] += grad[j];
    }
  };

  const T* grad_dst;
  T* grad_src;
  int64_t src_image, dst_image;
  float share;  // of a window's elements, where its weights are 1

  template <class AnyAxis>
  GPU_DEVICE float of_row(int row, const AnyAxis& high) const {
    return share * high.weight(row);
  }
  template <int kWide, class AnyAxis>
  GPU_DEVICE void load(Entry<kWide>* entry, int64_t at, float of_row, int column,
                       const AnyAxis& wide) const {
    Tap<T, kWide> tap;
    tap.load(grad_dst + at);
    tap.get(entry->grad);
    const float by = of_row * wide.weight(column);
#pragma unroll
    for (int j = 0; j < kWide; ++j) entry->grad[j] *= by;
  }
};

template <class T>
Average<T> average_of(const polyops_tensor& src, const polyops_tensor& dst, const Images& images,
                      float share) {
  return {input<T>(src), output<T>(dst), plane(src) * images.channels, plane(dst) * images.channels,
          share};
}
template <class T>
AverageGradient<T> gradient_of(const polyops_tensor& grad_src, const polyops_tensor& grad_dst,
                               const Images& images, float share) {
  return {input<T>(grad_dst), output<T>(grad_src), plane(grad_src) * images.channels,
          plane(grad_dst) * images.channels, share};
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_AVERAGE_H_
