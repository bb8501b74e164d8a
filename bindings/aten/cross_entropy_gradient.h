// What a cross_entropy that is differentiated keeps, and the Function that records it.
#ifndef POLYOPS_BINDINGS_ATEN_CROSS_ENTROPY_GRADIENT_H_
#define POLYOPS_BINDINGS_ATEN_CROSS_ENTROPY_GRADIENT_H_

#include <ATen/core/Tensor.h>

#include "torch/composite.h"

namespace polyops::torch_binding {

struct CrossEntropyCall {
  const WrappedSlot* slot;
  at::Tensor target, weight;  // weight: undefined if there is none
  int64_t reduction, ignore_index;
  double label_smoothing;
  at::Tensor loss;
  // What forward kept. stats: undefined of pixels; total_weight: undefined but for the mean.
  at::Tensor stats, total_weight;
};

// Whether forward keeps stats for the backward: of rows.
inline bool keeps_stats(const at::Tensor& self) { return self.dim() == 2; }

// The loss, with its place in the graph.
at::Tensor record(const at::Tensor& self, const CrossEntropyCall& call);

// Whether a kernel will take the backward of such a call.
bool takes_backward(const Call& call, const at::Tensor& self, const CrossEntropyCall& forward);

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_ATEN_CROSS_ENTROPY_GRADIENT_H_
