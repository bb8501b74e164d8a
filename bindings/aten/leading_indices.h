// Of x[i, j, ..]: the tensors of indices along the first dimensions.
#ifndef POLYOPS_BINDINGS_ATEN_LEADING_INDICES_H_
#define POLYOPS_BINDINGS_ATEN_LEADING_INDICES_H_

#include <ATen/core/List.h>
#include <ATen/core/Tensor.h>

#include <optional>

namespace polyops::torch_binding {

using TensorList = c10::List<std::optional<at::Tensor>>;

// How many there are; 0 if there are more than `most`, or others behind a dimension without.
inline int leading_indices(const TensorList& indices, int most, at::Tensor* into) {
  int count = 0;
  for (size_t i = 0; i < indices.size(); ++i) {
    const std::optional<at::Tensor> each = indices.get(i);
    if (!each.has_value() || !each->defined()) continue;
    if (static_cast<int>(i) != count || count == most) return 0;
    into[count++] = *each;
  }
  return count;
}

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_ATEN_LEADING_INDICES_H_
