// The gradients of weight and bias, of a depthwise convolution with one filter per channel: of each
// tap, the product of grad_dst with the image that the tap sees, both at the same positions
// (padded.h); nine taps share each load of grad_dst. A channel is one thread's, over the whole
// batch.
#ifndef POLYOPS_CPU_CONVOLUTION_DEPTHWISE_WEIGHT_H_
#define POLYOPS_CPU_CONVOLUTION_DEPTHWISE_WEIGHT_H_

#include <cstddef>
#include <cstdint>

#include "convolution/depthwise.h"
#include "convolution/weight_definition.h"
#include "parallel.h"

namespace polyops::cpu {
namespace {

// The products of kTaps taps with grad_dst, over all positions.
template <class V, int kTaps, class S>
inline void dot_taps(const S* copy, const Tap* taps, const S* grad, int64_t positions,
                     double* sums) {
  V acc[kTaps];
  const S* from[kTaps];
#pragma GCC unroll 9
  for (int t = 0; t < kTaps; ++t) {
    acc[t] = V::zero();
    from[t] = copy + taps[t].shift;
  }
  int64_t j = 0;
  for (; j + V::kLanes <= positions; j += V::kLanes) {
    const V g = load<V>(grad + j);
#pragma GCC unroll 9
    for (int t = 0; t < kTaps; ++t) acc[t] = fma(g, load<V>(from[t] + j), acc[t]);
  }
  if (j < positions) {
    const V g = load_partial<V>(grad + j, positions - j);
#pragma GCC unroll 9
    for (int t = 0; t < kTaps; ++t) {
      acc[t] = fma(g, load_partial<V>(from[t] + j, positions - j), acc[t]);
    }
  }
#pragma GCC unroll 9
  for (int t = 0; t < kTaps; ++t) sums[t] += reduce_add(acc[t]);
}

template <class V, class S>
void dot_all_taps(const S* copy, const Tap* taps, int64_t count, const S* grad, int64_t positions,
                  double* sums) {
  int64_t t = 0;
  for (; t + 9 <= count; t += 9) dot_taps<V, 9>(copy, taps + t, grad, positions, sums + t);
  for (; t + 3 <= count; t += 3) dot_taps<V, 3>(copy, taps + t, grad, positions, sums + t);
  for (; t < count; ++t) dot_taps<V, 1>(copy, taps + t, grad, positions, sums + t);
}

template <class V, class E>
struct DepthwiseWeight {
  using S = typename V::Scalar;
  const polyops_convolution_backward_args& args;
  const DepthwisePlan& plan;  // of the forward convolution
  const Tap* taps;
  Strides grad_dst, src, grad_weight;

  // What the copies of one band take.
  struct Band {
    int64_t index;
    PadPlan image, grad;
  };
  Band band_of(int64_t band) const {
    const Padded padded = plan.of_band(band);
    return {band, PadPlan(padded, src.at), PadPlan(at_positions(padded), grad_dst.at)};
  }

  // What of the gradient comes from one band of all items; sums: of every tap, then of the bias.
  void add_band(const Band& band, int64_t channel, S* copy, S* grad, double* sums) const {
    constexpr int64_t kBlock = kSumSteps<S> * V::kLanes;
    const int64_t positions = band.image.padded.positions();
    for (int64_t item = 0; item < plan.shape.batch; ++item) {
      const auto* image =
          static_cast<const E*>(args.src.data) + item * src.batch + channel * src.channel;
      const auto* from = static_cast<const E*>(args.grad_dst.data) + item * grad_dst.batch +
                         channel * grad_dst.channel + band.index * plan.rows * grad_dst.at[1];
      pad_channel<V>(band.grad, from, grad);
      if (polyops_is_present(&args.grad_weight) != 0) {
        pad_channel<V>(band.image, image, copy);
        for (int64_t j = 0; j < positions; j += kBlock) {
          dot_all_taps<V>(copy + j, taps, plan.shape.taps(), grad + j,
                          min_of(kBlock, positions - j), sums);
        }
      }
      if (polyops_is_present(&args.grad_bias) != 0) {
        for (int64_t begin = 0; begin < positions; begin += kBlock) {
          const int64_t end = min_of(begin + kBlock, positions);
          V sum = V::zero();
          for (int64_t j = begin; j < end; j += V::kLanes) {
            sum = sum + load_partial<V>(grad + j, end - j);
          }
          sums[plan.shape.taps()] += reduce_add(sum);
        }
      }
    }
  }

  double definition(int64_t channel, int64_t tap) const {
    return weight_by_definition<E>(
        plan.shape, static_cast<const E*>(args.grad_dst.data) + channel * grad_dst.channel,
        grad_dst, static_cast<const E*>(args.src.data) + channel * src.channel, src, tap);
  }

  // first: band 0.
  void run(const Band& first, int64_t channel, double* sums, S* scratch) const {
    const int64_t count = plan.shape.taps();
    for (int64_t t = 0; t <= count; ++t) sums[t] = 0;
    S* grad = scratch + plan.padded_elements;
    add_band(first, channel, scratch, grad, sums);
    for (int64_t band = 1; band < plan.bands; ++band) {
      add_band(band_of(band), channel, scratch, grad, sums);
    }
    if (polyops_is_present(&args.grad_weight) != 0) {
      auto* to = static_cast<E*>(args.grad_weight.data) + channel * grad_weight.batch;
      const Side* s = plan.shape.side;
      for (int64_t t = 0; t < count; ++t) {
        const int64_t t2 = t % s[2].taps, t1 = t / s[2].taps % s[1].taps;
        const int64_t t0 = t / s[2].taps / s[1].taps;
        const double sum = is_finite(sums[t]) ? sums[t] : definition(channel, t);
        put(to + t0 * grad_weight.at[0] + t1 * grad_weight.at[1] + t2 * grad_weight.at[2],
            static_cast<S>(sum));
      }
    }
    if (polyops_is_present(&args.grad_bias) != 0) {
      put(static_cast<E*>(args.grad_bias.data) + channel * args.grad_bias.strides[0],
          static_cast<S>(sums[count]));
    }
  }
};

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_CONVOLUTION_DEPTHWISE_WEIGHT_H_
