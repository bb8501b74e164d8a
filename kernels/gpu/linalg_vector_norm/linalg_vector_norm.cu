// linalg_vector_norm on GPUs: a kernel each for order 2, 1, both infinities, and what is left.
#include <cmath>

#include "polyops/ops/linalg_vector_norm.h"
#include "reduction/norms.h"
#include "reduction/state_calls.h"
#include "table.h"

namespace polyops::gpu {
namespace {

polyops_reduction_args reduction_of(const polyops_vector_norm_args& a) {
  return {sizeof(polyops_reduction_args), a.dims, a.src, a.dst};
}

// What a norm folds by for an order that is its own.
void set_up(double, Squares*) {}
void set_up(double, Magnitudes*) {}
void set_up(double order, ExtremeMagnitude* norm) { norm->sign = order > 0 ? 0 : 0x80000000u; }
void set_up(double order, Powers* norm) { norm->order = static_cast<float>(order); }

bool has_order(double order, const Squares&) { return order == 2; }
bool has_order(double order, const Magnitudes&) { return order == 1; }
bool has_order(double order, const ExtremeMagnitude&) { return std::isinf(order); }
// Those that float32, in which powers are taken, has no number for are none.
bool has_order(double order, const Powers&) {
  const auto taken = static_cast<float>(order);
  return std::isfinite(taken) && (taken != 0 || order == 0) && order != 1 && order != 2;
}

template <class Norm>
const char* norm_supports(const void* data) {
  const auto& a = *static_cast<const polyops_vector_norm_args*>(data);
  if (const char* reason = reduction_supports(reduction_of(a), true)) return reason;
  if (polyops_numel(&a.src) == polyops_numel(&a.dst)) return "one element";
  return has_order(a.order, Norm()) ? nullptr : "order";
}

template <class Norm>
size_t norm_scratch(const void* data, int32_t) {
  return state_scratch<NormOf<Norm>>(
      reduction_of(*static_cast<const polyops_vector_norm_args*>(data)));
}

template <class Norm>
int norm(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_vector_norm_args*>(data);
  typename NormOf<Norm>::Finish dst = {{a.dst.data, a.dst.dtype, 1}, {}};
  set_up(a.order, &dst.norm);
  return launch_states<NormOf<Norm>>(reduction_of(a), dst, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#define POLYOPS_NORM(name, Norm)                                                     \
  POLYOPS_GPU_KERNEL("linalg_vector_norm", "vector_norm_" name, norm_supports<Norm>, \
                     norm_scratch<Norm>, norm<Norm>)
POLYOPS_GPU_KERNELS(linalg_vector_norm, POLYOPS_NORM("squares", Squares),
                    POLYOPS_NORM("magnitudes", Magnitudes),
                    POLYOPS_NORM("extreme", ExtremeMagnitude), POLYOPS_NORM("powers", Powers))
