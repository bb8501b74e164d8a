// aten::relu, and threshold_backward, which is its backward.
#include "polyops/ops/relu.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/relu_cpu_dispatch.h>
#include <ATen/ops/threshold_backward_cpu_dispatch.h>
#include <c10/core/Scalar.h>

#include "aten/table.h"
#include "torch/unary.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

std::optional<at::Tensor> relu(Call& call, const at::Tensor& self) {
  polyops_relu_args args;
  args.reserved = 0;
  return unary(call, self, args);
}

bool relu_inplace(Call& call, at::Tensor& self) {
  polyops_relu_args args;
  args.reserved = 0;
  return unary_out(call, self, self, args);
}

// Stock compares float64 with a float64 threshold; on a CPU everything else with a float32 one,
// elsewhere with one of its own type.
double round_to(const at::Tensor& like, const at::Scalar& value) {
  const c10::ScalarType type = like.scalar_type();
  if (type == c10::kDouble) return value.to<double>();
  if (like.is_cpu()) return value.to<float>();
  if (type == c10::kBFloat16) return static_cast<float>(value.to<c10::BFloat16>());
  if (type == c10::kHalf) return static_cast<float>(value.to<c10::Half>());
  return value.to<float>();
}

bool fill(Call& call, const at::Tensor& self, const at::Scalar& threshold,
          polyops_relu_backward_args* args) {
  if (threshold.isComplex() || !self.defined()) return call.decline("threshold");
  args->reserved = 0;
  args->threshold = round_to(self, threshold);
  return true;
}

std::optional<at::Tensor> threshold_backward(Call& call, const at::Tensor& grad_output,
                                             const at::Tensor& self, const at::Scalar& threshold) {
  polyops_relu_backward_args args;
  if (!fill(call, self, threshold, &args)) return std::nullopt;
  return unary_backward(call, grad_output, self, args, First::kSelf);
}

bool threshold_backward_out(Call& call, const at::Tensor& grad_output, const at::Tensor& self,
                            const at::Scalar& threshold, at::Tensor& grad_input) {
  polyops_relu_backward_args args;
  if (!fill(call, self, threshold, &args)) return false;
  return unary_backward_out(call, grad_output, self, grad_input, args);
}

}  // namespace

std::vector<Overload> relu_overloads() {
  return {
      {"relu", "relu", "relu", wrap(relu, at::cpu::relu)},
      {"relu_", "relu", "relu", wrap(relu_inplace, at::cpu::relu_)},
      {"relu.out", "relu", "relu", nullptr, "stock copies the result of relu, which is taken"},
      {"threshold_backward", "relu", "relu_backward",
       wrap(threshold_backward, at::cpu::threshold_backward)},
      {"threshold_backward.grad_input", "relu", "relu_backward",
       wrap(threshold_backward_out, at::cpu::threshold_backward_outf)},
  };
}

}  // namespace polyops::torch_binding
