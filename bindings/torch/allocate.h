// New tensors beside others. torch's function of the device is called, not its operator: the
// dispatcher, which would take it there, costs 0.3 to 0.6 us, and stock's own results do not go
// through it.
#ifndef POLYOPS_BINDINGS_TORCH_ALLOCATE_H_
#define POLYOPS_BINDINGS_TORCH_ALLOCATE_H_

#include <ATen/core/Tensor.h>

namespace polyops::torch_binding {

// Contiguous in that format.
at::Tensor allocate(const at::Tensor& like, c10::IntArrayRef sizes, c10::ScalarType type,
                    c10::MemoryFormat format = c10::MemoryFormat::Contiguous);
at::Tensor allocate_strided(const at::Tensor& like, c10::IntArrayRef sizes,
                            c10::IntArrayRef strides, c10::ScalarType type);
// As at::empty_like.
at::Tensor allocate_as(const at::Tensor& like);

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_TORCH_ALLOCATE_H_
