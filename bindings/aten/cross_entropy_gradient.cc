// The gradient of a cross_entropy that a kernel took: by a kernel, from the scores themselves.
// Stock keeps log-probabilities, as large as the scores, which takes a pass to write; so here, and
// not there, scores that are changed in place between forward and backward are autograd's error.
// (Writing the gradient in forward would do without them, and take two passes instead of three; but
// a loss that is scaled afterwards, as float16's is, would be multiplied into gradients already
// rounded, and forward alone would pay for it.)
//
// A gradient that is differentiated again, mapped by functorch or traced is of torch's own ops.
#include "aten/cross_entropy_gradient.h"

#include <ATen/ops/ones.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "aten/labels.h"
#include "polyops/ops/cross_entropy.h"
#include "torch/allocate.h"

namespace polyops::torch_binding {
namespace {

constexpr const char kBackward[] = "cross_entropy_backward";

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

const at::Tensor* optional(const at::Tensor& tensor) {
  return tensor.defined() ? &tensor : nullptr;
}

const char* prepare(const at::Tensor& self, const CrossEntropyCall& call,
                    polyops_cross_entropy_backward_args* args) {
  const char* reason = check_scores(self, call.reduction);
  if (!reason) reason = describe_scores(self, &args->src);
  if (!reason) reason = describe_target(call.target, self, &args->target);
  if (!reason) reason = describe_weight(optional(call.weight), self, &args->weight);
  if (reason) return reason;
  args->struct_size = sizeof *args;
  args->reduction = static_cast<int32_t>(call.reduction);
  args->ignore_index = call.ignore_index;
  args->label_smoothing = call.label_smoothing;
  describe_loss(call.target, self, call.reduction, &args->grad_dst);
  args->stats = absent();
  if (keeps_stats(self)) {
    describe_contiguous({self.size(0), POLYOPS_CROSS_ENTROPY_STATS}, at::kFloat, &args->stats);
  }
  describe_contiguous({}, at::kFloat, &args->total_weight);
  describe_gradient(self, &args->grad_src);
  return nullptr;
}

// Undefined if no kernel takes it.
at::Tensor gradient_by_kernel(const at::Tensor& grad, const at::Tensor& self,
                              const CrossEntropyCall& saved) {
  Call call(*saved.slot, 0);
  polyops_cross_entropy_backward_args args;
  const char* reason = not_plain_here(grad.key_set() | self.key_set() | saved.target.key_set());
  if (!reason && at::GradMode::is_enabled()) reason = "differentiated again";
  if (!reason && !saved.slot->enabled->load(std::memory_order_relaxed)) reason = "disabled";
  if (!reason) reason = prepare(self, saved, &args);
  if (!reason && !same_kind(grad, self)) reason = "mixed dtypes or devices";
  if (!reason && grad.sizes() != loss_sizes(saved.target, saved.reduction)) reason = "shape";
  if (!reason) reason = describe_value(grad, &args.grad_dst);
  const OpTable& table =
      registry().table(c10::DeviceTypeName(saved.slot->device, /*lower_case=*/true), kBackward);
  if (!reason && !call.choose_from(table, &args)) reason = "backward";
  if (reason) {
    call.decline(reason);
    return {};
  }
  at::Tensor result = allocate(self, self.sizes(), self.scalar_type());
  set_input(&args.grad_dst, grad);
  set_input(&args.src, self);
  set_input(&args.target, saved.target);
  if (saved.weight.defined()) set_input(&args.weight, saved.weight);
  if (saved.stats.defined()) set_input(&args.stats, saved.stats);
  if (saved.total_weight.defined()) set_input(&args.total_weight, saved.total_weight);
  set_output(&args.grad_src, result);
  return call.launch(&args, result) ? result : at::Tensor();
}

// The header's formula, differentiable by grad and self.
at::Tensor gradient_by_ops(const at::Tensor& grad, const at::Tensor& self,
                           const CrossEntropyCall& saved) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const at::Tensor exps = at::softmax(self.to(at::kFloat), 1);
  const at::Tensor counts = saved.target.ne(saved.ignore_index);
  const at::Tensor target = saved.target.to(at::kLong).masked_fill(counts.logical_not(), 0);
  const at::Tensor weights = saved.weight.defined()
                                 ? saved.weight.to(at::kFloat)
                                 : at::ones({self.size(1)}, self.options().dtype(at::kFloat));
  const at::Tensor own = weights.index_select(0, target.flatten()).view_as(target).mul(counts);
  c10::DimVector of_class(self.dim() - 1, 1);  // sizes of what goes along dimension 1
  of_class[0] = self.size(1);
  const double spread = saved.label_smoothing / static_cast<double>(self.size(1));
  const at::Tensor labelled = own.mul(1 - saved.label_smoothing);
  const at::Tensor factor = labelled.add(counts.mul(weights.sum().mul(spread))).unsqueeze(1);
  at::Tensor scale = grad.to(at::kFloat);
  if (saved.reduction == POLYOPS_NLL_LOSS_MEAN) scale = scale.div(own.sum());
  if (saved.reduction == POLYOPS_NLL_LOSS_NONE) scale = scale.unsqueeze(1);
  const at::Tensor marks =
      at::zeros_like(exps).scatter(1, target.unsqueeze(1), labelled.unsqueeze(1));
  const at::Tensor each =
      exps.mul(factor).sub(marks).sub(weights.mul(spread).view(of_class)).mul(scale);
  const at::Tensor zero = at::scalar_tensor(0, each.options());
  return at::where(counts.unsqueeze(1), each, zero).to(self.scalar_type());
}

struct CrossEntropy : torch::autograd::Function<CrossEntropy> {
  // By ops, where torch's compiled autograd traces it.
  static constexpr bool is_traceable = true;

  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& self,
                            const CrossEntropyCall* call) {
    ctx->set_materialize_grads(false);
    ctx->save_for_backward({self, call->target, call->weight, call->stats, call->total_weight});
    auto& data = ctx->saved_data;
    data["slot"] = static_cast<int64_t>(reinterpret_cast<intptr_t>(call->slot));
    data["reduction"] = call->reduction;
    data["ignore_index"] = call->ignore_index;
    data["label_smoothing"] = call->label_smoothing;
    return call->loss;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    if (!grads[0].defined()) return {at::Tensor(), at::Tensor()};
    const variable_list saved = ctx->get_saved_variables();
    auto& data = ctx->saved_data;
    const CrossEntropyCall call = {
        reinterpret_cast<const WrappedSlot*>(static_cast<intptr_t>(data["slot"].toInt())),
        saved[1],
        saved[2],
        data["reduction"].toInt(),
        data["ignore_index"].toInt(),
        data["label_smoothing"].toDouble(),
        {},
        saved[3],
        saved[4]};
    at::Tensor result = gradient_by_kernel(grads[0], saved[0], call);
    if (!result.defined()) result = gradient_by_ops(grads[0], saved[0], call);
    return {result, at::Tensor()};
  }
};

}  // namespace

at::Tensor record(const at::Tensor& self, const CrossEntropyCall& call) {
  return CrossEntropy::apply(self, &call);
}

bool takes_backward(const Call& call, const at::Tensor& self, const CrossEntropyCall& forward) {
  polyops_cross_entropy_backward_args args;
  return prepare(self, forward, &args) == nullptr && call.takes(kBackward, &args);
}

}  // namespace polyops::torch_binding
