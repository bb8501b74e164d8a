// A barrier of all blocks of a grid, and what some of them tell each other, see gpu/gpu.h. Apart
// from platform.h, since few kernels have that.
#ifndef POLYOPS_CUDA_GRID_BARRIER_H_
#define POLYOPS_CUDA_GRID_BARRIER_H_

#include <cooperative_groups.h>

#include "platform.h"

namespace polyops::gpu {
namespace {

GPU_DEVICE void grid_barrier() { cooperative_groups::this_grid().sync(); }

struct alignas(16) Said {
  float x[3];
  uint32_t turn;
};
// Relaxed, and in one piece with their turn: nothing waits for the stores under way.
GPU_DEVICE void say(Said* place, const Said& said) {
  asm volatile(
      "{\n"
      ".reg .b64 low, high;\n"
      ".reg .b128 all;\n"
      "mov.b64 low, {%1, %2};\n"
      "mov.b64 high, {%3, %4};\n"
      "mov.b128 all, {low, high};\n"
      "st.relaxed.gpu.global.b128 [%0], all;\n"
      "}" ::"l"(place),
      "f"(said.x[0]), "f"(said.x[1]), "f"(said.x[2]), "r"(said.turn)
      : "memory");
}
GPU_DEVICE Said said_now(const Said* place) {
  Said said;
  asm volatile(
      "{\n"
      ".reg .b64 low, high;\n"
      ".reg .b128 all;\n"
      "ld.relaxed.gpu.global.b128 all, [%4];\n"
      "mov.b128 {low, high}, all;\n"
      "mov.b64 {%0, %1}, low;\n"
      "mov.b64 {%2, %3}, high;\n"
      "}"
      : "=f"(said.x[0]), "=f"(said.x[1]), "=f"(said.x[2]), "=r"(said.turn)
      : "l"(place)
      : "memory");
  return said;
}
template <int kCount>
GPU_DEVICE void hear(const Said* places, int first, int blocks, uint32_t turn,
                     Said (&said)[kCount]) {
#pragma unroll
  for (int j = 0; j < kCount; ++j) said[j] = {{0, 0, 0}, first + j * 32 < blocks ? 0u : turn};
  bool all;
  do {
    all = true;
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      if (said[j].turn != turn) said[j] = said_now(places + first + j * 32);
    }
#pragma unroll
    for (int j = 0; j < kCount; ++j) all &= said[j].turn == turn;
  } while (!all);
}
GPU_DEVICE void meet_blocks() {}

GPU_DEVICE void open_blocks(uint32_t* count, bool opens) {
  if (opens && threadIdx.x == 0) *count = 0;
  grid_barrier();
}
// Relaxed: what was said says itself that it is there.
GPU_DEVICE void count_block(uint32_t* count) {
  asm volatile("red.relaxed.gpu.global.add.u32 [%0], 1;" ::"l"(count) : "memory");
}
GPU_DEVICE void await_blocks(const uint32_t* count, uint32_t blocks) {
  if (threadIdx.x % 32 == 0) {
    uint32_t arrived;
    do {
      asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(arrived) : "l"(count) : "memory");
    } while (arrived < blocks);
  }
  __syncwarp();
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_CUDA_GRID_BARRIER_H_
