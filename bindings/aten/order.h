// Where stock's kernels of a device add up in no particular order, and say so.
#ifndef POLYOPS_BINDINGS_ATEN_ORDER_H_
#define POLYOPS_BINDINGS_ATEN_ORDER_H_

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>

namespace polyops::torch_binding {

// What keeps us from hiding stock's error, or its warning, while deterministic algorithms are
// wanted.
inline const char* check_order(const at::Tensor& self) {
  const bool fixed = !self.is_cpu() && at::globalContext().deterministicAlgorithms();
  return fixed ? "deterministic algorithms" : nullptr;
}

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_ATEN_ORDER_H_
