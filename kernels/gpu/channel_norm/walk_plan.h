// By how many blocks channels are walked over, see walk.h.
#ifndef POLYOPS_GPU_CHANNEL_NORM_WALK_PLAN_H_
#define POLYOPS_GPU_CHANNEL_NORM_WALK_PLAN_H_

#include "layer_norm/layout.h"
#include "walk.h"

namespace polyops::gpu {
namespace {

struct WalkPlan {
  ChannelWalk shape;
  int blocks, threads;  // of a cluster, of a block
  int64_t clusters;
  size_t bytes;
};

constexpr int64_t kWalkBesides = 1280;        // bytes of a block's own arrays
constexpr int64_t kWalkResident = 1024;       // threads of a multiprocessor, for their registers
constexpr int64_t kLeastWalkPacks = 4;        // of a thread and a tensor, where there are as many
constexpr int64_t kLeastWalkBytes = 8 << 10;  // worth another block

// Blocks of so many bytes that a multiprocessor has room for, no more than it could get.
inline int64_t resident_blocks(int64_t blocks, int64_t bytes, const polyops_context* ctx) {
  const int64_t room = (most_shared(ctx) + 1024) / (bytes + kWalkBesides + 1024);
  const int64_t wanted = (blocks + multiprocessors(ctx) - 1) / multiprocessors(ctx);
  return room < wanted ? room : wanted;
}

// Clusters that walk, as many as find room at the same time, or a few less: parts of the chip have fewer
// multiprocessors than others, and those of a cluster are of one part (pairs find room everywhere).
// All as many turns.
inline int64_t walking_clusters(int64_t channels, int64_t blocks, int64_t resident,
                                const polyops_context* ctx) {
  int64_t clusters = multiprocessors(ctx) * resident;
  if (blocks > 2) clusters = clusters * 15 / 16;
  clusters /= blocks;
  if (clusters < 1) clusters = 1;
  const int64_t turns = (channels + clusters - 1) / clusters;
  return (channels + turns - 1) / turns;
}

// Of rows of `width` packs of a channel, of `inputs` tensors that are read; `besides`: bytes of a block
// for what else it keeps; most: bytes of a block's packs, where a cluster can have more blocks. Without
// blocks where there is no room.
inline WalkPlan plan_walk(int64_t channels, int64_t rows, int64_t width, int inputs,
                          int64_t besides, int64_t most, const polyops_context* ctx) {
  const auto up = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
  const auto i32 = [](int64_t x) { return static_cast<int32_t>(x); };
  const int64_t packs = rows * width, stride = channels * width, bytes = packs * 16 * inputs;
  if (rows * stride > kMostElements) return {};
  int64_t blocks = 1;
  while (blocks < most_cluster(ctx) && blocks * 2 <= packs &&
         (bytes > blocks * most ||
          (channels * blocks < multiprocessors(ctx) && bytes > blocks * kLeastWalkBytes))) {
    blocks *= 2;
  }
  const int64_t part = up(packs, blocks), held = part * 16 * inputs + besides;
  const int64_t resident = resident_blocks(channels * blocks, held, ctx);
  if (resident == 0) return {};
  int64_t threads = kWalkResident / resident / kWholeWaves * kWholeWaves;
  const int64_t busy = up(part, kLeastWalkPacks * kWholeWaves) * kWholeWaves;
  if (threads > busy) threads = busy;
  if (threads < kWholeWaves) threads = kWholeWaves;
  const ChannelWalk walk = {i32(channels),
                            i32(packs),
                            i32(width),
                            i32(stride),
                            Division(static_cast<uint32_t>(width)),
                            i32(part),
                            i32(threads / width * stride + threads % width),
                            i32(threads % width),
                            i32(up(up(part, threads), kWalkStages))};
  return {walk, static_cast<int>(blocks), static_cast<int>(threads),
          walking_clusters(channels, blocks, resident, ctx), static_cast<size_t>(held)};
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CHANNEL_NORM_WALK_PLAN_H_
