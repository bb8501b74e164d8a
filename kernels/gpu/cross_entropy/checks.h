// What kernels of rows and of pixels ask of their arguments.
#ifndef POLYOPS_GPU_CROSS_ENTROPY_CHECKS_H_
#define POLYOPS_GPU_CROSS_ENTROPY_CHECKS_H_

#include <cstdint>

#include "nll_loss/samples.h"
#include "polyops/tensor_view.h"

namespace polyops::gpu {
namespace {

inline bool is_float(const polyops_tensor& t, int64_t elements) {
  return t.dtype == POLYOPS_FLOAT32 && polyops_numel(&t) == elements && polyops_is_contiguous(&t);
}

// In either direction. value: the loss, or its gradient.
template <class Args>
const char* unsupported(const Args& a, const polyops_tensor& value) {
  if (const char* reason = unsupported(a.src, a.target, a.weight)) return reason;
  if (value.dtype != a.src.dtype) return "dtype";
  if (!fits_reduction(value, a.reduction, a.src)) return "shape";
  return a.label_smoothing >= 0 && a.label_smoothing <= 1 ? nullptr : "label smoothing";
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CROSS_ENTROPY_CHECKS_H_
