// Which kernel normalises groups of a size.
#ifndef POLYOPS_GPU_GROUP_NORM_FORWARD_LAUNCH_H_
#define POLYOPS_GPU_GROUP_NORM_FORWARD_LAUNCH_H_

#include <algorithm>

#include "forward.h"
#include "held.h"
#include "layout.h"
#include "walk.h"

namespace polyops::gpu {
namespace {

using GroupArgs = polyops_group_norm_args;

inline Runs group_runs(const GroupShape& shape, int64_t pack) {
  return runs_of(shape.rows(), shape.n(), kChunkPacks * pack, kRunThreads);
}

inline size_t group_scratch(const void* p, int32_t) {
  const auto& a = *static_cast<const GroupArgs*>(p);
  const Runs runs = group_runs(group_shape(a.src, a.groups), pack_of(a.src.dtype));
  return std::max(kTeamScratch,
                  static_cast<size_t>(runs.slices * runs.chunks) * kMomentsOfChunk * sizeof(float));
}

template <class T>
GroupCall<T> make_group_call(const GroupArgs& a, const GroupShape& shape) {
  return {static_cast<const T*>(a.src.data),
          static_cast<T*>(a.dst.data),
          values_of(a.weight),
          values_of(a.bias),
          values_of(a.mean),
          values_of(a.rstd),
          static_cast<int32_t>(shape.rows()),
          static_cast<int32_t>(shape.n()),
          static_cast<int32_t>(shape.groups),
          static_cast<int32_t>(shape.width()),
          channels_of(shape.pixels),
          1 / static_cast<float>(shape.n()),
          static_cast<float>(a.eps),
          shape.n() % kPack<T> != 0 || reinterpret_cast<uintptr_t>(a.src.data) % 16 != 0};
}

// By several blocks each.
template <class T>
int launch_split(const GroupCall<T>& call, const Runs& runs, const polyops_context* ctx) {
  auto* const moments = static_cast<float*>(ctx->scratch);
  const int64_t tasks = runs.slices * runs.chunks;
  const int status = launch(slice_moments<T>, {tasks, kRunThreads}, ctx, call.src, runs, moments);
  if (status != POLYOPS_OK) return status;
  return launch(apply_moments<T>, {tasks, kRunThreads}, ctx, call, runs, moments);
}

inline int group_forward(const void* p, const polyops_context* ctx) {
  const auto& a = *static_cast<const GroupArgs*>(p);
  const GroupShape shape = group_shape(a.src, a.groups);
  return with_type(a.src.dtype, [&]<class T>() {
    const GroupCall<T> call = make_group_call<T>(a, shape);
    if (shape.n() / kPack<T> <= kGroupPacks * kHalfWave) {
      const int team = team_of(shape.n() / kPack<T>, kGroupPacks);
      const int threads = threads_of(shape.rows(), team, kRunThreads);
      const int64_t teams = threads / team;
      return launch(group_rows<T>, {(shape.rows() + teams - 1) / teams, threads}, ctx, call, team);
    }
    int status;
    if (launch_group_walk(call, ctx, &status)) return status;
    const auto held = plan_held(shape.rows(), shape.n(), shape.width(), kPack<T>, ctx);
    if (held.blocks > 0) {
      return launch(group_held<T>,
                    {shape.rows() * held.blocks, held.threads, held.shared, held.blocks}, ctx, call,
                    held.shape);
    }
    return launch_split(call, group_runs(shape, kPack<T>), ctx);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_GROUP_NORM_FORWARD_LAUNCH_H_
