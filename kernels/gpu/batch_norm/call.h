// What becomes of a channel's moments in training, whichever kernel took them.
#ifndef POLYOPS_GPU_BATCH_NORM_CALL_H_
#define POLYOPS_GPU_BATCH_NORM_CALL_H_

#include "channel_norm/apply.h"
#include "layer_norm/layout.h"

namespace polyops::gpu {
namespace {

struct BatchCall {
  Values weight, bias, running_mean, running_var, mean, rstd;
  int32_t channels;
  float eps, momentum, inv_n, unbiased;  // unbiased: n / (n - 1)
};

template <class T>
GPU_DEVICE void update(const Values& running, int32_t c, float x, float momentum) {
  store_value<T>(running, c, x * momentum + (1 - momentum) * load_value<T>(running, c));
}

struct ChannelMoments {
  float pivot, mean, low;  // the mean less the pivot is mean + low
  float square;
};

struct ChannelAffine {
  float weight, bias;
};

template <class T>
GPU_DEVICE ChannelAffine affine_of(const BatchCall& call, int32_t c) {
  return {call.weight.data == nullptr ? 1.0f : load_value<T>(call.weight, c),
          call.bias.data == nullptr ? 0.0f : load_value<T>(call.bias, c)};
}

// Of values whose squares are beyond float32 it is infinite: their sum may have lost infinity from
// infinity, but their mean has none.
GPU_DEVICE float variance_of(const BatchCall& call, const ChannelMoments& of) {
  const float mean = of.pivot + of.mean + of.low;
  if (mean - mean == 0 && of.square != of.square) return float_of_bits(0x7f800000u);
  return of.square < 0 ? 0.0f : of.square * call.inv_n;
}

// Its moments, and the running ones.
template <class T>
GPU_DEVICE void store_moments(const BatchCall& call, int32_t c, const ChannelMoments& of) {
  const float mean = (of.pivot + of.mean) + of.low, var = variance_of(call, of);
  store_value<T>(call.mean, c, mean);
  store_value<T>(call.rstd, c, rsqrt_fast(var + call.eps));
  if (call.running_mean.data == nullptr) return;
  update<T>(call.running_mean, c, mean, call.momentum);
  update<T>(call.running_var, c, var * call.unbiased, call.momentum);
}

GPU_DEVICE Line line_of(const BatchCall& call, const ChannelAffine& affine,
                        const ChannelMoments& of) {
  const float scale = rsqrt_fast(variance_of(call, of) + call.eps) * affine.weight;
  return {of.pivot, scale, fmaf(-(of.mean + of.low), scale, affine.bias)};
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_BATCH_NORM_CALL_H_
