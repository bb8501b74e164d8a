// Result layout of elementwise overloads, exactly as torch's TensorIterator would choose it.
#ifndef POLYOPS_BINDINGS_TORCH_ELEMENTWISE_H_
#define POLYOPS_BINDINGS_TORCH_ELEMENTWISE_H_

#include <ATen/core/Tensor.h>

namespace polyops::torch_binding {

// A new tensor of a's sizes and dtype for the result of f(a), or of f(a, b) where b has a's sizes.
at::Tensor allocate_like(const at::Tensor& a);
at::Tensor allocate_like(const at::Tensor& a, const at::Tensor& b);

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_TORCH_ELEMENTWISE_H_
