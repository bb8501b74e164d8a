// What overloads of several results return.
#ifndef POLYOPS_BINDINGS_TORCH_RESULTS_H_
#define POLYOPS_BINDINGS_TORCH_RESULTS_H_

#include <ATen/core/Tensor.h>

#include <tuple>

namespace polyops::torch_binding {

using Two = std::tuple<at::Tensor, at::Tensor>;
using Three = std::tuple<at::Tensor, at::Tensor, at::Tensor>;
using Four = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_TORCH_RESULTS_H_
