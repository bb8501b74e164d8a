// group_norm_backward of groups that are split over several blocks. Bound: memory, 5 elements moved
// per element: the sums over each channel of each sample (channel_norm/sums.h), then grad_src of
// them, from what was read last and may still be in the second-level cache.
#ifndef POLYOPS_GPU_GROUP_NORM_BACKWARD_H_
#define POLYOPS_GPU_GROUP_NORM_BACKWARD_H_

#include "channel_norm/apply.h"
#include "channel_norm/sums.h"

namespace polyops::gpu {
namespace {

template <class T>
struct GroupGradient {
  const T* grad;
  const T* src;
  T* grad_src;
  Values weight, mean, rstd;
  int32_t groups, width;  // of a sample; channels of a group
  Channels channels;
  float inv_n;
  float* sums;  // [samples][parts][weight, bias][groups width]
  int32_t parts;
};

template <class T>
struct GroupGradientLines {
  Values weight;
  int32_t first;
  float center, rstd, scale, shift;

  GPU_DEVICE GradientLine operator()(int32_t channel) const {
    const float factor =
        weight.data == nullptr ? rstd : rstd * load_value<T>(weight, first + channel);
    return {factor, center, scale, shift};
  }
};

// Sums over the group of g and of g x_hat.
template <class T>
GPU_DEVICE void sum_group(const GroupGradient<T>& call, int32_t row, float* shared,
                          float (&sums)[2]) {
  const int32_t all = call.groups * call.width;
  const int32_t sample = row / call.groups, first = row % call.groups * call.width;
  const float* from = call.sums + int64_t{sample} * call.parts * 2 * all + first;
  for (int32_t i = thread_id(); i < call.width * call.parts; i += block_threads()) {
    const int32_t part = i / call.width, c = i - part * call.width;
    const float* at = from + int64_t{part} * 2 * all + c;
    const float weight = call.weight.data == nullptr ? 1.0f : load_value<T>(call.weight, first + c);
    sums[0] = fmaf(weight, at[all], sums[0]);
    sums[1] = fmaf(weight, at[0], sums[1]);
  }
  sum_team(sums, block_threads(), shared);
}

template <class T>
GPU_KERNEL(kRunThreads)
split_gradient(GroupGradient<T> call, Runs runs) {
  await_earlier();
  GPU_SHARED(float, shared, 2 * kMostWaves);
  let_later_begin();
  const int64_t task = grid_blocks() - 1 - block_id();
  const auto row = static_cast<int32_t>(task / runs.chunks);
  const float mean = load_value<T>(call.mean, row), rstd = load_value<T>(call.rstd, row);
  float sums[2] = {};
  sum_group(call, row, shared, sums);
  const GroupGradientLines<T> line = {
      call.weight, row % call.groups * call.width,      mean,
      rstd,        -rstd * rstd * sums[1] * call.inv_n, -rstd * sums[0] * call.inv_n};
  int32_t at, n;
  runs.span(static_cast<int>(task % runs.chunks), &at, &n);
  const int64_t first = row * runs.slice_stride + at;
  map_span<2, T>({{call.grad + first, call.src + first}, call.grad_src + first}, at, n, thread_id(),
                 block_threads(), call.channels, line);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_GROUP_NORM_BACKWARD_H_
