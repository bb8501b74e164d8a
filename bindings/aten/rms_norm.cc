// aten::_fused_rms_norm and its backward, which stock's CPU has none of. F.rms_norm and nn.RMSNorm
// end here for inputs that are not channels_last, with a weight of their dtype.
#include "polyops/ops/rms_norm.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/_fused_rms_norm_backward_cuda_dispatch.h>
#include <ATen/ops/_fused_rms_norm_cuda_dispatch.h>

#include <array>
#include <limits>

#include "aten/normalized.h"
#include "aten/table.h"
#include "torch/allocate.h"
#include "torch/results.h"
#include "torch/view.h"
#include "torch/wrap.h"

// Null where torch's library for such devices is not loaded, which this module does not link.
namespace at::cuda {
extern __attribute__((weak)) decltype(_fused_rms_norm) _fused_rms_norm;
extern __attribute__((weak)) decltype(_fused_rms_norm_backward) _fused_rms_norm_backward;
}  // namespace at::cuda

namespace polyops::torch_binding {
namespace {

// Of float32 also beside 16 bits: what sums are kept in. No kernel takes float64.
constexpr double kDefaultEps = std::numeric_limits<float>::epsilon();
constexpr at::ScalarType kStatistic = at::kFloat;

std::optional<Two> rms_norm(Call& call, const at::Tensor& input, at::IntArrayRef normalized_shape,
                            const OptionalTensor& weight_, std::optional<double> eps) {
  const at::Tensor* weight = present(weight_);
  polyops_rms_norm_args args;
  const char* reason = check_normalized(input, normalized_shape);
  if (!reason) reason = describe(input, &args.src);
  if (!reason) reason = describe_parameter(weight, input, normalized_shape, false, &args.weight);
  if (reason) {
    call.decline(reason);
    return std::nullopt;
  }
  args.struct_size = sizeof args;
  args.normalized_rank = static_cast<int32_t>(normalized_shape.size());
  args.eps = eps.value_or(kDefaultEps);
  const auto sizes = statistics_sizes(input, normalized_shape.size());
  describe_contiguous(input.sizes(), input.scalar_type(), &args.dst);
  describe_contiguous(sizes, kStatistic, &args.rstd);
  if (!call.choose(&args)) return std::nullopt;

  at::Tensor out = allocate(input, input.sizes(), input.scalar_type());
  at::Tensor rstd = allocate(input, sizes, kStatistic);
  set_input(&args.src, input);
  if (weight) set_input(&args.weight, *weight);
  set_output(&args.dst, out);
  set_output(&args.rstd, rstd);
  if (!call.launch(&args, out)) return std::nullopt;
  return Two(std::move(out), std::move(rstd));
}

std::optional<Two> rms_norm_backward(Call& call, const at::Tensor& grad_out,
                                     const at::Tensor& input, at::IntArrayRef normalized_shape,
                                     const at::Tensor& rstd, const OptionalTensor& weight_,
                                     std::array<bool, 2> output_mask) {
  const at::Tensor* weight = present(weight_);
  polyops_rms_norm_backward_args args;
  const char* reason = check_normalized(input, normalized_shape);
  if (!reason && !same_kind(grad_out, input)) reason = "mixed dtypes or devices";
  if (!reason && grad_out.sizes() != input.sizes()) reason = "shape";
  if (!reason) reason = describe(input, &args.src);
  if (!reason) reason = describe(grad_out, &args.grad_dst);
  if (!reason) reason = describe_parameter(weight, input, normalized_shape, false, &args.weight);
  if (!reason && output_mask[1] && !weight) reason = "gradient of an absent parameter";
  if (!reason) {
    const int64_t rows = input.numel() / c10::multiply_integers(normalized_shape);
    reason = describe_statistics(rstd, input, kStatistic, rows, &args.rstd);
  }
  if (reason) {
    call.decline(reason);
    return std::nullopt;
  }
  args.struct_size = sizeof args;
  args.normalized_rank = static_cast<int32_t>(normalized_shape.size());
  args.grad_src = args.grad_weight = absent();
  if (output_mask[0]) describe_contiguous(input.sizes(), input.scalar_type(), &args.grad_src);
  if (output_mask[1]) args.grad_weight = args.weight;
  if (!call.choose(&args)) return std::nullopt;

  set_input(&args.grad_dst, grad_out);
  set_input(&args.src, input);
  set_input(&args.rstd, rstd);
  if (weight) set_input(&args.weight, *weight);
  const at::ScalarType type = input.scalar_type();
  at::Tensor grad_input = allocate_if(output_mask[0], input, input.sizes(), type, &args.grad_src);
  at::Tensor grad_weight =
      allocate_if(output_mask[1], input, normalized_shape, type, &args.grad_weight);
  if (!call.launch(&args, input)) return std::nullopt;
  return Two(std::move(grad_input), std::move(grad_weight));
}

}  // namespace

std::vector<Overload> rms_norm_overloads() {
  return {
      {"_fused_rms_norm", "rms_norm", "rms_norm", wrap(rms_norm, at::cuda::_fused_rms_norm)},
      {"_fused_rms_norm_backward", "rms_norm", "rms_norm_backward",
       wrap(rms_norm_backward, at::cuda::_fused_rms_norm_backward)},
  };
}

}  // namespace polyops::torch_binding
