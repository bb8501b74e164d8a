// aten::native_group_norm and its backward. F.group_norm and nn.GroupNorm end here, which make
// their input contiguous first; the overloads themselves reject other layouts, but for a CPU's
// channels_last.
#include "polyops/ops/group_norm.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/native_group_norm_backward_cpu_dispatch.h>
#include <ATen/ops/native_group_norm_cpu_dispatch.h>

#include <array>

#include "aten/table.h"
#include "torch/allocate.h"
#include "torch/results.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

// What stock asks of the numbers; more it does not look at.
struct Sizes {
  int64_t samples, channels, pixels, groups;

  const char* check(const at::Tensor& input) const {
    if (!input.defined()) return "undefined tensor";
    if (groups <= 0 || groups > INT32_MAX || channels <= 0 || channels % groups != 0)
      return "shape";
    return samples > 0 && pixels > 0 && input.numel() == samples * channels * pixels ? nullptr
                                                                                     : "shape";
  }
};

// As (samples, channels, pixels), contiguous.
const char* describe_input(const at::Tensor& input, const Sizes& sizes, polyops_tensor* view) {
  if (const char* reason = describe(input, view)) return reason;
  if (!input.is_contiguous()) return "layout";
  describe_contiguous({sizes.samples, sizes.channels, sizes.pixels}, input.scalar_type(), view);
  return nullptr;
}

const char* describe_parameter(const at::Tensor* parameter, const at::Tensor& input,
                               int64_t channels, polyops_tensor* view) {
  *view = absent();
  if (parameter == nullptr) return nullptr;
  if (parameter->dim() != 1 || parameter->numel() != channels) return "shape";
  if (!same_kind(*parameter, input)) return "mixed dtypes or devices";
  if (!parameter->is_contiguous()) return "layout of a parameter";
  return describe(*parameter, view);
}

// Elsewhere than on a CPU stock rounds it to the input's type.
double eps_as_stock(const at::Tensor& input, double eps) {
  if (input.is_cpu()) return eps;
  if (input.scalar_type() == c10::kHalf)
    return static_cast<float>(c10::Half(static_cast<float>(eps)));
  if (input.scalar_type() == c10::kBFloat16) {
    return static_cast<float>(c10::BFloat16(static_cast<float>(eps)));
  }
  return eps;
}

std::optional<Three> group_norm(Call& call, const at::Tensor& input, const OptionalTensor& weight_,
                                const OptionalTensor& bias_, int64_t samples, int64_t channels,
                                int64_t pixels, int64_t groups, double eps) {
  const at::Tensor *weight = present(weight_), *bias = present(bias_);
  const Sizes sizes = {samples, channels, pixels, groups};
  polyops_group_norm_args args;
  const char* reason = sizes.check(input);
  if (!reason) reason = describe_input(input, sizes, &args.src);
  if (!reason) reason = describe_parameter(weight, input, channels, &args.weight);
  if (!reason) reason = describe_parameter(bias, input, channels, &args.bias);
  if (reason) {
    call.decline(reason);
    return std::nullopt;
  }
  args.struct_size = sizeof args;
  args.groups = static_cast<int32_t>(groups);
  args.eps = eps_as_stock(input, eps);
  args.dst = args.src;
  describe_contiguous({samples, groups}, input.scalar_type(), &args.mean);
  args.rstd = args.mean;
  if (!call.choose(&args)) return std::nullopt;

  at::Tensor out = allocate(input, input.sizes(), input.scalar_type());
  at::Tensor mean = allocate(input, {samples, groups}, input.scalar_type());
  at::Tensor rstd = allocate(input, {samples, groups}, input.scalar_type());
  set_input(&args.src, input);
  if (weight) set_input(&args.weight, *weight);
  if (bias) set_input(&args.bias, *bias);
  set_output(&args.dst, out);
  set_output(&args.mean, mean);
  set_output(&args.rstd, rstd);
  if (!call.launch(&args, out)) return std::nullopt;
  return Three(std::move(out), std::move(mean), std::move(rstd));
}

const char* describe_statistics(const at::Tensor& tensor, const at::Tensor& input, int64_t rows,
                                polyops_tensor* view) {
  if (!same_kind(tensor, input)) return "mixed dtypes or devices";
  if (tensor.numel() != rows) return "shape";
  if (!tensor.is_contiguous()) return "layout of a statistic";
  return describe(tensor, view);
}

std::optional<Three> group_norm_backward(Call& call, const at::Tensor& grad_out,
                                         const at::Tensor& input, const at::Tensor& mean,
                                         const at::Tensor& rstd, const OptionalTensor& weight_,
                                         int64_t samples, int64_t channels, int64_t pixels,
                                         int64_t groups, std::array<bool, 3> output_mask) {
  const at::Tensor* weight = present(weight_);
  const Sizes sizes = {samples, channels, pixels, groups};
  polyops_group_norm_backward_args args;
  const char* reason = sizes.check(input);
  if (!reason && !same_kind(grad_out, input)) reason = "mixed dtypes or devices";
  if (!reason && grad_out.sizes() != input.sizes()) reason = "shape";
  if (!reason) reason = describe_input(input, sizes, &args.src);
  if (!reason) reason = describe_input(grad_out, sizes, &args.grad_dst);
  if (!reason) reason = describe_parameter(weight, input, channels, &args.weight);
  if (!reason && weight == nullptr && (output_mask[1] || output_mask[2])) {
    reason = "gradient of an absent parameter";
  }
  if (!reason) reason = describe_statistics(mean, input, samples * groups, &args.mean);
  if (!reason) reason = describe_statistics(rstd, input, samples * groups, &args.rstd);
  if (reason) {
    call.decline(reason);
    return std::nullopt;
  }
  args.struct_size = sizeof args;
  args.groups = static_cast<int32_t>(groups);
  args.grad_src = args.grad_weight = args.grad_bias = absent();
  if (output_mask[0]) args.grad_src = args.src;
  if (output_mask[1]) describe_contiguous({channels}, input.scalar_type(), &args.grad_weight);
  if (output_mask[2]) describe_contiguous({channels}, input.scalar_type(), &args.grad_bias);
  if (!call.choose(&args)) return std::nullopt;

  set_input(&args.grad_dst, grad_out);
  set_input(&args.src, input);
  set_input(&args.mean, mean);
  set_input(&args.rstd, rstd);
  if (weight) set_input(&args.weight, *weight);
  const at::ScalarType type = input.scalar_type();
  at::Tensor grad_input = allocate_if(output_mask[0], input, input.sizes(), type, &args.grad_src);
  at::Tensor grad_weight = allocate_if(output_mask[1], input, {channels}, type, &args.grad_weight);
  at::Tensor grad_bias = allocate_if(output_mask[2], input, {channels}, type, &args.grad_bias);
  if (!call.launch(&args, input)) return std::nullopt;
  return Three(std::move(grad_input), std::move(grad_weight), std::move(grad_bias));
}

}  // namespace

std::vector<Overload> group_norm_overloads() {
  return {
      {"native_group_norm", "group_norm", "group_norm",
       wrap(group_norm, at::cpu::native_group_norm)},
      {"native_group_norm.out", "group_norm", "group_norm", nullptr,
       "stock copies the result of native_group_norm, which is taken"},
      {"native_group_norm_backward", "group_norm", "group_norm_backward",
       wrap(group_norm_backward, at::cpu::native_group_norm_backward)},
      {"native_group_norm_backward.out", "group_norm", "group_norm_backward", nullptr,
       "stock copies the result of native_group_norm_backward, which is taken"},
  };
}

}  // namespace polyops::torch_binding
