// Which batches are walked over channel by channel.
#ifndef POLYOPS_GPU_BATCH_NORM_WALK_LAUNCH_H_
#define POLYOPS_GPU_BATCH_NORM_WALK_LAUNCH_H_

#include "channel_norm/walk_plan.h"
#include "held_launch.h"
#include "layout.h"
#include "walk.h"

namespace polyops::gpu {
namespace {

// Whether it was launched; `status` then says how that went.
template <class T, int kInputs, class What, class Clustered, class Teamed>
bool launch_walk(const RunPointers<T, kInputs>& p, const BatchShape& shape, const What& what,
                 Clustered clustered, Teamed teamed, const polyops_context* ctx, int* status) {
  constexpr int kWide = kPack<T>;
  if (shape.last || shape.pixels % kWide != 0) return false;
  if (!aligned({p.in[0], p.in[kInputs - 1], p.out})) return false;
  const WalkTask task = {shape.channels, shape.samples, shape.pixels / kWide, kInputs, 0,
                         kHeldBytes};
  const WalkPlan plan = plan_walk(
      task, [&](int64_t blocks) { return resident_clusters(clustered, blocks, ctx); }, ctx);
  if (plan.blocks == 0) return false;
  *status = launch_planned(plan, clustered, teamed, ctx, what, p);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_BATCH_NORM_WALK_LAUNCH_H_
