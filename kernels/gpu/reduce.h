// One value of all lanes of a team: of a wave or a part of it by shuffles, of a block through shared
// memory. Every lane gets the same bits, whatever the order in which lanes run.
#ifndef POLYOPS_GPU_REDUCE_H_
#define POLYOPS_GPU_REDUCE_H_

#include "gpu.h"

namespace polyops::gpu {
namespace {

struct Sum {
  static constexpr float kIdentity = 0;
  GPU_DEVICE float operator()(float a, float b) const { return a + b; }
};
// Ignores NaN.
struct Max {
  static constexpr float kIdentity = -__builtin_huge_valf();
  GPU_DEVICE float operator()(float a, float b) const { return fmaxf(a, b); }
};

// Of `lanes` neighbours, a power of two up to the wave.
template <class Op>
GPU_DEVICE float reduce_lanes(float x, int lanes, Op op) {
  for (int mask = lanes / 2; mask > 0; mask /= 2) x = op(x, shuffle_xor(x, mask));
  return x;
}

// The shared memory of one reduction of a block; another one at the same time needs its own.
inline constexpr int kMostWaves = 32;

// Of the block. `shared` has kMostWaves elements that nobody uses since the last barrier; they may
// be used again after the next one.
template <class Op>
GPU_DEVICE float reduce_block(float x, float* shared, Op op) {
  const int waves = block_threads() / wave_size();
  x = reduce_lanes(x, wave_size(), op);
  if (waves == 1) return x;
  const int lane = thread_id() % wave_size();
  if (lane == 0) shared[thread_id() / wave_size()] = x;
  barrier();
  return reduce_lanes(lane < waves ? shared[lane] : Op::kIdentity, wave_size(), op);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_REDUCE_H_
