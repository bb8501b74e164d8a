// What losses of labels, one for each row of a batch or pixel of its images, ask of their
// arguments.
#ifndef POLYOPS_BINDINGS_ATEN_LABELS_H_
#define POLYOPS_BINDINGS_ATEN_LABELS_H_

#include "polyops/ops/nll_loss.h"
#include "torch/view.h"

namespace polyops::torch_binding {

// Of scores and how their losses are reduced: nullptr, or what we do not take.
const char* check_scores(const at::Tensor& self, int64_t reduction);

// As describe(): rows, or images by classes by pixels, whatever the number of their dimensions.
const char* describe_scores(const at::Tensor& self, polyops_tensor* view);
// Beside scores that passed.
const char* describe_target(const at::Tensor& target, const at::Tensor& self, polyops_tensor* view);
// Values of all samples, or one of all.
const char* describe_value(const at::Tensor& value, polyops_tensor* view);
// weight: NULL if there is none.
const char* describe_weight(const at::Tensor* weight, const at::Tensor& self, polyops_tensor* view);

// Of the loss, and its view.
at::IntArrayRef loss_sizes(const at::Tensor& target, int64_t reduction);
void describe_loss(const at::Tensor& target, const at::Tensor& self, int64_t reduction,
                   polyops_tensor* view);
// Of a gradient like self.
void describe_gradient(const at::Tensor& self, polyops_tensor* view);

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_ATEN_LABELS_H_
