// Groups that stay in shared memory between the sums over them and the results: by how many blocks,
// and what those have in common.
#ifndef POLYOPS_GPU_GROUP_NORM_HELD_PLAN_H_
#define POLYOPS_GPU_GROUP_NORM_HELD_PLAN_H_

#include "channel_norm/runs.h"
#include "layer_norm/layout.h"
#include "reduce.h"

namespace polyops::gpu {
namespace {

constexpr int kHeldThreads = 640;  // at most, twice: 48 registers

// Over the block. `shared`: kSums * kMostWaves elements that nobody uses since the last barrier.
template <int kSums>
GPU_DEVICE void sum_block(float (&x)[kSums], float* shared) {
  sum_lanes(x, wave_size());
  const int lane = thread_id() % wave_size();
  if (lane == 0) {
#pragma unroll
    for (int i = 0; i < kSums; ++i) shared[i * kMostWaves + thread_id() / wave_size()] = x[i];
  }
  barrier();
#pragma unroll
  for (int i = 0; i < kSums; ++i) {
    x[i] = lane < block_threads() / wave_size() ? shared[i * kMostWaves + lane] : 0.0f;
  }
  sum_lanes(x, wave_size());
}

// Of a block, as long as a cluster can have more of them: five share a multiprocessor.
constexpr int64_t kHeldBytes = 44 << 10;
constexpr int64_t kHeldSlack = 2 << 10;     // its own arrays, and what the device takes
constexpr int64_t kLeastHeldPacks = 128;    // of a block of a cluster
constexpr int64_t kThreadPacks = 4;         // a thread's at least, where there are as many
constexpr int64_t kResidentThreads = 1280;  // of a multiprocessor

inline int64_t round_up_quotient(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Blocks of a cluster, a power of two, for groups of so many packs, which take so many bytes each.
inline int64_t held_blocks(int64_t rows, int64_t packs, int64_t bytes, const polyops_context* ctx) {
  const int64_t most = most_cluster(ctx);
  int64_t blocks = 1;
  while (2 * blocks <= most && packs >= 2 * blocks * kLeastHeldPacks) {
    const bool small = round_up_quotient(packs, blocks) * bytes <= kHeldBytes;
    if (small && rows * blocks > multiprocessors(ctx)) break;
    blocks *= 2;
  }
  return blocks;
}

template <class Shape>
struct HeldPlan {
  int blocks;  // of a cluster
  int threads;
  Shape shape;  // of what a block has
  size_t shared;
};

// Blocks of at most so many packs, which need so much shared memory.
template <class Shape>
HeldPlan<Shape> plan_blocks(const Shape& shape, int64_t rows, int64_t blocks, int64_t packs,
                            int64_t shared, const polyops_context* ctx) {
  const int64_t room = most_shared(ctx);
  if (shared + kHeldSlack > room) return {};
  int64_t resident = room / (shared + kHeldSlack);
  const int64_t wanted = round_up_quotient(rows * blocks, multiprocessors(ctx));
  if (resident > wanted) resident = wanted;
  int64_t threads = kResidentThreads / resident;
  const int64_t busy = round_up_quotient(packs, kThreadPacks);
  if (threads > busy) threads = busy;
  threads = round_up_quotient(threads, kWholeWaves) * kWholeWaves;
  if (threads > kHeldThreads) threads = kHeldThreads;
  return {static_cast<int>(blocks), static_cast<int>(threads), shape, static_cast<size_t>(shared)};
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_GROUP_NORM_HELD_PLAN_H_
