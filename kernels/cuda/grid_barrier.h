// Barriers of all blocks of a grid, and of some, see gpu/gpu.h. Apart from platform.h, since few
// kernels have one.
#ifndef POLYOPS_CUDA_GRID_BARRIER_H_
#define POLYOPS_CUDA_GRID_BARRIER_H_

#include <cooperative_groups.h>

#include "platform.h"

namespace polyops::gpu {
namespace {

GPU_DEVICE void grid_barrier() { cooperative_groups::this_grid().sync(); }

GPU_DEVICE void open_blocks(uint32_t* count, bool opens) {
  if (opens && threadIdx.x == 0) *count = 0;
  grid_barrier();
}
GPU_DEVICE void blocks_barrier(uint32_t* count, int turn, int blocks) {
  __syncthreads();
  if (threadIdx.x == 0) {
    const uint32_t all = static_cast<uint32_t>(turn + 1) * blocks;
    asm volatile("red.release.gpu.global.add.u32 [%0], 1;" ::"l"(count) : "memory");
    uint32_t arrived;
    do {
      asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(arrived) : "l"(count) : "memory");
    } while (arrived < all);
  }
  __syncthreads();
}
GPU_DEVICE void await_blocks(const uint32_t* count) {
  if (threadIdx.x == 0) {
    uint32_t arrived;
    do {
      asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(arrived) : "l"(count) : "memory");
    } while (arrived == 0);
  }
  __syncthreads();
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_CUDA_GRID_BARRIER_H_
