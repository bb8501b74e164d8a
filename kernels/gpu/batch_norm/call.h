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

// The channel's line. `stores`: this thread writes its moments, and the running ones.
template <class T>
GPU_DEVICE Line finish_channel(const BatchCall& call, int32_t c, const ChannelMoments& of,
                               bool stores) {
  const float var = of.square < 0 ? 0.0f : of.square * call.inv_n;
  const float rstd = rsqrt_fast(var + call.eps);
  if (stores) {
    const float mean = (of.pivot + of.mean) + of.low;
    store_value<T>(call.mean, c, mean);
    store_value<T>(call.rstd, c, rstd);
    if (call.running_mean.data != nullptr) {
      update<T>(call.running_mean, c, mean, call.momentum);
      update<T>(call.running_var, c, var * call.unbiased, call.momentum);
    }
  }
  const float scale = call.weight.data == nullptr ? rstd : rstd * load_value<T>(call.weight, c);
  const float bias = call.bias.data == nullptr ? 0.0f : load_value<T>(call.bias, c);
  return {of.pivot, scale, fmaf(-(of.mean + of.low), scale, bias)};
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_BATCH_NORM_CALL_H_
