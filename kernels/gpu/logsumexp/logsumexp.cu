// logsumexp on GPUs.
#include "reduction/log_sum.h"
#include "reduction/state_calls.h"
#include "table.h"

namespace polyops::gpu {
namespace {

const char* logsumexp_supports(const void* data) {
  return reduction_supports(*static_cast<const polyops_reduction_args*>(data), false);
}

size_t logsumexp_scratch(const void* data, int32_t) {
  return state_scratch<LogSum>(*static_cast<const polyops_reduction_args*>(data));
}

int logsumexp(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_reduction_args*>(data);
  return launch_states<LogSum>(a, {{a.dst.data, a.dst.dtype, 1}}, ctx);
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(logsumexp, POLYOPS_GPU_KERNEL("logsumexp", "logsumexp", logsumexp_supports,
                                                  logsumexp_scratch, logsumexp))
