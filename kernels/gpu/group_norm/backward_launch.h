// Which kernels take the gradients of groups of a size.
#ifndef POLYOPS_GPU_GROUP_NORM_BACKWARD_LAUNCH_H_
#define POLYOPS_GPU_GROUP_NORM_BACKWARD_LAUNCH_H_

#include "backward.h"
#include "backward_held.h"
#include "layout.h"

namespace polyops::gpu {
namespace {

using GroupBackwardArgs = polyops_group_norm_backward_args;

// Half as much for each of two tensors.
inline Runs gradient_runs(const GroupShape& shape, int64_t pack) {
  return runs_of(shape.rows(), shape.n(), kChunkPacks / 2 * pack, kRunThreads);
}

// Channels of samples as slices, `lanes` threads for a chunk of one.
inline Runs plane_runs(const GroupShape& shape, int64_t pack) {
  const int lanes = lanes_of(shape.pixels, pack * kSumsPacks, kRunThreads);
  return runs_of(shape.samples * shape.channels, shape.pixels, kChunkPacks / 2 * pack, lanes);
}

// Bytes to what teams have of the workspace, behind as many pairs of sums.
inline size_t team_offset(int64_t pairs) {
  return static_cast<size_t>(quotient_up(pairs * 2 * sizeof(float), 16) * 16);
}

inline size_t group_backward_scratch(const void* p, int32_t) {
  const auto& a = *static_cast<const GroupBackwardArgs*>(p);
  const GroupShape shape = group_shape(a.src, a.groups);
  const Runs runs = plane_runs(shape, pack_of(a.src.dtype));
  const int64_t most = most_unit_parts(runs.slices, shape.pixels);
  return team_offset(runs.slices * (runs.chunks < most ? most : runs.chunks)) + kTeamScratch;
}

template <class T>
GroupGradient<T> make_group_gradient(const GroupBackwardArgs& a, const GroupShape& shape,
                                     int32_t parts, const polyops_context* ctx) {
  return {static_cast<const T*>(a.grad_dst.data),
          static_cast<const T*>(a.src.data),
          static_cast<T*>(a.grad_src.data),
          values_of(a.weight),
          values_of(a.mean),
          values_of(a.rstd),
          static_cast<int32_t>(shape.groups),
          static_cast<int32_t>(shape.width()),
          channels_of(shape.pixels),
          1 / static_cast<float>(shape.n()),
          static_cast<float*>(ctx->scratch),
          parts};
}

// Whether every channel is whole packs.
inline bool planes_fit(const GroupBackwardArgs& a, const GroupShape& shape, int64_t pack) {
  const auto aligned = [](const polyops_tensor& t) {
    return reinterpret_cast<uintptr_t>(t.data) % 16 == 0;
  };
  return shape.pixels % pack == 0 && aligned(a.grad_dst) && aligned(a.src) && aligned(a.grad_src);
}

template <class T, int kWide, class By>
int launch_held(const GradientPlan& plan, const GroupBackwardArgs& a, const GroupShape& shape,
                const polyops_context* ctx, const By& by) {
  LaunchShape launched = {plan.clusters * plan.held.blocks, plan.held.threads, plan.held.shared};
  launched.whole = plan.teams;
  if (!plan.teams) launched.cluster = plan.held.blocks;
  const int64_t resident =
      resident_blocks(launched.blocks, static_cast<int64_t>(launched.shared_bytes), ctx);
  HeldUnits units = plan.held.shape;
  units.early =
      static_cast<int32_t>(early_packs(resident == 0 ? 1 : resident, 2 * sizeof(Piece<T, kWide>)));
  return launch(group_gradient_held<T, kWide, By>, launched, ctx,
                make_group_gradient<T>(a, shape, units.parts, ctx), units,
                static_cast<int32_t>(shape.rows()), by);
}

template <class T>
int launch_teams(const GradientPlan& plan, const GroupBackwardArgs& a, const GroupShape& shape,
                 const polyops_context* ctx) {
  const int64_t pairs = shape.samples * shape.channels * plan.held.shape.parts;
  auto* const scratch = static_cast<char*>(ctx->scratch) + team_offset(pairs);
  return launch_held<T, kPack<T>>(plan, a, shape, ctx,
                                  by_team(scratch, plan.held.blocks, plan.clusters, shape.rows()));
}

// By clusters, or by teams where channels are whole packs.
template <class T, int kWide>
GradientPlan plan_gradient(const GroupShape& shape, const polyops_context* ctx) {
  const int64_t pieces = shape.pixels / kWide;
  const auto kernel = group_gradient_held<T, kWide, ByCluster>;
  const auto walking = [&](const HeldPlan<HeldUnits>& held) {
    const auto shared = static_cast<int64_t>(held.shared);
    return walking_clusters(shape.rows(), resident_blocks(shape.rows() * held.blocks, shared, ctx) *
                                              resident_clusters(kernel, held.blocks, ctx));
  };
  const GradientPlan plan = plan_held_gradient(shape.rows(), shape.width(), pieces,
                                               sizeof(Piece<T, kWide>), walking, ctx);
  if (kWide == 1) return plan;
  const int64_t parts = most_unit_parts(shape.samples * shape.channels, shape.pixels);
  return plan_team_gradient(shape.rows(), shape.width(), pieces, parts, plan, ctx);
}

// By several blocks each; leaves the sums as the held ones do.
template <class T>
int launch_split_gradient(const GroupBackwardArgs& a, const GroupShape& shape,
                          const polyops_context* ctx, int32_t* parts) {
  const Runs planes = plane_runs(shape, kPack<T>), runs = gradient_runs(shape, kPack<T>);
  *parts = planes.chunks;
  const SumsCall<T> sums = {static_cast<const T*>(a.grad_dst.data),
                            static_cast<const T*>(a.src.data),
                            {values_of(a.mean), values_of(a.rstd), false, 0},
                            planes,
                            static_cast<int32_t>(shape.channels),
                            static_cast<int32_t>(shape.width()),
                            static_cast<float*>(ctx->scratch)};
  const int team = planes.lanes;
  const int64_t blocks = (planes.slices * planes.chunks * team + kRunThreads - 1) / kRunThreads;
  const int status = launch(slice_sums<T>, {blocks, kRunThreads}, ctx, sums, team);
  if (status != POLYOPS_OK || !polyops_is_present(&a.grad_src)) return status;
  return launch(split_gradient<T>, {runs.slices * runs.chunks, kRunThreads}, ctx,
                make_group_gradient<T>(a, shape, *parts, ctx), runs);
}

// Leaves the sums of every channel of each sample, in so many parts.
template <class T>
int launch_group_gradient(const GroupBackwardArgs& a, const GroupShape& shape,
                          const polyops_context* ctx, int32_t* parts) {
  if (polyops_is_present(&a.grad_src)) {
    const bool packs = planes_fit(a, shape, kPack<T>);
    const GradientPlan plan =
        packs ? plan_gradient<T, kPack<T>>(shape, ctx) : plan_gradient<T, 1>(shape, ctx);
    *parts = plan.held.shape.parts;
    if (plan.teams) return launch_teams<T>(plan, a, shape, ctx);
    if (plan.held.blocks > 0) {
      return packs ? launch_held<T, kPack<T>>(plan, a, shape, ctx, ByCluster{})
                   : launch_held<T, 1>(plan, a, shape, ctx, ByCluster{});
    }
  }
  return launch_split_gradient<T>(a, shape, ctx, parts);
}

inline int group_backward(const void* p, const polyops_context* ctx) {
  const auto& a = *static_cast<const GroupBackwardArgs*>(p);
  const GroupShape shape = group_shape(a.src, a.groups);
  return with_type(a.src.dtype, [&]<class T>() {
    int32_t parts;
    const int status = launch_group_gradient<T>(a, shape, ctx, &parts);
    ChannelResults to = {};
    to.grad_weight = values_of(a.grad_weight);
    to.grad_bias = values_of(a.grad_bias);
    const bool wanted = to.grad_weight.data != nullptr || to.grad_bias.data != nullptr;
    if (status != POLYOPS_OK || !wanted) return status;
    return launch_channel_sums<T>(static_cast<const float*>(ctx->scratch), shape.samples * parts,
                                  shape.channels, to, ctx);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_GROUP_NORM_BACKWARD_LAUNCH_H_
