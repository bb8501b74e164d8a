// aten::mish, softplus, elu (which celu and selu end in) and log_sigmoid_forward, and their
// backward.
#include "polyops/ops/activation.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/elu_backward_cpu_dispatch.h>
#include <ATen/ops/elu_cpu_dispatch.h>
#include <ATen/ops/log_sigmoid_backward_cpu_dispatch.h>
#include <ATen/ops/log_sigmoid_forward_cpu_dispatch.h>
#include <ATen/ops/mish_backward_cpu_dispatch.h>
#include <ATen/ops/mish_cpu_dispatch.h>
#include <ATen/ops/softplus_backward_cpu_dispatch.h>
#include <ATen/ops/softplus_cpu_dispatch.h>
#include <c10/core/Scalar.h>

#include <initializer_list>

#include "aten/table.h"
#include "torch/allocate.h"
#include "torch/results.h"
#include "torch/unary.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

using Args = polyops_activation_args;
using BackwardArgs = polyops_activation_backward_args;
using Result = std::optional<at::Tensor>;
using Scalar = at::Scalar;

// False, where stock would raise.
bool fill(Call& call, const at::Tensor& self, std::initializer_list<const Scalar*> scalars,
          double (&values)[POLYOPS_ACTIVATION_SCALARS]) {
  if (!self.defined()) return call.decline("undefined tensor");
  for (double& value : values) value = 0;
  double* value = values;
  for (const Scalar* scalar : scalars) {
    if (scalar->isComplex()) return call.decline("complex scalar");
    *value++ = self.scalar_type() == c10::kDouble ? scalar->to<double>() : scalar->to<float>();
  }
  return true;
}

bool fill(Call& call, const at::Tensor& self, std::initializer_list<const Scalar*> scalars,
          Args* args) {
  args->reserved = 0;
  return fill(call, self, scalars, args->scalars);
}

bool fill(Call& call, const at::Tensor& self, std::initializer_list<const Scalar*> scalars,
          BackwardArgs* args) {
  args->of_result = 0;
  return fill(call, self, scalars, args->scalars);
}

// ---- mish

Result mish(Call& call, const at::Tensor& self) {
  Args args;
  if (!fill(call, self, {}, &args)) return std::nullopt;
  return unary(call, self, args);
}

bool mish_out(Call& call, const at::Tensor& self, at::Tensor& out) {
  Args args;
  return fill(call, self, {}, &args) && unary_out(call, self, out, args);
}

bool mish_inplace(Call& call, at::Tensor& self) { return mish_out(call, self, self); }

Result mish_backward(Call& call, const at::Tensor& grad_output, const at::Tensor& self) {
  BackwardArgs args;
  if (!fill(call, self, {}, &args)) return std::nullopt;
  return unary_backward(call, grad_output, self, args, First::kGradOutput);
}

// ---- softplus

Result softplus(Call& call, const at::Tensor& self, const Scalar& beta, const Scalar& threshold) {
  Args args;
  if (!fill(call, self, {&beta, &threshold}, &args)) return std::nullopt;
  return unary(call, self, args);
}

bool softplus_out(Call& call, const at::Tensor& self, const Scalar& beta, const Scalar& threshold,
                  at::Tensor& out) {
  Args args;
  return fill(call, self, {&beta, &threshold}, &args) && unary_out(call, self, out, args);
}

Result softplus_backward(Call& call, const at::Tensor& grad_output, const at::Tensor& self,
                         const Scalar& beta, const Scalar& threshold) {
  BackwardArgs args;
  if (!fill(call, self, {&beta, &threshold}, &args)) return std::nullopt;
  return unary_backward(call, grad_output, self, args, First::kGradOutput);
}

bool softplus_backward_out(Call& call, const at::Tensor& grad_output, const at::Tensor& self,
                           const Scalar& beta, const Scalar& threshold, at::Tensor& grad_input) {
  BackwardArgs args;
  return fill(call, self, {&beta, &threshold}, &args) &&
         unary_backward_out(call, grad_output, self, grad_input, args);
}

// ---- elu

Result elu(Call& call, const at::Tensor& self, const Scalar& alpha, const Scalar& scale,
           const Scalar& input_scale) {
  Args args;
  if (!fill(call, self, {&alpha, &scale, &input_scale}, &args)) return std::nullopt;
  return unary(call, self, args);
}

bool elu_out(Call& call, const at::Tensor& self, const Scalar& alpha, const Scalar& scale,
             const Scalar& input_scale, at::Tensor& out) {
  Args args;
  return fill(call, self, {&alpha, &scale, &input_scale}, &args) &&
         unary_out(call, self, out, args);
}

bool elu_inplace(Call& call, at::Tensor& self, const Scalar& alpha, const Scalar& scale,
                 const Scalar& input_scale) {
  return elu_out(call, self, alpha, scale, input_scale, self);
}

bool fill_elu(Call& call, const at::Tensor& self, const Scalar& alpha, const Scalar& scale,
              const Scalar& input_scale, bool is_result, BackwardArgs* args) {
  if (!fill(call, self, {&alpha, &scale, &input_scale}, args)) return false;
  args->of_result = is_result;
  return !is_result || args->scalars[0] >= 0 || call.decline("no input has that result");
}

Result elu_backward(Call& call, const at::Tensor& grad_output, const Scalar& alpha,
                    const Scalar& scale, const Scalar& input_scale, bool is_result,
                    const at::Tensor& self_or_result) {
  BackwardArgs args;
  if (!fill_elu(call, self_or_result, alpha, scale, input_scale, is_result, &args)) {
    return std::nullopt;
  }
  return unary_backward(call, grad_output, self_or_result, args, First::kGradOutput);
}

bool elu_backward_out(Call& call, const at::Tensor& grad_output, const Scalar& alpha,
                      const Scalar& scale, const Scalar& input_scale, bool is_result,
                      const at::Tensor& self_or_result, at::Tensor& grad_input) {
  BackwardArgs args;
  return fill_elu(call, self_or_result, alpha, scale, input_scale, is_result, &args) &&
         unary_backward_out(call, grad_output, self_or_result, grad_input, args);
}

// ---- log_sigmoid. Beside its result stands a buffer, which on devices is empty and not read.

std::optional<Two> log_sigmoid(Call& call, const at::Tensor& self) {
  Args args;
  if (!fill(call, self, {}, &args)) return std::nullopt;
  Result result = unary(call, self, args, allocate_as);
  if (!result) return std::nullopt;
  return Two(*std::move(result), allocate(self, {0}, self.scalar_type()));
}

bool log_sigmoid_out(Call& call, const at::Tensor& self, at::Tensor& output, at::Tensor&) {
  Args args;
  return fill(call, self, {}, &args) && unary_out(call, self, output, args);
}

Result log_sigmoid_backward(Call& call, const at::Tensor& grad_output, const at::Tensor& self,
                            const at::Tensor&) {
  BackwardArgs args;
  if (!fill(call, self, {}, &args)) return std::nullopt;
  return unary_backward(call, grad_output, self, args, First::kGradOutputAlone);
}

bool log_sigmoid_backward_out(Call& call, const at::Tensor& grad_output, const at::Tensor& self,
                              const at::Tensor&, at::Tensor& grad_input) {
  BackwardArgs args;
  return fill(call, self, {}, &args) &&
         unary_backward_out(call, grad_output, self, grad_input, args);
}

}  // namespace

std::vector<Overload> activation_overloads() {
  return {
      {"mish", "mish", "mish", wrap(mish, at::cpu::mish)},
      {"mish.out", "mish", "mish", wrap(mish_out, at::cpu::mish_outf)},
      {"mish_", "mish", "mish", wrap(mish_inplace, at::cpu::mish_)},
      {"mish_backward", "mish", "mish_backward", wrap(mish_backward, at::cpu::mish_backward)},
      {"softplus", "softplus", "softplus", wrap(softplus, at::cpu::softplus)},
      {"softplus.out", "softplus", "softplus", wrap(softplus_out, at::cpu::softplus_outf)},
      {"softplus_backward", "softplus", "softplus_backward",
       wrap(softplus_backward, at::cpu::softplus_backward)},
      {"softplus_backward.grad_input", "softplus", "softplus_backward",
       wrap(softplus_backward_out, at::cpu::softplus_backward_outf)},
      {"elu", "elu", "elu", wrap(elu, at::cpu::elu)},
      {"elu.out", "elu", "elu", wrap(elu_out, at::cpu::elu_outf)},
      {"elu_", "elu", "elu", wrap(elu_inplace, at::cpu::elu_)},
      {"elu_backward", "elu", "elu_backward", wrap(elu_backward, at::cpu::elu_backward)},
      {"elu_backward.grad_input", "elu", "elu_backward",
       wrap(elu_backward_out, at::cpu::elu_backward_outf)},
      {"log_sigmoid_forward", "log_sigmoid", "log_sigmoid",
       wrap(log_sigmoid, at::cpu::log_sigmoid_forward)},
      {"log_sigmoid_forward.output", "log_sigmoid", "log_sigmoid",
       wrap(log_sigmoid_out, at::cpu::log_sigmoid_forward_outf)},
      {"log_sigmoid_backward", "log_sigmoid", "log_sigmoid_backward",
       wrap(log_sigmoid_backward, at::cpu::log_sigmoid_backward)},
      {"log_sigmoid_backward.grad_input", "log_sigmoid", "log_sigmoid_backward",
       wrap(log_sigmoid_backward_out, at::cpu::log_sigmoid_backward_outf)},
  };
}

}  // namespace polyops::torch_binding
