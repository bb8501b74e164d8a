// aten::native_layer_norm and its backward. F.layer_norm and nn.LayerNorm end here.
#include "polyops/ops/layer_norm.h"

#include <ATen/AccumulateType.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/native_layer_norm_backward_cpu_dispatch.h>
#include <ATen/ops/native_layer_norm_cpu_dispatch.h>

#include <array>

#include "aten/normalized.h"
#include "aten/table.h"
#include "torch/allocate.h"
#include "torch/results.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

// On a CPU statistics are float32 where a parameter is, else in the input's dtype; elsewhere in
// what sums are kept in.
at::ScalarType statistics_dtype(const at::Tensor& input, const at::Tensor* weight,
                                const at::Tensor* bias) {
  if (!input.is_cpu()) return at::toAccumulateType(input.scalar_type(), input.device().type());
  return weight != nullptr ? weight->scalar_type()
         : bias != nullptr ? bias->scalar_type()
                           : input.scalar_type();
}

// float32 beside 16 bits: stock's kernels for other devices reject it.
bool takes_wide_parameters(const at::Tensor& input) { return input.defined() && input.is_cpu(); }

std::optional<Three> layer_norm(Call& call, const at::Tensor& input,
                                at::IntArrayRef normalized_shape, const OptionalTensor& weight_,
                                const OptionalTensor& bias_, double eps) {
  const at::Tensor *weight = present(weight_), *bias = present(bias_);
  const bool wide = takes_wide_parameters(input);
  polyops_layer_norm_args args;
  const char* reason = check_normalized(input, normalized_shape);
  if (!reason) reason = describe(input, &args.src);
  if (!reason) reason = describe_parameter(weight, input, normalized_shape, wide, &args.weight);
  if (!reason) reason = describe_parameter(bias, input, normalized_shape, wide, &args.bias);
  if (!reason && weight && bias && weight->scalar_type() != bias->scalar_type()) {
    reason = "mixed dtypes";
  }
  if (reason) {
    call.decline(reason);
    return std::nullopt;
  }
  args.struct_size = sizeof args;
  args.normalized_rank = static_cast<int32_t>(normalized_shape.size());
  args.eps = eps;
  const auto sizes = statistics_sizes(input, normalized_shape.size());
  const auto type = statistics_dtype(input, weight, bias);
  describe_contiguous(input.sizes(), input.scalar_type(), &args.dst);
  describe_contiguous(sizes, type, &args.mean);
  args.rstd = args.mean;
  if (!call.choose(&args)) return std::nullopt;

  at::Tensor out = allocate(input, input.sizes(), input.scalar_type());
  at::Tensor mean = allocate(input, sizes, type);
  at::Tensor rstd = allocate(input, sizes, type);
  set_input(&args.src, input);
  if (weight) set_input(&args.weight, *weight);
  if (bias) set_input(&args.bias, *bias);
  set_output(&args.dst, out);
  set_output(&args.mean, mean);
  set_output(&args.rstd, rstd);
  if (!call.launch(&args, out)) return std::nullopt;
  return Three(std::move(out), std::move(mean), std::move(rstd));
}

std::optional<Three> layer_norm_backward(Call& call, const at::Tensor& grad_out,
                                         const at::Tensor& input, at::IntArrayRef normalized_shape,
                                         const at::Tensor& mean, const at::Tensor& rstd,
                                         const OptionalTensor& weight_, const OptionalTensor& bias_,
                                         std::array<bool, 3> output_mask) {
  const at::Tensor *weight = present(weight_), *bias = present(bias_);
  const bool wide = takes_wide_parameters(input);
  polyops_layer_norm_backward_args args;
  polyops_tensor bias_view;
  const char* reason = check_normalized(input, normalized_shape);
  if (!reason && !same_kind(grad_out, input)) reason = "mixed dtypes or devices";
  if (!reason && grad_out.sizes() != input.sizes()) reason = "shape";
  if (!reason) reason = describe(input, &args.src);
  if (!reason) reason = describe(grad_out, &args.grad_dst);
  if (!reason) reason = describe_parameter(weight, input, normalized_shape, wide, &args.weight);
  if (!reason) reason = describe_parameter(bias, input, normalized_shape, wide, &bias_view);
  if (!reason && weight && bias && weight->scalar_type() != bias->scalar_type()) {
    reason = "mixed dtypes";
  }
  // Stock's backward asks the weight alone, and fails on the statistics of a wide bias.
  if (!reason && !weight && bias && bias->scalar_type() != input.scalar_type()) {
    reason = "mixed dtypes";
  }
  if (!reason && ((output_mask[1] && !weight) || (output_mask[2] && !bias))) {
    reason = "gradient of an absent parameter";
  }
  if (!reason) {
    const auto type = statistics_dtype(input, weight, bias);
    const int64_t rows = input.numel() / c10::multiply_integers(normalized_shape);
    reason = describe_statistics(mean, input, type, rows, &args.mean);
    if (!reason) reason = describe_statistics(rstd, input, type, rows, &args.rstd);
  }
  if (reason) {
    call.decline(reason);
    return std::nullopt;
  }
  args.struct_size = sizeof args;
  args.normalized_rank = static_cast<int32_t>(normalized_shape.size());
  args.grad_src = args.grad_weight = args.grad_bias = absent();
  if (output_mask[0]) describe_contiguous(input.sizes(), input.scalar_type(), &args.grad_src);
  if (output_mask[1]) args.grad_weight = args.weight;
  if (output_mask[2]) args.grad_bias = bias_view;
  if (!call.choose(&args)) return std::nullopt;

  set_input(&args.grad_dst, grad_out);
  set_input(&args.src, input);
  set_input(&args.mean, mean);
  set_input(&args.rstd, rstd);
  if (weight) set_input(&args.weight, *weight);
  const auto type_of = [&](const at::Tensor* parameter) {
    return (parameter ? *parameter : input).scalar_type();
  };
  at::Tensor grad_input =
      allocate_if(output_mask[0], input, input.sizes(), input.scalar_type(), &args.grad_src);
  at::Tensor grad_weight =
      allocate_if(output_mask[1], input, normalized_shape, type_of(weight), &args.grad_weight);
  at::Tensor grad_bias =
      allocate_if(output_mask[2], input, normalized_shape, type_of(bias), &args.grad_bias);
  if (!call.launch(&args, input)) return std::nullopt;
  return Three(std::move(grad_input), std::move(grad_weight), std::move(grad_bias));
}

}  // namespace

std::vector<Overload> layer_norm_overloads() {
  return {
      {"native_layer_norm", "layer_norm", "layer_norm",
       wrap(layer_norm, at::cpu::native_layer_norm)},
      {"native_layer_norm.out", "layer_norm", "layer_norm", nullptr,
       "stock copies the result of native_layer_norm, which is taken"},
      {"native_layer_norm_backward", "layer_norm", "layer_norm_backward",
       wrap(layer_norm_backward, at::cpu::native_layer_norm_backward)},
      {"native_layer_norm_backward.out", "layer_norm", "layer_norm_backward", nullptr,
       "stock copies the result of native_layer_norm_backward, which is taken"},
  };
}

}  // namespace polyops::torch_binding
