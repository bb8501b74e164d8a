// sum and mean on GPUs.
#include "reduction/calls.h"
#include "table.h"

namespace polyops::gpu {
namespace {

const char* sum_supports(const void* data) {
  return reduction_supports(*static_cast<const polyops_reduction_args*>(data), true);
}

int sum(const void* data, const polyops_context* ctx) {
  return launch_reduction<Sum>(*static_cast<const polyops_reduction_args*>(data), 1, ctx);
}

int mean(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_reduction_args*>(data);
  const int64_t count = polyops_numel(&a.src) / polyops_numel(&a.dst);
  return launch_reduction<Sum>(a, static_cast<float>(count), ctx);
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(sum, POLYOPS_GPU_KERNEL("sum", "sum", sum_supports, reduction_scratch, sum),
                    POLYOPS_GPU_KERNEL("mean", "mean", sum_supports, reduction_scratch, mean))
