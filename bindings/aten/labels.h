// What losses of labels, one for each row of a batch, ask of their arguments.
#ifndef POLYOPS_BINDINGS_ATEN_LABELS_H_
#define POLYOPS_BINDINGS_ATEN_LABELS_H_

#include "polyops/ops/nll_loss.h"
#include "torch/view.h"

namespace polyops::torch_binding {

// Of the rows and how their losses are reduced: nullptr, or what we do not take.
const char* check_scores(const at::Tensor& self, int64_t reduction);

// As describe(), beside scores that passed.
const char* describe_target(const at::Tensor& target, const at::Tensor& self, polyops_tensor* view);
// weight: NULL if there is none.
const char* describe_weight(const at::Tensor* weight, const at::Tensor& self, polyops_tensor* view);

// Of the loss.
at::IntArrayRef loss_sizes(const at::Tensor& self, int64_t reduction);

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_ATEN_LABELS_H_
