// The backward overloads of batch_norm, for the table in batch_norm.cc.
#ifndef POLYOPS_BINDINGS_ATEN_BATCH_NORM_BACKWARD_H_
#define POLYOPS_BINDINGS_ATEN_BATCH_NORM_BACKWARD_H_

#include <array>
#include <optional>

#include "aten/batch_norm_views.h"
#include "torch/call.h"
#include "torch/results.h"

namespace polyops::torch_binding {

std::optional<Three> batch_norm_backward(Call& call, const at::Tensor& grad,
                                         const at::Tensor& input, const OptionalTensor& weight,
                                         const OptionalTensor& running_mean,
                                         const OptionalTensor& running_var,
                                         const OptionalTensor& save_mean,
                                         const OptionalTensor& save_invstd, bool training,
                                         double eps, std::array<bool, 3> mask);

std::optional<Three> cudnn_batch_norm_backward(Call& call, const at::Tensor& input,
                                               const at::Tensor& grad, const at::Tensor& weight,
                                               const OptionalTensor& running_mean,
                                               const OptionalTensor& running_var,
                                               const OptionalTensor& save_mean,
                                               const OptionalTensor& save_invstd, double eps,
                                               const at::Tensor& reserve);

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_ATEN_BATCH_NORM_BACKWARD_H_
