// Which batches are walked over channel by channel, and by how many blocks.
#ifndef POLYOPS_GPU_BATCH_NORM_WALK_LAUNCH_H_
#define POLYOPS_GPU_BATCH_NORM_WALK_LAUNCH_H_

#include "held_launch.h"
#include "layout.h"
#include "walk_kernels.h"

namespace polyops::gpu {
namespace {

struct WalkPlan {
  ChannelWalk shape;
  int blocks, threads;  // of a cluster, of a block
  int64_t clusters;
  size_t bytes;
};

constexpr int64_t kWalkBesides = 1280;   // bytes of a block's own arrays
constexpr int64_t kWalkResident = 1024;  // threads of a multiprocessor, for their registers
constexpr int64_t kLeastWalkPacks = 4;   // of a thread and a tensor, where there are as many

// Blocks of so many bytes that a multiprocessor has room for, no more than it could get.
inline int64_t resident_blocks(int64_t blocks, int64_t bytes, const polyops_context* ctx) {
  const int64_t room = (most_shared(ctx) + 1024) / (bytes + kWalkBesides + 1024);
  const int64_t wanted = (blocks + multiprocessors(ctx) - 1) / multiprocessors(ctx);
  return room < wanted ? room : wanted;
}

// False: not to be walked over. `inputs`: tensors that are read.
inline bool plan_walk(const BatchShape& shape, int64_t pack, int inputs, const polyops_context* ctx,
                      WalkPlan* plan) {
  const auto up = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
  const auto i32 = [](int64_t x) { return static_cast<int32_t>(x); };
  if (shape.last || shape.pixels % pack != 0) return false;
  const int64_t width = shape.pixels / pack, packs = shape.samples * width;
  const int64_t stride = shape.channels * width;
  if (shape.samples * stride > kMostElements) return false;
  const int64_t most = most_cluster(ctx), bytes = packs * 16 * inputs;
  int64_t blocks = 1;
  while (blocks < most && blocks * 2 <= packs &&
         (bytes > blocks * kHeldBytes || (shape.channels * blocks < multiprocessors(ctx) &&
                                          bytes > blocks * kLeastHeldBytes))) {
    blocks *= 2;
  }
  const int64_t part = up(packs, blocks), held = part * 16 * inputs;
  const int64_t each = resident_blocks(shape.channels * blocks, held, ctx);
  if (each == 0) return false;
  int64_t threads = kWalkResident / each / kWholeWaves * kWholeWaves;
  if (threads * kLeastWalkPacks > part) threads = up(part, kLeastWalkPacks * kWholeWaves) * kWholeWaves;
  if (threads < kWholeWaves) threads = kWholeWaves;
  // Fewer than find room: parts of the chip have fewer multiprocessors than others, and those of a
  // cluster are of one part.
  int64_t clusters = multiprocessors(ctx) * each;
  if (blocks > 1) clusters = clusters * 15 / 16 / blocks;
  if (clusters < 1) clusters = 1;
  const ChannelWalk walk = {i32(shape.channels),
                            i32(packs),
                            i32(width),
                            i32(stride),
                            Division(static_cast<uint32_t>(width)),
                            i32(part),
                            i32(threads / width * stride + threads % width),
                            i32(threads % width),
                            i32(up(up(part, threads), kWalkStages))};
  *plan = {walk, static_cast<int>(blocks), static_cast<int>(threads),
           up(shape.channels, up(shape.channels, clusters)), static_cast<size_t>(held)};
  return true;
}

// Whether it was launched; `status` then says how that went.
template <class T, int kInputs, class What>
bool launch_walk(const RunPointers<T, kInputs>& p, const BatchShape& shape, const What& what,
                 void (*kernel)(ChannelWalk, What, RunPointers<T, kInputs>),
                 const polyops_context* ctx, int* status) {
  WalkPlan plan;
  if (!aligned({p.in[0], p.in[kInputs - 1], p.out})) return false;
  if (!plan_walk(shape, kPack<T>, kInputs, ctx, &plan)) return false;
  *status = launch(kernel, {plan.clusters * plan.blocks, plan.threads, plan.bytes, plan.blocks},
                   ctx, plan.shape, what, p);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_BATCH_NORM_WALK_LAUNCH_H_
