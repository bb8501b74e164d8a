// batch_norm. Bound: memory, one read and one write; in training a second read, which the second-level
// cache has part of. In training: each channel's moments, by several blocks; what follows from them
// for each channel; then the lines of all elements. Otherwise the lines at once.
#ifndef POLYOPS_GPU_BATCH_NORM_FORWARD_H_
#define POLYOPS_GPU_BATCH_NORM_FORWARD_H_

#include "layout.h"
#include "polyops/ops/batch_norm.h"

namespace polyops::gpu {
namespace {

struct BatchCall {
  Values weight, bias, running_mean, running_var, mean, rstd;
  int32_t channels;
  float eps, momentum, inv_n, unbiased;  // unbiased: n / (n - 1)
};

// With the running moments.
template <class T>
struct RunningLines {
  BatchCall call;

  GPU_DEVICE Line operator()(int32_t channel) const {
    const float rstd = rsqrt_fast(load_value<T>(call.running_var, channel) + call.eps);
    const float scale =
        call.weight.data == nullptr ? rstd : rstd * load_value<T>(call.weight, channel);
    return {load_value<T>(call.running_mean, channel), scale,
            call.bias.data == nullptr ? 0.0f : load_value<T>(call.bias, channel)};
  }
};

// mean and rstd from the running moments.
template <class T>
GPU_KERNEL(kRunThreads)
keep_running(BatchCall call) {
  const int64_t c = block_id() * block_threads() + thread_id();
  if (c >= call.channels) return;
  store_value<T>(call.mean, c, load_value<T>(call.running_mean, c));
  store_value<T>(call.rstd, c, rsqrt_fast(load_value<T>(call.running_var, c) + call.eps));
}

template <class T>
GPU_DEVICE void update(const Values& running, int32_t c, float x, float momentum) {
  store_value<T>(running, c, x * momentum + (1 - momentum) * load_value<T>(running, c));
}

// A wave per channel: its chunks into its line, its moments and the running ones.
template <class T>
GPU_KERNEL(kRunThreads)
finish_moments(BatchCall call, const float* moments, int32_t chunks, float* lines) {
  const int waves = block_threads() / wave_size();
  const auto c = static_cast<int32_t>(block_id() * waves + thread_id() / wave_size());
  if (c >= call.channels) return;
  const Welford w = moments_of(moments, c, chunks);
  if (thread_id() % wave_size() != 0) return;
  const float pivot = pivot_of(moments, c, chunks);
  const float var = w.square < 0 ? 0.0f : w.square * call.inv_n;
  const float rstd = rsqrt_fast(var + call.eps), mean = w.mean_from(pivot);
  store_value<T>(call.mean, c, mean);
  store_value<T>(call.rstd, c, rstd);
  if (call.running_mean.data != nullptr) {
    update<T>(call.running_mean, c, mean, call.momentum);
    update<T>(call.running_var, c, var * call.unbiased, call.momentum);
  }
  const float scale = call.weight.data == nullptr ? rstd : rstd * load_value<T>(call.weight, c);
  const float bias = call.bias.data == nullptr ? 0.0f : load_value<T>(call.bias, c);
  float* line = lines + int64_t{c} * kLineFloats;
  line[0] = pivot;
  line[1] = scale;
  line[2] = fmaf(-(w.mean + w.low), scale, bias);
}

using BatchArgs = polyops_batch_norm_args;

inline size_t batch_scratch(const void* p, int32_t) {
  const auto& a = *static_cast<const BatchArgs*>(p);
  if (a.training == 0) return 0;
  const BatchShape shape = batch_shape(a.src);
  const int64_t chunks = most_chunks(shape, 16 / polyops_dtype_size(a.src.dtype));
  return static_cast<size_t>(shape.channels * (chunks * kMomentsOfChunk + kLineFloats)) *
         sizeof(float);
}

inline BatchCall make_batch_call(const BatchArgs& a, const BatchShape& shape) {
  const auto n = static_cast<double>(shape.n());
  return {values_of(a.weight),
          values_of(a.bias),
          values_of(a.running_mean),
          values_of(a.running_var),
          values_of(a.mean),
          values_of(a.rstd),
          static_cast<int32_t>(shape.channels),
          static_cast<float>(a.eps),
          static_cast<float>(a.momentum),
          static_cast<float>(1 / n),
          static_cast<float>(n / (n - 1))};
}

// Returns the chunks of a channel through `chunks`.
template <class T>
int launch_moments(const T* src, const BatchShape& shape, float* moments, int32_t* chunks,
                   const polyops_context* ctx) {
  if (!shape.last) {
    const Runs runs = channel_runs(shape, kPack<T>);
    *chunks = runs.chunks;
    return launch(slice_moments<T>, {runs.slices * runs.chunks, kRunThreads}, ctx, src, runs,
                  moments);
  }
  return with_width<T>(shape, {src}, [&]<int kWidth>() {
    const Columns of = columns_of(shape.n(), shape.channels, kWidth);
    *chunks = of.chunks;
    return launch(column_moments<T, kWidth>, {int64_t{of.tiles} * of.chunks, kRunThreads}, ctx, src,
                  of, moments);
  });
}

// Blocks of so many threads, one for each.
inline int64_t blocks_of(int64_t threads) { return (threads + kRunThreads - 1) / kRunThreads; }

template <class T>
int train(const BatchCall& call, const RunPointers<T, 1>& p, const BatchShape& shape,
          const polyops_context* ctx) {
  auto* lines = static_cast<float*>(ctx->scratch);
  float* moments = lines + shape.channels * kLineFloats;
  int32_t chunks = 0;
  int status = launch_moments(p.in[0], shape, moments, &chunks, ctx);
  if (status != POLYOPS_OK) return status;
  constexpr int64_t kWidestWave = 64;
  status = launch(finish_moments<T>, {blocks_of(shape.channels * kWidestWave), kRunThreads}, ctx,
                  call, moments, chunks, lines);
  if (status != POLYOPS_OK) return status;
  return launch_map<1, true>(p, shape, StoredLines{lines}, ctx);
}

inline int batch_forward(const void* args, const polyops_context* ctx) {
  const auto& a = *static_cast<const BatchArgs*>(args);
  const BatchShape shape = batch_shape(a.src);
  const BatchCall call = make_batch_call(a, shape);
  return with_type(a.src.dtype, [&]<class T>() {
    const RunPointers<T, 1> p = {{static_cast<const T*>(a.src.data)}, static_cast<T*>(a.dst.data)};
    if (a.training != 0) return train(call, p, shape, ctx);
    if (call.mean.data != nullptr) {
      const int status =
          launch(keep_running<T>, {blocks_of(shape.channels), kRunThreads}, ctx, call);
      if (status != POLYOPS_OK) return status;
    }
    return launch_map<1, false>(p, shape, RunningLines<T>{call}, ctx);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_BATCH_NORM_FORWARD_H_
