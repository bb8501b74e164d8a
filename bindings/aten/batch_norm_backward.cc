#include "aten/batch_norm_backward.h"

#include "polyops/ops/batch_norm.h"
#include "torch/allocate.h"
#include "torch/view.h"

namespace polyops::torch_binding {
namespace {

struct Backward {
  const at::Tensor &grad, &input, *weight, *mean, *rstd, *var;
  bool training;
  double eps;
  std::array<bool, 3> mask;
  bool cudnn = false;
};

// Where channels lie next to each other, stock's own kernels of devices return gradients of
// parameters that nobody asked for, in training, and a contiguous one of the input in evaluation.
bool stock_is_odd(const Backward& b) {
  if (b.input.is_cpu()) return false;
  const bool channels_last = is_channels_last(b.input);
  if (!b.training) return channels_last && !b.input.is_contiguous();
  const bool dense = channels_last || (b.input.is_contiguous() && b.input.stride(1) == 1);
  return dense && !(b.mask[1] && b.mask[2]);
}

std::optional<Three> run_backward(Call& call, const Backward& b) {
  polyops_batch_norm_backward_args args;
  polyops_tensor grad_view;
  const char* reason = describe_images(b.input, &args.src);
  if (!reason && !same_kind(b.grad, b.input)) reason = "mixed dtypes or devices";
  if (!reason && b.grad.sizes() != b.input.sizes()) reason = "shape";
  if (!reason) reason = describe(b.grad, &grad_view);
  const bool known = b.mean != nullptr && (b.rstd != nullptr || b.var != nullptr);
  if (!reason && !known) reason = "undefined tensor";
  if (!reason && b.weight == nullptr && (b.mask[1] || b.mask[2])) {
    reason = "gradient of an absent parameter";
  }
  if (!reason) {
    ChannelViews parameters(b.input), moments(b.input);
    parameters.add(b.weight, &args.weight);
    moments.add(b.mean, &args.mean);
    moments.add(b.rstd, &args.rstd);
    moments.add(b.var, &args.var);
    reason = parameters.reason() != nullptr ? parameters.reason() : moments.reason();
  }
  if (!reason && !b.cudnn && stock_is_odd(b)) reason = "layout";
  // Stock's result then depends on both layouts.
  if (!reason && !b.input.is_contiguous() && !is_channels_last(b.grad)) reason = "layout";
  if (reason) {
    call.decline(reason);
    return std::nullopt;
  }
  args.struct_size = sizeof args;
  args.training = b.training ? 1 : 0;
  args.eps = b.eps;
  args.grad_dst = args.src;
  args.grad_src = b.mask[0] ? args.src : absent();
  args.grad_weight = b.mask[1] ? args.weight : absent();
  args.grad_bias = b.mask[2] ? args.weight : absent();
  if (!call.choose(&args)) return std::nullopt;

  const at::Tensor grad = b.input.is_contiguous() ? b.grad.contiguous() : b.grad;
  at::Tensor grad_input, grad_weight, grad_bias;
  set_input(&args.grad_dst, grad);
  set_input(&args.src, b.input);
  set_channels(&args.weight, b.weight);
  set_channels(&args.mean, b.mean);
  set_channels(&args.rstd, b.rstd);
  set_channels(&args.var, b.var);
  if (b.mask[0]) {
    grad_input = allocate(
        b.input, b.input.sizes(), b.input.scalar_type(),
        b.input.is_contiguous() ? at::MemoryFormat::Contiguous : b.input.suggest_memory_format());
    set_output(&args.grad_src, grad_input);
  }
  if (b.mask[1]) {
    grad_weight = allocate(b.input, b.weight->sizes(), b.weight->scalar_type());
    set_output(&args.grad_weight, grad_weight);
  }
  if (b.mask[2]) {
    grad_bias = allocate(b.input, b.weight->sizes(), b.weight->scalar_type());
    set_output(&args.grad_bias, grad_bias);
  }
  if (!call.launch(&args, b.input)) return std::nullopt;
  return Three(std::move(grad_input), std::move(grad_weight), std::move(grad_bias));
}

}  // namespace

std::optional<Three> batch_norm_backward(Call& call, const at::Tensor& grad,
                                         const at::Tensor& input, const OptionalTensor& weight,
                                         const OptionalTensor& running_mean,
                                         const OptionalTensor& running_var,
                                         const OptionalTensor& save_mean,
                                         const OptionalTensor& save_invstd, bool training,
                                         double eps, std::array<bool, 3> mask) {
  if (training) {
    return run_backward(call, {grad, input, present(weight), present(save_mean),
                               present(save_invstd), nullptr, true, eps, mask});
  }
  const at::Tensor* var = present(running_var);
  return run_backward(call, {grad, input, present(weight), var ? present(running_mean) : nullptr,
                             nullptr, var, false, eps, mask});
}

std::optional<Three> cudnn_batch_norm_backward(Call& call, const at::Tensor& input,
                                               const at::Tensor& grad, const at::Tensor& weight,
                                               const OptionalTensor&, const OptionalTensor&,
                                               const OptionalTensor& save_mean,
                                               const OptionalTensor& save_invstd, double eps,
                                               const at::Tensor&) {
  if (const char* reason = check_cudnn(input, weight)) {
    call.decline(reason);
    return std::nullopt;
  }
  return run_backward(call, {grad,
                             input,
                             &weight,
                             present(save_mean),
                             present(save_invstd),
                             nullptr,
                             true,
                             eps,
                             {true, true, true},
                             true});
}

}  // namespace polyops::torch_binding
