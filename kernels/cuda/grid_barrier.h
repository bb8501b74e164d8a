// A barrier of all blocks of a grid, see gpu/gpu.h. Apart from platform.h, since few kernels have
// one.
#ifndef POLYOPS_CUDA_GRID_BARRIER_H_
#define POLYOPS_CUDA_GRID_BARRIER_H_

#include <cooperative_groups.h>

#include "platform.h"

namespace polyops::gpu {
namespace {

GPU_DEVICE void grid_barrier() { cooperative_groups::this_grid().sync(); }

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_CUDA_GRID_BARRIER_H_
