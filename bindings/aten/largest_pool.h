// Pools that keep the largest of each window, and their gradients, once they are described: their
// results and indices, or what the gradients go to, in the format of the shape.
#ifndef POLYOPS_BINDINGS_ATEN_LARGEST_POOL_H_
#define POLYOPS_BINDINGS_ATEN_LARGEST_POOL_H_

#include <ATen/core/Tensor.h>

#include <optional>
#include <utility>

#include "aten/pool_window.h"
#include "torch/allocate.h"
#include "torch/call.h"
#include "torch/results.h"
#include "torch/view.h"

namespace polyops::torch_binding {

template <class Args>
bool run_pool(Call& call, const at::Tensor& self, const at::Tensor& out, const at::Tensor& indices,
              Args* args) {
  set_input(&args->src, self);
  set_output(&args->dst, out);
  set_output(&args->indices, indices);
  return call.launch(args, out);
}

template <class Args>
std::optional<Two> pool_largest(Call& call, const at::Tensor& self, const PoolShape& shape,
                                Args* args) {
  if (!call.choose(args)) return std::nullopt;
  at::Tensor out = allocate(self, shape.results, self.scalar_type(), shape.format);
  at::Tensor indices = allocate(self, shape.results, at::kLong, shape.format);
  if (!run_pool(call, self, out, indices, args)) return std::nullopt;
  return Two(std::move(out), std::move(indices));
}

template <class Args>
bool pool_largest_into(Call& call, const at::Tensor& self, const PoolShape& shape,
                       const at::Tensor& out, const at::Tensor& indices, Args* args) {
  const char* reason = check_pool_out(out, shape.results, self, self.scalar_type(), shape.format);
  if (!reason) reason = check_pool_out(indices, shape.results, self, at::kLong, shape.format);
  if (reason) return call.decline(reason);
  if (shares_storage(out, self) || shares_storage(indices, self) || shares_storage(out, indices)) {
    return call.decline("out shares memory with an input");
  }
  return call.choose(args) && run_pool(call, self, out, indices, args);
}

template <class Args>
bool run_pool_backward(Call& call, const at::Tensor& grad_output, const at::Tensor& indices,
                       const at::Tensor& grad_input, Args* args) {
  set_input(&args->grad_dst, grad_output);
  set_input(&args->indices, indices);
  set_output(&args->grad_src, grad_input);
  return call.launch(args, grad_input);
}

template <class Args>
std::optional<at::Tensor> pool_largest_backward(Call& call, const at::Tensor& grad_output,
                                                const at::Tensor& self, const at::Tensor& indices,
                                                const PoolShape& shape, Args* args) {
  if (!call.choose(args)) return std::nullopt;
  at::Tensor grad_input = allocate(self, self.sizes(), self.scalar_type(), shape.format);
  if (!run_pool_backward(call, grad_output, indices, grad_input, args)) return std::nullopt;
  return grad_input;
}

template <class Args>
bool pool_largest_backward_into(Call& call, const at::Tensor& grad_output, const at::Tensor& self,
                                const at::Tensor& indices, const PoolShape& shape,
                                const at::Tensor& grad_input, Args* args) {
  const char* reason =
      check_pool_out(grad_input, self.sizes(), self, self.scalar_type(), shape.format);
  if (reason) return call.decline(reason);
  if (shares_storage(grad_input, grad_output) || shares_storage(grad_input, indices)) {
    return call.decline("out shares memory with an input");
  }
  return call.choose(args) && run_pool_backward(call, grad_output, indices, grad_input, args);
}

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_ATEN_LARGEST_POOL_H_
