// The sums of a backward pass over slices that are planes of one channel: of grad_dst x_hat, and of
// grad_dst. One read of both tensors. What a task leaves is column c of row (sample, chunk) in the
// workspace, [rows][weight, bias][channels], which channel_sums() adds up in order.
#ifndef POLYOPS_GPU_CHANNEL_NORM_SUMS_H_
#define POLYOPS_GPU_CHANNEL_NORM_SUMS_H_

#include "apply.h"
#include "layer_norm/layout.h"
#include "reduce.h"
#include "runs.h"

namespace polyops::gpu {
namespace {

// Mean and rstd, or the variance that this comes of.
struct Statistics {
  Values mean, spread;
  bool is_variance;
  float eps;
};

template <class T>
GPU_DEVICE float rstd_of(const Statistics& of, int64_t at) {
  const float spread = load_value<T>(of.spread, at);
  return of.is_variance ? rsqrt_fast(spread + of.eps) : spread;
}

template <class T>
struct SumsCall {
  const T* grad;
  const T* src;
  Statistics statistics;
  Runs runs;
  int32_t channels;    // of the tensor
  int32_t per_moment;  // slices that share a mean
  float* sums;
};

constexpr int kSumsPacks = 2;  // of each tensor in flight

template <class T>
GPU_DEVICE void sum_run(const T* grad, const T* src, int32_t n, int lane, int lanes, float mean,
                        float (&sums)[2]) {
  const Cut<T> cut(src, n);
  const auto add = [&](int32_t at) {
    const float g = widen(grad[at]);
    sums[0] = fmaf(g, widen(src[at]) - mean, sums[0]);
    sums[1] += g;
  };
  if (!cut.fits(grad)) {
    for (int32_t at = lane; at < n; at += lanes) add(at);
    return;
  }
  for (int32_t first = lane; first < cut.whole; first += kSumsPacks * lanes) {
    Words g[kSumsPacks], x[kSumsPacks];
    load_fitting(cut, grad, first, lanes, g);
    load_fitting(cut, src, first, lanes, x);
#pragma unroll
    for (int k = 0; k < kSumsPacks; ++k) {
      if (first + k * lanes >= cut.whole) break;
      float a[kPack<T>], b[kPack<T>], sum[2], product[2];
      unpack<T>(g[k], a);
      unpack<T>(x[k], b);
#pragma unroll
      for (int j = 0; j < kPack<T>; ++j) {
        const float d = b[j] - mean;
        sum[j % 2] = j < 2 ? a[j] : sum[j % 2] + a[j];
        product[j % 2] = j < 2 ? a[j] * d : fmaf(a[j], d, product[j % 2]);
      }
      sums[0] += product[0] + product[1];
      sums[1] += sum[0] + sum[1];
    }
  }
  for_each_end<kMostEnds<T>>(cut, lane, lanes, [&](int, int at) { add(at); });
}

// A team of threads per task, which is a chunk of a slice.
template <class T>
GPU_KERNEL(kRunThreads)
slice_sums(SumsCall<T> call, int team) {
  await_earlier();
  GPU_SHARED(float, shared, 2 * kMostWaves);
  let_later_begin();
  const Runs& runs = call.runs;
  const int in_team = team == block_threads() ? thread_id() : thread_id() & (team - 1);
  const int64_t task = block_id() * (block_threads() / team) + thread_id() / team;
  const int64_t slice = task / runs.chunks;
  const auto chunk = static_cast<int>(task % runs.chunks);
  const bool ours = slice < runs.slices;  // the others come along for the shuffles
  float sums[2] = {};
  float rstd = 0;
  if (ours) {
    const float mean = load_value<T>(call.statistics.mean, slice / call.per_moment);
    rstd = rstd_of<T>(call.statistics, slice / call.per_moment);
    runs.for_each_part(slice, chunk, in_team / runs.lanes, team / runs.lanes,
                       [&](int64_t offset, int32_t n) {
                         sum_run(call.grad + offset, call.src + offset, n,
                                 in_team & (runs.lanes - 1), runs.lanes, mean, sums);
                       });
  }
  sum_team(sums, team, shared);
  if (!ours || in_team != 0) return;
  const int64_t row = slice / call.channels * runs.chunks + chunk;
  float* out = call.sums + row * 2 * call.channels + slice % call.channels;
  out[0] = sums[0] * rstd;
  out[call.channels] = sums[1];
}

constexpr int kSumColumns = 8;  // a block's channels: 32 bytes of a row

// What becomes of the sums of a channel; each part null if it is not wanted.
struct ChannelResults {
  Values grad_weight, grad_bias;
  float* lines;  // of grad_src, see StoredGradientLines, from what follows
  Values weight;
  Statistics statistics;
  float inv_n;
  bool constant;  // the moments are no function of src, as in evaluation
};

// What a channel's line comes of, beside its sums.
struct ChannelGradient {
  float mean, rstd, factor;
};
template <class T>
GPU_DEVICE ChannelGradient channel_gradient(const ChannelResults& to, int32_t c) {
  const float rstd = rstd_of<T>(to.statistics, c);
  return {load_value<T>(to.statistics.mean, c), rstd,
          to.weight.data == nullptr ? rstd : rstd * load_value<T>(to.weight, c)};
}
GPU_DEVICE GradientLine gradient_line(const ChannelGradient& of, float inv_n, float product,
                                      float sum) {
  return {of.factor, of.mean, -of.factor * of.rstd * product * inv_n, -of.factor * sum * inv_n};
}

// A pack's gradients g to those of src, which is x before.
template <int kCount>
GPU_DEVICE void map_gradients(const GradientLine& line, bool constant, const float (&g)[kCount],
                              float (&x)[kCount]) {
  if (constant) {
#pragma unroll
    for (int j = 0; j < kCount; ++j) x[j] = g[j] * line.factor;
  } else {
#pragma unroll
    for (int j = 0; j < kCount; ++j) x[j] = line({{g[j], x[j]}});
  }
}

template <class T>
GPU_DEVICE void store_sums(const ChannelResults& to, int32_t c, float product, float sum) {
  if (to.grad_weight.data != nullptr) store_value<T>(to.grad_weight, c, product);
  if (to.grad_bias.data != nullptr) store_value<T>(to.grad_bias, c, sum);
  if (to.lines == nullptr) return;
  const GradientLine made = gradient_line(channel_gradient<T>(to, c), to.inv_n, product, sum);
  float* line = to.lines + int64_t{c} * kGradientLineFloats;
  line[0] = made.factor;
  line[1] = made.center;
  line[2] = made.scale;
  line[3] = made.shift;
}

constexpr int kSumThreads = 512;  // so many that few rows are left to each

// The workspace into results, launched while the kernel before it runs: a thread takes every so
// many rows of a channel, then a wave what those of a channel have.
template <class T>
GPU_KERNEL(kSumThreads)
channel_sums(const float* sums, int32_t rows, int32_t channels, ChannelResults to) {
  await_earlier();
  GPU_SHARED(float, shared, 2 * kSumThreads);
  const auto first = static_cast<int32_t>(block_id() * kSumColumns);
  const int32_t c = first + thread_id() % kSumColumns;
  const int parts = block_threads() / kSumColumns;
  float product = 0, sum = 0;
  if (c < channels) {
    const float* from = sums + c;
#pragma unroll 8
    for (int32_t row = thread_id() / kSumColumns; row < rows; row += parts) {
      product += from[int64_t{row} * 2 * channels];
      sum += from[(int64_t{row} * 2 + 1) * channels];
    }
  }
  shared[thread_id()] = product;
  shared[kSumThreads + thread_id()] = sum;
  barrier();
  const int lane = thread_id() % wave_size(), waves = block_threads() / wave_size();
  for (int column = thread_id() / wave_size(); column < kSumColumns; column += waves) {
    float both[2] = {};
    for (int i = lane; i < parts; i += wave_size()) {
      both[0] += shared[i * kSumColumns + column];
      both[1] += shared[kSumThreads + i * kSumColumns + column];
    }
    sum_lanes(both, wave_size());
    if (lane == 0 && first + column < channels) {
      store_sums<T>(to, first + column, both[0], both[1]);
    }
  }
}

template <class T>
int launch_channel_sums(const float* sums, int64_t rows, int64_t channels, const ChannelResults& to,
                        const polyops_context* ctx) {
  return launch(channel_sums<T>, {(channels + kSumColumns - 1) / kSumColumns, kSumThreads}, ctx,
                sums, static_cast<int32_t>(rows), static_cast<int32_t>(channels), to);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CHANNEL_NORM_SUMS_H_
