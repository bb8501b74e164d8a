// aten::nll_loss_forward, nll_loss2d_forward and their backwards. F.nll_loss and F.cross_entropy of
// labels end here, with one label for each row of a batch, or pixel of its images; without a batch
// they do not.
#include "polyops/ops/nll_loss.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/nll_loss2d_backward_cpu_dispatch.h>
#include <ATen/ops/nll_loss2d_forward_cpu_dispatch.h>
#include <ATen/ops/nll_loss_backward_cpu_dispatch.h>
#include <ATen/ops/nll_loss_forward_cpu_dispatch.h>

#include "aten/labels.h"
#include "aten/order.h"
#include "aten/table.h"
#include "torch/allocate.h"
#include "torch/results.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

constexpr int64_t kRows = 2, kPixels = 4;  // dimensions of their scores

template <int64_t kDims>
bool prepare(Call& call, const at::Tensor& self, const at::Tensor& target, const at::Tensor* weight,
             int64_t reduction, int64_t ignore_index, polyops_nll_loss_args* args) {
  const char* reason = check_scores(self, reduction);
  if (!reason && self.dim() != kDims) reason = "shape";
  if (!reason && kDims == kPixels && reduction != POLYOPS_NLL_LOSS_NONE) reason = check_order(self);
  if (!reason) reason = describe_scores(self, &args->src);
  if (!reason) reason = describe_target(target, self, &args->target);
  if (!reason) reason = describe_weight(weight, self, &args->weight);
  if (reason) return call.decline(reason);
  args->struct_size = sizeof *args;
  args->reduction = static_cast<int32_t>(reduction);
  args->ignore_index = ignore_index;
  describe_loss(target, self, reduction, &args->dst);
  describe_contiguous({}, self.scalar_type(), &args->total_weight);
  return true;
}

bool run(Call& call, const at::Tensor& self, const at::Tensor& target, const at::Tensor* weight,
         const at::Tensor& loss, const at::Tensor& total_weight, polyops_nll_loss_args* args) {
  set_input(&args->src, self);
  set_input(&args->target, target);
  if (weight) set_input(&args->weight, *weight);
  set_output(&args->dst, loss);
  set_output(&args->total_weight, total_weight);
  return call.launch(args, self);
}

template <int64_t kDims>
std::optional<Two> forward(Call& call, const at::Tensor& self, const at::Tensor& target,
                           const OptionalTensor& weight_, int64_t reduction, int64_t ignore_index) {
  const at::Tensor* weight = present(weight_);
  polyops_nll_loss_args args;
  if (!prepare<kDims>(call, self, target, weight, reduction, ignore_index, &args))
    return std::nullopt;
  if (!call.choose(&args)) return std::nullopt;
  at::Tensor loss = allocate(self, loss_sizes(target, reduction), self.scalar_type());
  at::Tensor total_weight = allocate(self, {}, self.scalar_type());
  if (!run(call, self, target, weight, loss, total_weight, &args)) return std::nullopt;
  return Two(std::move(loss), std::move(total_weight));
}

bool shares_any(const at::Tensor& out, const at::Tensor& self, const at::Tensor& target,
                const at::Tensor* weight) {
  return shares_storage(out, self) || shares_storage(out, target) ||
         (weight != nullptr && shares_storage(out, *weight));
}

template <int64_t kDims>
bool forward_out(Call& call, const at::Tensor& self, const at::Tensor& target,
                 const OptionalTensor& weight_, int64_t reduction, int64_t ignore_index,
                 at::Tensor& loss, at::Tensor& total_weight) {
  const at::Tensor* weight = present(weight_);
  polyops_nll_loss_args args;
  if (!prepare<kDims>(call, self, target, weight, reduction, ignore_index, &args)) return false;
  const char* reason = check_out(loss, loss_sizes(target, reduction), self);
  if (!reason) reason = check_out(total_weight, {}, self);
  if (!reason && !loss.is_contiguous()) reason = "out is not contiguous";
  if (!reason && (shares_storage(loss, total_weight) || shares_any(loss, self, target, weight) ||
                  shares_any(total_weight, self, target, weight))) {
    reason = "out shares memory with an input";
  }
  if (reason) return call.decline(reason);
  return call.choose(&args) && run(call, self, target, weight, loss, total_weight, &args);
}

template <int64_t kDims>
bool prepare_backward(Call& call, const at::Tensor& grad_output, const at::Tensor& self,
                      const at::Tensor& target, const at::Tensor* weight, int64_t reduction,
                      int64_t ignore_index, const at::Tensor& total_weight,
                      polyops_nll_loss_backward_args* args) {
  const char* reason = check_scores(self, reduction);
  if (!reason && self.dim() != kDims) reason = "shape";
  if (!reason && !(same_kind(grad_output, self) && same_kind(total_weight, self))) {
    reason = "mixed dtypes or devices";
  }
  if (!reason) reason = describe_target(target, self, &args->target);
  const bool each = reduction == POLYOPS_NLL_LOSS_NONE;
  if (!reason && !(each ? grad_output.sizes() == target.sizes()
                        : grad_output.dim() <= 1 && grad_output.numel() == 1)) {
    reason = "shape";
  }
  if (!reason && total_weight.numel() != 1) reason = "shape";
  polyops_tensor view;  // of what is not read
  if (!reason) reason = describe(self, &view);
  if (!reason) reason = describe_value(grad_output, &args->grad_dst);
  if (!reason) reason = describe(total_weight, &args->total_weight);
  if (!reason) reason = describe_weight(weight, self, &args->weight);
  if (reason) return call.decline(reason);
  args->struct_size = sizeof *args;
  args->reduction = static_cast<int32_t>(reduction);
  args->ignore_index = ignore_index;
  describe_gradient(self, &args->grad_src);
  return call.choose(args);
}

bool run_backward(Call& call, const at::Tensor& grad_output, const at::Tensor& target,
                  const at::Tensor* weight, const at::Tensor& total_weight,
                  const at::Tensor& grad_input, polyops_nll_loss_backward_args* args) {
  set_input(&args->grad_dst, grad_output);
  set_input(&args->target, target);
  if (weight) set_input(&args->weight, *weight);
  set_input(&args->total_weight, total_weight);
  set_output(&args->grad_src, grad_input);
  return call.launch(args, grad_input);
}

template <int64_t kDims>
std::optional<at::Tensor> backward(Call& call, const at::Tensor& grad_output,
                                   const at::Tensor& self, const at::Tensor& target,
                                   const OptionalTensor& weight_, int64_t reduction,
                                   int64_t ignore_index, const at::Tensor& total_weight) {
  const at::Tensor* weight = present(weight_);
  // Some devices' stock then has the gradient lie as it does.
  if (kDims == kPixels && self.defined() && !self.is_contiguous()) {
    call.decline("layout");
    return std::nullopt;
  }
  polyops_nll_loss_backward_args args;
  if (!prepare_backward<kDims>(call, grad_output, self, target, weight, reduction, ignore_index,
                               total_weight, &args)) {
    return std::nullopt;
  }
  at::Tensor grad_input = allocate(self, self.sizes(), self.scalar_type());
  if (!run_backward(call, grad_output, target, weight, total_weight, grad_input, &args)) {
    return std::nullopt;
  }
  return grad_input;
}

template <int64_t kDims>
bool backward_out(Call& call, const at::Tensor& grad_output, const at::Tensor& self,
                  const at::Tensor& target, const OptionalTensor& weight_, int64_t reduction,
                  int64_t ignore_index, const at::Tensor& total_weight, at::Tensor& grad_input) {
  const at::Tensor* weight = present(weight_);
  if (!self.defined()) return call.decline("undefined tensor");
  if (const char* reason = check_out(grad_input, self.sizes(), self)) return call.decline(reason);
  // Stock then writes the gradient to a copy.
  if (!grad_input.is_contiguous()) return call.decline("out is not contiguous");
  if (shares_any(grad_input, self, target, weight) || shares_storage(grad_input, grad_output) ||
      shares_storage(grad_input, total_weight)) {
    return call.decline("out shares memory with an input");
  }
  polyops_nll_loss_backward_args args;
  return prepare_backward<kDims>(call, grad_output, self, target, weight, reduction, ignore_index,
                                 total_weight, &args) &&
         run_backward(call, grad_output, target, weight, total_weight, grad_input, &args);
}

constexpr const char kBackward[] = "nll_loss_backward";

}  // namespace

std::vector<Overload> nll_loss_overloads() {
  return {
      {"nll_loss_forward", "nll_loss", "nll_loss", wrap(forward<kRows>, at::cpu::nll_loss_forward)},
      {"nll_loss_forward.output", "nll_loss", "nll_loss",
       wrap(forward_out<kRows>, at::cpu::nll_loss_forward_outf)},
      {"nll_loss_backward", "nll_loss", kBackward,
       wrap(backward<kRows>, at::cpu::nll_loss_backward)},
      {"nll_loss_backward.grad_input", "nll_loss", kBackward,
       wrap(backward_out<kRows>, at::cpu::nll_loss_backward_outf)},
      {"nll_loss2d_forward", "nll_loss", "nll_loss",
       wrap(forward<kPixels>, at::cpu::nll_loss2d_forward)},
      {"nll_loss2d_forward.output", "nll_loss", "nll_loss",
       wrap(forward_out<kPixels>, at::cpu::nll_loss2d_forward_outf)},
      {"nll_loss2d_backward", "nll_loss", kBackward,
       wrap(backward<kPixels>, at::cpu::nll_loss2d_backward)},
      {"nll_loss2d_backward.grad_input", "nll_loss", kBackward,
       wrap(backward_out<kPixels>, at::cpu::nll_loss2d_backward_outf)},
  };
}

}  // namespace polyops::torch_binding
