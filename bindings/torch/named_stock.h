// torch's own kernel of an overload as a function, to be called without boxing its arguments.
#ifndef POLYOPS_BINDINGS_TORCH_NAMED_STOCK_H_
#define POLYOPS_BINDINGS_TORCH_NAMED_STOCK_H_

#include <c10/core/DeviceType.h>

namespace polyops::torch_binding {

// at::cuda::<op> for at::cpu::<op>. This module links no device's library of torch: the function is
// looked up by its name in the one that is loaded. NULL if there is none, or the name is another.
void* function_on(c10::DeviceType device, void* cpu_function);

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_TORCH_NAMED_STOCK_H_
