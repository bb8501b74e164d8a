// Depthwise: one channel per group, so that a filter is a sum of shifted images. Channel by channel
// (and band by band of rows, what fits the L1 cache), src goes into a padded copy, where each tap
// is one shift of all positions. Rows of some length and kernels of some heights take
// depthwise_rows.h; here, each tap costs one load and one multiply-add per vector of positions.
#ifndef POLYOPS_CPU_CONVOLUTION_DEPTHWISE_H_
#define POLYOPS_CPU_CONVOLUTION_DEPTHWISE_H_

#include <cstddef>
#include <cstdint>

#include "convolution/depthwise_rows.h"
#include "convolution/padded.h"
#include "convolution/shape.h"
#include "parallel.h"

namespace polyops::cpu {
namespace {

// Elements of a padded band and of its results, in the accumulation type.
constexpr int64_t kBandElements = 5120;
// Sums in flight: latency 4 at two per cycle; the AVX2 build has half the registers.
template <class V>
constexpr int kDepthwiseVectors = V::kRegisters >= 32 ? 12 : 8;

struct DepthwisePlan {
  Shape shape;
  int64_t rows, bands;  // of dimension 1 of the result
  Padded padded;        // of a band
  int64_t padded_elements, position_elements, weight_elements;

  // The band's copy, its positions and its weights, for each thread.
  int64_t thread_elements() const { return padded_elements + position_elements + weight_elements; }
  Padded of_band(int64_t band) const { return polyops::cpu::band_of(shape, padded, band * rows); }
};

inline DepthwisePlan depthwise_plan(const Shape& shape) {
  DepthwisePlan plan;
  plan.shape = shape;
  plan.rows = shape.side[1].out;
  plan.padded = padded_of(shape, 0, plan.rows);
  while (plan.rows > 4 && plan.padded.size() + plan.padded.positions() > kBandElements) {
    plan.rows = ceil_div(plan.rows, 2);
    plan.padded = padded_of(shape, 0, plan.rows);
  }
  plan.bands = ceil_div(shape.side[1].out, plan.rows);
  plan.padded_elements = rounded_up(plan.padded.size() + kOverread);
  // All rows of a phase: the gradient of the weight brings grad_dst to the same positions.
  const Padded::Axis* a = plan.padded.axis;
  plan.position_elements = rounded_up(a[0].extent * a[1].extent * a[2].extent + kOverread);
  plan.weight_elements = rounded_up(shape.taps());
  return plan;
}

inline void list_taps(const Shape& shape, const Padded& padded, const Strides& weight, Tap* taps) {
  for_each_tap(shape, [&](int64_t t0, int64_t t1, int64_t t2) {
    *taps++ = {tap_of(weight, t0, t1, t2), padded.shift(t0, t1, t2)};
  });
}

// kVectors vectors of positions.
template <class V, int kVectors, class S>
inline void sum_taps(const S* padded, const Tap* taps, const S* weights, int64_t count, V start,
                     S* dst) {
  V acc[kVectors];
#pragma GCC unroll 12
  for (int v = 0; v < kVectors; ++v) acc[v] = start;
  for (int64_t t = 0; t < count; ++t) {
    const V weight = V::set1(weights[t]);
    const S* from = padded + taps[t].shift;
#pragma GCC unroll 12
    for (int v = 0; v < kVectors; ++v) acc[v] = fma(weight, load<V>(from + v * V::kLanes), acc[v]);
  }
#pragma GCC unroll 12
  for (int v = 0; v < kVectors; ++v) store(dst + v * V::kLanes, acc[v]);
}

template <class V, class S>
void sum_all_taps(const S* padded, const Tap* taps, const S* weights, int64_t count, S start,
                  int64_t positions, S* dst) {
  constexpr int kMost = kDepthwiseVectors<V>;
  const V first = V::set1(start);
  int64_t j = 0, vectors = ceil_div(positions, V::kLanes);
  for (; vectors >= kMost; vectors -= kMost, j += kMost * V::kLanes) {
    sum_taps<V, kMost>(padded + j, taps, weights, count, first, dst + j);
  }
  for (; vectors >= 4; vectors -= 4, j += 4 * V::kLanes) {
    sum_taps<V, 4>(padded + j, taps, weights, count, first, dst + j);
  }
  for (; vectors > 0; --vectors, j += V::kLanes) {
    sum_taps<V, 1>(padded + j, taps, weights, count, first, dst + j);
  }
}

// A depthwise convolution of stride, padding and taps as the plan says; the weights may be those of
// a gradient, whose taps are listed backwards.
template <class E>
struct DepthwiseImages {
  const E* src;
  Strides src_strides;
  const E* weight;
  int64_t filter_stride;
  const E* bias;  // nullptr: none
  int64_t bias_stride;
  E* dst;
  Strides dst_strides;
};

template <class V, class E>
struct DepthwiseForward {
  using S = typename V::Scalar;
  const DepthwiseImages<E>& images;
  const DepthwisePlan& plan;
  const Tap* taps;
  RowKernel<V, E> rows;  // nullptr: by positions
  const S* zeros;        // nullptr: by way of the padded copy

  void run(const PadPlan& pad, int64_t item, int64_t group, int64_t band, S* scratch) const {
    const Padded& padded = pad.padded;
    S* positions = scratch + plan.padded_elements;
    S* weights = positions + plan.position_elements;
    const int64_t count = plan.shape.taps();
    const Strides &src = images.src_strides, &dst = images.dst_strides;
    const E* channel = images.src + item * src.batch + group * src.channel;
    if (zeros == nullptr) pad_channel<V>(pad, channel, scratch);
    for (int64_t f = 0; f < plan.shape.filters; ++f) {
      const int64_t filter = group * plan.shape.filters + f;
      const E* w = images.weight + filter * images.filter_stride;
      for (int64_t t = 0; t < count; ++t) weights[t] = get(w + taps[t].weight);
      const S start =
          images.bias == nullptr ? S{0} : get(images.bias + filter * images.bias_stride);
      E* out = images.dst + item * dst.batch + filter * dst.channel + band * plan.rows * dst.at[1];
      if (rows != nullptr) {
        rows({padded, scratch, taps, weights, start, out, dst.at[1], as_rows(channel), src.at[1],
              zeros});
        continue;
      }
      sum_all_taps<V>(scratch, taps, weights, count, start, padded.positions(), positions);
      unpad<V>(padded, 0, padded.positions(), positions, out, dst.at);
    }
  }

  static const S* as_rows(const S* channel) { return channel; }
  static const S* as_rows(const void*) { return nullptr; }
};

// Elements of scratch that depthwise_run needs beside its taps.
inline int64_t depthwise_elements(const DepthwisePlan& plan, int64_t threads) {
  return rounded_up(plan.shape.side[2].in + 16) + threads * plan.thread_elements();
}

template <class V, class E, class S>
void depthwise_run(const polyops_context* ctx, const DepthwisePlan& plan, const Tap* taps,
                   const DepthwiseImages<E>& images, S* scratch) {
  const Strides &src = images.src_strides, &dst = images.dst_strides;
  DepthwiseForward<V, E> forward = {images, plan, taps, row_kernel<V, E>(plan.shape, src, dst),
                                    nullptr};
  if (forward.rows != nullptr && reads_rows<V, E>(plan.shape, src)) {
    clear<V>(scratch, plan.shape.side[2].in);
    forward.zeros = scratch;
  }
  S* own = scratch + rounded_up(plan.shape.side[2].in + 16);
  const int64_t planes = plan.shape.batch * plan.shape.groups;
  const auto body = [&](int64_t begin, int64_t end, int32_t thread) {
    // Bands outermost: what is known of one serves for all planes.
    for (int64_t band = 0; band < plan.bands; ++band) {
      const PadPlan pad(plan.of_band(band), src.at);
      for (int64_t plane = begin; plane < end; ++plane) {
        const int64_t item = plane / plan.shape.groups;
        forward.run(pad, item, plane - item * plan.shape.groups, band,
                    own + thread * plan.thread_elements());
      }
    }
  };
  parallel_for(ctx, planes, grain_of(2 * plan.shape.products() / planes), body);
}

inline const char* depthwise_supports(const void* data) {
  const auto& args = *static_cast<const polyops_convolution_args*>(data);
  if (!has_dtype(args.dst.dtype) || !one_dtype(args)) return "dtype";
  if (args.weight.sizes[1] != 1) return "several channels in a group";
  return has_small_strides(forward_shape(args)) ? nullptr : "stride";
}

inline size_t depthwise_scratch(const void* data, int32_t threads) {
  const auto& args = *static_cast<const polyops_convolution_args*>(data);
  const DepthwisePlan plan = depthwise_plan(forward_shape(args));
  return rounded_up(plan.shape.taps()) * sizeof(Tap) +
         depthwise_elements(plan, threads) * width_of(args.dst.dtype);
}

inline int depthwise_launch(const void* data, const polyops_context* ctx) {
  const auto& args = *static_cast<const polyops_convolution_args*>(data);
  const DepthwisePlan plan = depthwise_plan(forward_shape(args));
  auto* taps = static_cast<Tap*>(ctx->scratch);
  const Strides weight = strides_of(args.weight);
  list_taps(plan.shape, plan.padded, weight, taps);
  with_types(args.dst.dtype, [&]<class V, class E>() {
    const bool biased = polyops_is_present(&args.bias) != 0;
    const DepthwiseImages<E> images = {static_cast<const E*>(args.src.data),
                                       strides_of(args.src),
                                       static_cast<const E*>(args.weight.data),
                                       weight.batch,
                                       biased ? static_cast<const E*>(args.bias.data) : nullptr,
                                       args.bias.strides[0],
                                       static_cast<E*>(args.dst.data),
                                       strides_of(args.dst)};
    depthwise_run<V>(ctx, plan, taps, images,
                     reinterpret_cast<typename V::Scalar*>(taps + rounded_up(plan.shape.taps())));
  });
  return POLYOPS_OK;
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_CONVOLUTION_DEPTHWISE_H_
