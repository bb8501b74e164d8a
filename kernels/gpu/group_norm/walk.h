// Groups of whole packs of each channel, walked over (channel_norm/walk.h): more of them than find
// room at the same time; such as no cluster has room for, by teams; such as clusters of few blocks
// almost have room for, all at once. (Others are quicker by held.h: float32 16x1280x16x16 in 12 us
// on an H200, and in 17.)
#ifndef POLYOPS_GPU_GROUP_NORM_WALK_H_
#define POLYOPS_GPU_GROUP_NORM_WALK_H_

#include "channel_norm/walk_forward.h"
#include "channel_norm/walk_plan.h"
#include "forward.h"

namespace polyops::gpu {
namespace {

struct alignas(8) Affine {
  float weight, bias;
};

// See walk_forward(). A group's parameters, of at most as many channels as a block has threads, are
// in the block's memory, in two places in turn.
template <class T>
struct GroupWalk {
  GroupCall<T> call;
  Division by_packs;  // of a channel

  struct PackLines {
    const Affine* affine;
    Division by_packs;
    float center, low, rstd;

    GPU_DEVICE Line operator()(uint32_t pack) const {
      const Affine of = affine[by_packs.quotient(pack)];
      const float scale = rstd * of.weight;
      return {center, scale, fmaf(-low, scale, of.bias)};
    }
  };

  GPU_DEVICE Affine* place(int turn, float* room) const {
    return reinterpret_cast<Affine*>(room) + turn % 2 * call.width;
  }
  GPU_DEVICE Affine load(int32_t row) const {
    if (thread_id() >= call.width) return {};
    const int32_t at = row % call.groups * call.width + thread_id();
    return {call.weight.data == nullptr ? 1.0f : load_value<T>(call.weight, at),
            call.bias.data == nullptr ? 0.0f : load_value<T>(call.bias, at)};
  }
  GPU_DEVICE void stage(const Affine& loaded, int turn, float* room) const {
    if (thread_id() < call.width) place(turn, room)[thread_id()] = loaded;
  }
  GPU_DEVICE PackLines lines(const Affine&, int turn, float* room, const Welford& w) const {
    const float var = w.square < 0 ? 0.0f : w.square * call.inv_n;
    return {place(turn, room), by_packs, w.mean, w.low, rsqrt_fast(var + call.eps)};
  }
  GPU_DEVICE void store(int32_t row, const Welford& w) const {
    store_statistics(call, row, w.mean, {0, w.square, w.count, w.low}, true);
  }
};

// Of a block's packs, so that two of them share a multiprocessor, where a cluster can have more.
constexpr int64_t kGroupWalkBytes = 100 << 10;

// Whether it was launched; `status` then says how that went.
template <class T>
bool launch_group_walk(const GroupCall<T>& call, const polyops_context* ctx, int* status) {
  const bool aligned = reinterpret_cast<uintptr_t>(call.dst) % 16 == 0;
  if (call.ragged || !aligned || call.channels.inner % kPack<T> != 0) return false;
  const int64_t room = 2 * call.width * static_cast<int64_t>(sizeof(Affine));
  const WalkTask task = {call.rows, 1, call.n / kPack<T>, 1, room, kGroupWalkBytes, true};
  const auto clustered = walk_forward<T, GroupWalk<T>, ByCluster>;
  const WalkPlan plan = plan_walk(
      task, [&](int64_t blocks) { return resident_clusters(clustered, blocks, ctx); }, ctx);
  if (plan.blocks == 0 || plan.threads < call.width) return false;
  const bool at_once = plan.clusters == call.rows && plan.shape.places == plan.shape.part;
  if (at_once && !plan.teams) return false;
  const GroupWalk<T> walk = {call, Division(static_cast<uint32_t>(call.channels.inner / kPack<T>))};
  const RunPointers<T, 1> p = {{call.src}, call.dst};
  *status = launch_planned(plan, clustered, walk_forward<T, GroupWalk<T>, ByTeam>, ctx, walk, p);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_GROUP_NORM_WALK_H_
