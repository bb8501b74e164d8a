// One convolution with three spatial dimensions, whatever the call has; and the order in which a
// filter's weights lie.
#ifndef POLYOPS_CPU_CONVOLUTION_SHAPE_H_
#define POLYOPS_CPU_CONVOLUTION_SHAPE_H_

#include <cstdint>

#include "numbers.h"
#include "parallel.h"
#include "polyops/ops/convolution.h"

namespace polyops::cpu {
namespace {

constexpr int kSpatial = POLYOPS_MAX_SPATIAL;

// One spatial dimension.
struct Side {
  int64_t in, out, taps, stride, padding, dilation;
};

// Strides of an image tensor, or of a weight: (filters, channels, taps...).
struct Strides {
  int64_t batch, channel, at[kSpatial];
};

// Where a weight is, from the first of its channel.
inline int64_t tap_of(const Strides& weight, int64_t t0, int64_t t1, int64_t t2) {
  return t0 * weight.at[0] + t1 * weight.at[1] + t2 * weight.at[2];
}

struct Shape {
  int64_t batch, groups, channels, filters;  // channels and filters of one group
  Side side[kSpatial];                       // outermost first; the missing ones in front

  int64_t taps() const { return side[0].taps * side[1].taps * side[2].taps; }
  int64_t pixels() const { return side[0].out * side[1].out * side[2].out; }
  double products() const {
    return static_cast<double>(batch) * groups * filters * pixels() * channels * taps();
  }
};

inline Strides strides_of(const polyops_tensor& t) {
  Strides s = {t.strides[0], t.strides[1], {0, 0, 0}};
  const int missing = kSpatial + 2 - t.rank;
  for (int d = missing; d < kSpatial; ++d) s.at[d] = t.strides[d - missing + 2];
  return s;
}

inline Shape shape_of(int32_t groups, const polyops_convolution_window& window,
                      const polyops_tensor& src, const polyops_tensor& weight,
                      const polyops_tensor& dst) {
  Shape shape;
  shape.batch = src.sizes[0];
  shape.groups = groups;
  shape.channels = weight.sizes[1];
  shape.filters = weight.sizes[0] / groups;
  const int missing = kSpatial + 2 - src.rank;
  for (int d = 0; d < kSpatial; ++d) {
    const int from = d - missing;
    shape.side[d] = from < 0
                        ? Side{1, 1, 1, 1, 0, 1}
                        : Side{src.sizes[from + 2], dst.sizes[from + 2],  weight.sizes[from + 2],
                               window.stride[from], window.padding[from], window.dilation[from]};
  }
  return shape;
}

// What a weight alone tells; its images have no size.
inline Shape shape_of_weight(int32_t groups, const polyops_tensor& weight) {
  constexpr polyops_convolution_window kPlain = {{1, 1, 1}, {0, 0, 0}, {1, 1, 1}};
  polyops_tensor none = weight;
  for (int64_t& size : none.sizes) size = 0;
  return shape_of(groups, kPlain, none, weight, none);
}

inline Shape forward_shape(const polyops_convolution_args& a) {
  return shape_of(a.groups, a.window, a.src, a.weight, a.dst);
}

inline Shape backward_shape(const polyops_convolution_backward_args& a) {
  return shape_of(a.groups, a.window, a.src, a.weight, a.grad_dst);
}

// Bytes of an element in the accumulation type.
inline size_t width_of(int32_t dtype) {
  return dtype == POLYOPS_FLOAT64 ? sizeof(double) : sizeof(float);
}

// Rows cut into bands of at most so many, as even as can be.
struct Bands {
  int64_t rows, count;

  Bands(int64_t height, int64_t most_rows) {
    count = ceil_div(height, most_rows);
    rows = ceil_div(height, count);
    count = ceil_div(height, rows);
  }
};

// The largest bands that fit (fits(rows)) and whose number suits; where none of up to `most` does,
// the largest that fit.
template <class Fits, class Suits>
inline Bands choose_bands(int64_t height, int64_t most, const Fits& fits, const Suits& suits) {
  int64_t rows = height;
  while (rows > 1 && !fits(Bands(height, rows).rows)) rows = min_of(rows - 1, rows * 4 / 5);
  const Bands least(height, rows);
  for (int64_t count = least.count; count <= min_of(most, height); ++count) {
    const Bands bands(height, ceil_div(height, count));
    if (suits(bands.count)) return bands;
  }
  return least;
}

inline bool one_dtype(const polyops_convolution_args& a) {
  const int32_t dtype = a.dst.dtype;
  const bool bias = polyops_is_present(&a.bias) == 0 || a.bias.dtype == dtype;
  return a.src.dtype == dtype && a.weight.dtype == dtype && bias;
}

inline bool one_dtype(const polyops_convolution_backward_args& a) {
  bool one = a.src.dtype == a.grad_dst.dtype && a.weight.dtype == a.grad_dst.dtype;
  const polyops_tensor* const gradients[] = {&a.grad_src, &a.grad_weight, &a.grad_bias};
  for (const polyops_tensor* t : gradients) {
    one &= polyops_is_present(t) == 0 || t->dtype == a.grad_dst.dtype;
  }
  return one;
}

// Units of work that a thread gets at least, where one is that many multiply-adds: 5 us of them.
inline int64_t grain_of(double products) {
  constexpr double kLeast = 2.5e5;
  return products >= kLeast ? 1 : static_cast<int64_t>(kLeast / products) + 1;
}

// Calls run(unit, scratch of the thread) for equal units that are `products` multiply-adds
// together.
template <class S, class Run>
inline void for_each_unit(const polyops_context* ctx, int64_t units, double products, S* scratch,
                          int64_t thread_elements, const Run& run) {
  parallel_for(ctx, units, grain_of(products / units),
               [&](int64_t begin, int64_t end, int32_t thread) {
                 for (int64_t i = begin; i < end; ++i) run(i, scratch + thread * thread_elements);
               });
}

// How a filter's weights lie: one behind the other, the taps of a channel or the channels of a tap.
enum class WeightOrder { kTapsLast, kChannelsLast, kNone };

inline WeightOrder weight_order(const Shape& shape, const polyops_tensor& weight) {
  const Strides strides = strides_of(weight);
  const int64_t sizes[4] = {shape.channels, shape.side[0].taps, shape.side[1].taps,
                            shape.side[2].taps};
  const int64_t steps[4] = {strides.channel, strides.at[0], strides.at[1], strides.at[2]};
  constexpr int kDimensions[2][4] = {{0, 1, 2, 3}, {1, 2, 3, 0}};  // of both orders
  for (int order = 0; order < 2; ++order) {
    int64_t extent = 1;
    bool dense = true;
    for (int i = 3; i >= 0; --i) {
      const int d = kDimensions[order][i];
      dense &= sizes[d] == 1 || steps[d] == extent;
      extent *= sizes[d];
    }
    if (dense) return order == 0 ? WeightOrder::kTapsLast : WeightOrder::kChannelsLast;
  }
  return WeightOrder::kNone;
}

template <class Body>
inline void for_each_tap(const Shape& shape, const Body& body) {
  for (int64_t t0 = 0; t0 < shape.side[0].taps; ++t0) {
    for (int64_t t1 = 0; t1 < shape.side[1].taps; ++t1) {
      for (int64_t t2 = 0; t2 < shape.side[2].taps; ++t2) body(t0, t1, t2);
    }
  }
}

// Calls body(k, channel, tap0, tap1, tap2) for the weights of a filter in that order.
template <class Body>
inline void for_each_weight(const Shape& shape, WeightOrder order, const Body& body) {
  int64_t k = 0;
  if (order == WeightOrder::kChannelsLast) {
    for_each_tap(shape, [&](int64_t t0, int64_t t1, int64_t t2) {
      for (int64_t c = 0; c < shape.channels; ++c) body(k++, c, t0, t1, t2);
    });
    return;
  }
  for (int64_t c = 0; c < shape.channels; ++c) {
    for_each_tap(shape, [&](int64_t t0, int64_t t1, int64_t t2) { body(k++, c, t0, t1, t2); });
  }
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_CONVOLUTION_SHAPE_H_
