// batch_norm_backward. Bound: memory, 3 elements moved per element; in training 5 where neither
// shared memory has room for a channel (see forward.h) nor the second-level cache anything left of
// the first pass, which takes each channel's sums. From these follow grad_weight, grad_bias and
// each channel's line; the last pass makes grad_src of it.
#ifndef POLYOPS_GPU_BATCH_NORM_BACKWARD_H_
#define POLYOPS_GPU_BATCH_NORM_BACKWARD_H_

#include <algorithm>

#include "grid_launch.h"
#include "held_launch.h"
#include "layout.h"
#include "polyops/ops/batch_norm.h"
#include "tiles_launch.h"
#include "walk_launch.h"

namespace polyops::gpu {
namespace {

// Of constant moments: grad_src is grad_dst times this.
template <class T>
struct ConstantLines {
  Values weight;
  Statistics statistics;

  GPU_DEVICE Line operator()(int32_t channel) const {
    const float rstd = rstd_of<T>(statistics, channel);
    return {0, weight.data == nullptr ? rstd : rstd * load_value<T>(weight, channel), 0};
  }
};

using BatchBackwardArgs = polyops_batch_norm_backward_args;

inline bool wants_sums(const BatchBackwardArgs& a) {
  return polyops_is_present(&a.grad_weight) || polyops_is_present(&a.grad_bias) ||
         (a.training != 0 && polyops_is_present(&a.grad_src));
}

inline size_t batch_backward_scratch(const void* p, int32_t) {
  const auto& a = *static_cast<const BatchBackwardArgs*>(p);
  if (!wants_sums(a)) return 0;
  const BatchShape shape = batch_shape(a.src);
  const int64_t chunks = most_chunks(shape, 16 / polyops_dtype_size(a.src.dtype), 2);
  const int64_t of_chunk = shape.last ? kSaidFloats : 2;
  return std::max(kTeamScratch,
                  static_cast<size_t>(shape.channels * (chunks * of_chunk + kGradientLineFloats)) *
                      sizeof(float));
}

inline Statistics statistics_of(const BatchBackwardArgs& a) {
  const bool is_variance = !polyops_is_present(&a.rstd);
  return {values_of(a.mean), values_of(is_variance ? a.var : a.rstd), is_variance,
          static_cast<float>(a.eps)};
}

// Returns the chunks of a channel through `chunks`.
template <class T>
int launch_sums(const RunPointers<T, 2>& p, const BatchShape& shape, const Statistics& statistics,
                float* sums, int32_t* chunks, const polyops_context* ctx) {
  if (!shape.last) {
    const Runs runs = channel_runs(shape, kPack<T>);
    *chunks = runs.chunks;
    const SumsCall<T> call = {
        p.in[0], p.in[1], statistics, runs, static_cast<int32_t>(shape.channels), 1, sums};
    return launch(slice_sums<T>, {runs.slices * runs.chunks, kRunThreads}, ctx, call, kRunThreads);
  }
  return with_width<T>(shape, {p.in[0], p.in[1]}, [&]<int kWidth>() {
    const Columns of = columns_of(shape.n(), shape.channels, kWidth, 2);
    *chunks = of.chunks;
    return launch(column_gradient_sums<T, kWidth>, {int64_t{of.tiles} * of.chunks, kRunThreads},
                  ctx, p.in[0], p.in[1], statistics, of, sums);
  });
}

// Whether it was launched, see launch_held() and launch_walk().
template <class T>
bool launch_held_backward(const RunPointers<T, 2>& p, const BatchShape& shape,
                          const ChannelResults& to, const polyops_context* ctx, int* status) {
  if (launch_walk(p, shape, to, walk_backward<T, ByCluster>, walk_backward<T, ByTeam>, ctx,
                  status)) {
    return true;
  }
  const auto tiles = to.constant ? tile_backward<T, true> : tile_backward<T, false>;
  if (launch_tiles(p, shape, to, tiles, ctx, status)) return true;
  if (!to.constant && launch_grid(p, shape, to, grid_backward<T>, ctx, status)) return true;
  return launch_held(p, shape, to, hold_backward<T>, ctx, status);
}

inline int batch_backward(const void* args, const polyops_context* ctx) {
  const auto& a = *static_cast<const BatchBackwardArgs*>(args);
  const BatchShape shape = batch_shape(a.src);
  const Statistics statistics = statistics_of(a);
  const bool wants_src = polyops_is_present(&a.grad_src);
  return with_type(a.src.dtype, [&]<class T>() {
    const RunPointers<T, 2> p = {
        {static_cast<const T*>(a.grad_dst.data), static_cast<const T*>(a.src.data)},
        wants_src ? static_cast<T*>(a.grad_src.data) : nullptr};
    auto* lines = static_cast<float*>(ctx->scratch);
    int status = POLYOPS_OK;
    if (wants_sums(a)) {
      ChannelResults to = {values_of(a.grad_weight),
                           values_of(a.grad_bias),
                           nullptr,
                           values_of(a.weight),
                           statistics,
                           static_cast<float>(1 / static_cast<double>(shape.n())),
                           a.training == 0};
      if (wants_src && launch_held_backward(p, shape, to, ctx, &status)) return status;
      if (a.training != 0 && wants_src) to.lines = lines;
      float* sums = lines + shape.channels * kGradientLineFloats;
      int32_t chunks = 0;
      status = launch_sums(p, shape, statistics, sums, &chunks, ctx);
      if (status != POLYOPS_OK) return status;
      status = launch_channel_sums<T>(sums, chunks, shape.channels, to, ctx);
    }
    if (status != POLYOPS_OK || !wants_src) return status;
    if (a.training != 0) return launch_map<2, true>(p, shape, StoredGradientLines{lines}, ctx);
    const RunPointers<T, 1> alone = {{p.in[0]}, p.out};
    return launch_map<1, false>(alone, shape, ConstantLines<T>{values_of(a.weight), statistics},
                                ctx);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_BATCH_NORM_BACKWARD_H_
