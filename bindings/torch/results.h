// What overloads of several results return.
#ifndef POLYOPS_BINDINGS_TORCH_RESULTS_H_
#define POLYOPS_BINDINGS_TORCH_RESULTS_H_

#include <ATen/core/Tensor.h>

#include <tuple>

#include "torch/allocate.h"
#include "torch/view.h"

namespace polyops::torch_binding {

using Two = std::tuple<at::Tensor, at::Tensor>;
using Three = std::tuple<at::Tensor, at::Tensor, at::Tensor>;
using Four = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

// A new tensor for the view, which is described, if it is wanted.
inline at::Tensor allocate_if(bool wanted, const at::Tensor& like, c10::IntArrayRef sizes,
                              c10::ScalarType type, polyops_tensor* view) {
  at::Tensor result;
  if (!wanted) return result;
  result = allocate(like, sizes, type);
  set_output(view, result);
  return result;
}

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_TORCH_RESULTS_H_
