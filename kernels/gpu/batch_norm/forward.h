// batch_norm. Bound: memory, one read and one write; in training a second read of what shared
// memory has no room for, of which the second-level cache has a part. That of a cluster or a team
// for a channel (walk.h), of a block for a tile of channels (tiles.h), of all blocks for channels
// next to each other (grid.h), of a cluster for what these leave (held.h). Of other batches each
// channel's moments, by several blocks; what follows from them for each channel; then the lines of
// all elements. Not in training: the lines at once.
#ifndef POLYOPS_GPU_BATCH_NORM_FORWARD_H_
#define POLYOPS_GPU_BATCH_NORM_FORWARD_H_

#include <algorithm>

#include "call.h"
#include "grid_launch.h"
#include "held_launch.h"
#include "layout.h"
#include "polyops/ops/batch_norm.h"
#include "tiles_launch.h"
#include "walk_launch.h"

namespace polyops::gpu {
namespace {

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

// mean and rstd, where they are wanted, from the running moments.
template <class T>
GPU_DEVICE void keep_moments(const RunningLines<T>& of) {
  const BatchCall& call = of.call;
  if (call.mean.data == nullptr) return;
  const int64_t threads = grid_blocks() * block_threads();
  for (int64_t c = block_id() * block_threads() + thread_id(); c < call.channels; c += threads) {
    store_value<T>(call.mean, c, load_value<T>(call.running_mean, c));
    store_value<T>(call.rstd, c, rsqrt_fast(load_value<T>(call.running_var, c) + call.eps));
  }
}

template <class T>
GPU_DEVICE void finish_channel(const BatchCall& call, int32_t c, float pivot, const Welford& w,
                               float* lines) {
  const ChannelMoments of = {pivot, w.mean, w.low, w.square};
  const Line line = line_of(call, affine_of<T>(call, c), of);
  store_moments<T>(call, c, of);
  float* to = lines + int64_t{c} * kLineFloats;
  to[0] = line.center;
  to[1] = line.scale;
  to[2] = line.shift;
}

// A wave per channel: its chunks, as slice_moments() leaves them, into its line, its moments and
// the running ones.
template <class T>
GPU_KERNEL(kRunThreads)
finish_slices(BatchCall call, const float* moments, int32_t chunks, float* lines) {
  await_earlier();
  const int waves = block_threads() / wave_size();
  const auto c = static_cast<int32_t>(block_id() * waves + thread_id() / wave_size());
  if (c >= call.channels) return;
  const Welford w = moments_of(moments, c, chunks);
  if (thread_id() % wave_size() != 0) return;
  finish_channel<T>(call, c, pivot_of(moments, c, chunks), w, lines);
}

// The same, from what column_moments() leaves; kSumColumns channels a block.
template <class T>
GPU_KERNEL(kSumThreads)
finish_columns(BatchCall call, const float* moments, const float* pivots, int32_t chunks,
               float* lines) {
  await_earlier();
  GPU_SHARED(float, shared, 3 * kSumThreads);
  const auto first = static_cast<int32_t>(block_id() * kSumColumns);
  const int32_t c = first + thread_id() % kSumColumns;
  Welford w;
  if (c < call.channels) {
    w = moments_of_chunks(moments, c, call.channels, chunks, thread_id() / kSumColumns,
                          block_threads() / kSumColumns);
  }
  shared[thread_id()] = w.mean;
  shared[block_threads() + thread_id()] = w.square;
  shared[2 * block_threads() + thread_id()] = w.count;
  barrier();
  const int waves = block_threads() / wave_size();
  for (int column = thread_id() / wave_size(); column < kSumColumns; column += waves) {
    const Welford all = moments_of_column(shared, column, call.inv_n);
    const int32_t channel = first + column;
    if (thread_id() % wave_size() != 0 || channel >= call.channels) continue;
    finish_channel<T>(call, channel, pivots[channel], all, lines);
  }
}

using BatchArgs = polyops_batch_norm_args;

inline size_t batch_scratch(const void* p, int32_t) {
  const auto& a = *static_cast<const BatchArgs*>(p);
  if (a.training == 0) return 0;
  const BatchShape shape = batch_shape(a.src);
  const int64_t chunks = most_chunks(shape, 16 / polyops_dtype_size(a.src.dtype), 1);
  constexpr int kMost = kMomentsOfChunk > kColumnMoments + 1 ? kMomentsOfChunk : kColumnMoments + 1;
  return std::max(
      kTeamScratch,
      static_cast<size_t>(shape.channels * (chunks * kMost + kLineFloats)) * sizeof(float));
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

// The lines of all channels, by way of their moments.
template <class T>
int make_lines(const BatchCall& call, const T* src, const BatchShape& shape, float* lines,
               const polyops_context* ctx) {
  float* moments = lines + shape.channels * kLineFloats;
  if (!shape.last) {
    const Runs runs = channel_runs(shape, kPack<T>);
    const int status =
        launch(slice_moments<T>, {runs.slices * runs.chunks, kRunThreads}, ctx, src, runs, moments);
    if (status != POLYOPS_OK) return status;
    constexpr int64_t kAtATime =
        kRunThreads / kWholeWaves;  // channels of a block, or twice as many
    return launch(finish_slices<T>, {(call.channels + kAtATime - 1) / kAtATime, kRunThreads}, ctx,
                  call, moments, runs.chunks, lines);
  }
  return with_width<T>(shape, {src}, [&]<int kWidth>() {
    const Columns of = columns_of(shape.n(), shape.channels, kWidth, 1);
    float* pivots = moments + shape.channels * of.chunks * kColumnMoments;
    const int status =
        launch(column_moments<T, kWidth>, {int64_t{of.tiles} * of.chunks, kRunThreads}, ctx, src,
               of, moments, pivots);
    if (status != POLYOPS_OK) return status;
    return launch(finish_columns<T>, {(call.channels + kSumColumns - 1) / kSumColumns, kSumThreads},
                  ctx, call, moments, pivots, of.chunks, lines);
  });
}

template <class T>
int train(const BatchCall& call, const RunPointers<T, 1>& p, const BatchShape& shape,
          const polyops_context* ctx) {
  int status = POLYOPS_OK;
  if (launch_walk(p, shape, BatchWalk<T>{call}, walk_forward<T, BatchWalk<T>, ByCluster>,
                  walk_forward<T, BatchWalk<T>, ByTeam>, ctx, &status)) {
    return status;
  }
  if (launch_tiles(p, shape, call, tile_forward<T>, ctx, &status)) return status;
  if (launch_grid(p, shape, call, grid_forward<T>, ctx, &status)) return status;
  if (launch_held(p, shape, call, hold_forward<T>, ctx, &status)) return status;
  auto* lines = static_cast<float*>(ctx->scratch);
  status = make_lines(call, p.in[0], shape, lines, ctx);
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
    return launch_map<1, false>(p, shape, RunningLines<T>{call}, ctx);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_BATCH_NORM_FORWARD_H_
