// amax and amin on GPUs.
#include "reduction/calls.h"
#include "table.h"

namespace polyops::gpu {
namespace {

const char* amax_supports(const void* data) {
  return reduction_supports(*static_cast<const polyops_reduction_args*>(data), false);
}

int amax(const void* data, const polyops_context* ctx) {
  return launch_reduction<Largest>(*static_cast<const polyops_reduction_args*>(data), 1, ctx);
}

int amin(const void* data, const polyops_context* ctx) {
  return launch_reduction<Smallest>(*static_cast<const polyops_reduction_args*>(data), 1, ctx);
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(amax,
                    POLYOPS_GPU_KERNEL("amax", "amax", amax_supports, reduction_scratch, amax),
                    POLYOPS_GPU_KERNEL("amin", "amin", amax_supports, reduction_scratch, amin))
