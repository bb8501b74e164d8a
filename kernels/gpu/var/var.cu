// var, std, var_mean and std_mean on GPUs.
#include "polyops/ops/var.h"
#include "reduction/moments.h"
#include "reduction/state_calls.h"
#include "table.h"

namespace polyops::gpu {
namespace {

polyops_reduction_args reduction_of(const polyops_var_args& a) {
  return {sizeof(polyops_reduction_args), a.dims, a.src, a.dst};
}

// As stock has it: each rounded, then their difference.
float degrees_of_freedom(const polyops_var_args& a) {
  const auto count = static_cast<float>(polyops_numel(&a.src) / polyops_numel(&a.dst));
  return count - static_cast<float>(a.correction);
}

const char* var_supports(const void* data) {
  const auto& a = *static_cast<const polyops_var_args*>(data);
  const polyops_reduction_args reduction = reduction_of(a);
  if (const char* reason = reduction_supports(reduction, false)) return reason;
  if (!(degrees_of_freedom(a) > 0)) return "degrees of freedom";
  if (!polyops_is_present(&a.mean)) return nullptr;
  if (a.mean.dtype != a.dst.dtype) return "dtype";
  if (a.mean.rank != a.dst.rank) return "shape";
  for (int d = 0; d < a.dst.rank; ++d) {
    if (a.mean.sizes[d] != a.dst.sizes[d]) return "shape";
    if (a.dst.sizes[d] != 1 && a.mean.strides[d] != a.dst.strides[d]) return "layout";
  }
  return nullptr;
}

size_t var_scratch(const void* data, int32_t) {
  return state_scratch<Moments>(reduction_of(*static_cast<const polyops_var_args*>(data)));
}

int launch_var(const void* data, bool root, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_var_args*>(data);
  const Result dst = {a.dst.data, a.dst.dtype, 1};
  const Result mean = {a.mean.data, a.dst.dtype, 1};
  return launch_states<Moments>(reduction_of(a), {dst, mean, degrees_of_freedom(a), root}, ctx);
}

int var(const void* data, const polyops_context* ctx) { return launch_var(data, false, ctx); }

int standard(const void* data, const polyops_context* ctx) { return launch_var(data, true, ctx); }

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(var, POLYOPS_GPU_KERNEL("var", "var", var_supports, var_scratch, var),
                    POLYOPS_GPU_KERNEL("std", "std", var_supports, var_scratch, standard),
                    POLYOPS_GPU_KERNEL("var_mean", "var_mean", var_supports, var_scratch, var),
                    POLYOPS_GPU_KERNEL("std_mean", "std_mean", var_supports, var_scratch, standard))
