// What layer_norm and rms_norm ask of their arguments alike.
#ifndef POLYOPS_BINDINGS_ATEN_NORMALIZED_H_
#define POLYOPS_BINDINGS_ATEN_NORMALIZED_H_

#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>

#include <algorithm>
#include <optional>

#include "torch/view.h"

namespace polyops::torch_binding {

inline const char* check_normalized(const at::Tensor& input, at::IntArrayRef normalized_shape) {
  if (!input.defined()) return "undefined tensor";
  const auto count = normalized_shape.size();
  if (count < 1 || static_cast<size_t>(input.dim()) < count) return "shape";
  return input.sizes().slice(input.dim() - count) == normalized_shape ? nullptr : "shape";
}

// float_beside_half: whether float32 may stand beside 16 bits.
inline const char* describe_parameter(const at::Tensor* parameter, const at::Tensor& input,
                                      at::IntArrayRef normalized_shape, bool float_beside_half,
                                      polyops_tensor* view) {
  *view = absent();
  if (parameter == nullptr) return nullptr;
  if (parameter->sizes() != normalized_shape) return "shape";
  if (parameter->device() != input.device()) return "mixed devices";
  const bool half = input.scalar_type() == at::kBFloat16 || input.scalar_type() == at::kHalf;
  const bool mixed = float_beside_half && half && parameter->scalar_type() == at::kFloat;
  if (parameter->scalar_type() != input.scalar_type() && !mixed) return "mixed dtypes";
  if (!parameter->is_contiguous()) return "layout of a parameter";
  return describe(*parameter, view);
}

inline c10::SmallVector<int64_t, 8> statistics_sizes(const at::Tensor& input,
                                                     size_t normalized_rank) {
  c10::SmallVector<int64_t, 8> sizes(input.sizes().begin(), input.sizes().end());
  std::fill(sizes.end() - normalized_rank, sizes.end(), 1);
  return sizes;
}

inline const char* describe_statistics(const at::Tensor& tensor, const at::Tensor& input,
                                       at::ScalarType type, int64_t rows, polyops_tensor* view) {
  if (!tensor.defined()) return "undefined tensor";
  if (tensor.scalar_type() != type || tensor.device() != input.device()) return "mixed dtypes";
  if (tensor.numel() != rows) return "shape";
  if (!tensor.is_contiguous()) return "layout of a statistic";
  return describe(tensor, view);
}

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_ATEN_NORMALIZED_H_
