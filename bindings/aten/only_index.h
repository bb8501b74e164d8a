// Of x[i, ..]: the one tensor of indices along the first dimension.
#ifndef POLYOPS_BINDINGS_ATEN_ONLY_INDEX_H_
#define POLYOPS_BINDINGS_ATEN_ONLY_INDEX_H_

#include <ATen/core/List.h>
#include <ATen/core/Tensor.h>

#include <optional>

namespace polyops::torch_binding {

using TensorList = c10::List<std::optional<at::Tensor>>;

// False if there are others, or it is not of the first dimension.
inline bool only_index(const TensorList& indices, at::Tensor* index) {
  for (size_t i = 0; i < indices.size(); ++i) {
    const std::optional<at::Tensor> each = indices.get(i);
    const bool there = each.has_value() && each->defined();
    if (there != (i == 0)) return false;
    if (there) *index = *each;
  }
  return index->defined();
}

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_ATEN_ONLY_INDEX_H_
