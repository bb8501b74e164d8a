// The CUDA runtime as this family uses it: linked statically, so its error state and its settings
// are ours, while contexts and streams are the process's.
#ifndef POLYOPS_CUDA_RUNTIME_H_
#define POLYOPS_CUDA_RUNTIME_H_

#include "gpu/launch_shape.h"
#include "polyops/abi.h"

namespace polyops::cuda {

void set_host(const polyops_host* host);

int multiprocessors(int device);

// Bytes of shared memory that a block may have.
int64_t most_shared(int device);

// Blocks of a cluster; 1 where machine code that knows clusters does not run.
int most_cluster(int device);

// Of a launch of clusters, how many run at the same time; asked once per kernel and shape.
int clusters_at_a_time(const void* kernel, const gpu::LaunchShape& shape, int device);

// On the context's device and stream. POLYOPS_ERROR, its text set, if it could not be launched.
int launch(const void* kernel, const gpu::LaunchShape& shape, const polyops_context* ctx,
           void** args);

}  // namespace polyops::cuda

#endif  // POLYOPS_CUDA_RUNTIME_H_
