#ifndef POLYOPS_GPU_LAUNCH_SHAPE_H_
#define POLYOPS_GPU_LAUNCH_SHAPE_H_

#include <cstddef>
#include <cstdint>

namespace polyops::gpu {

struct LaunchShape {
  int64_t blocks;           // up to 2^31 - 1
  int threads;              // per block, a multiple of the wave
  size_t shared_bytes = 0;  // dynamic
  int cluster = 1;          // blocks that run at the same time and reach each other's shared memory
  // All blocks run at the same time; the multiprocessors have room for them.
  bool whole = false;
};

inline constexpr int64_t kMostBlocks = 0x7fffffff;
// All shared memory that a block may have, where it is asked how much fits: one to a
// multiprocessor.
inline constexpr size_t kAllShared = ~size_t{0};

}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAUNCH_SHAPE_H_
