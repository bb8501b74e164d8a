// aten::gelu and its backward.
#include "polyops/ops/gelu.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/gelu_backward_cpu_dispatch.h>
#include <ATen/ops/gelu_cpu_dispatch.h>

#include "aten/table.h"
#include "torch/unary.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

// False for what stock rejects.
bool parse(c10::string_view approximate, int32_t* tanh) {
  *tanh = approximate == "tanh";
  return *tanh != 0 || approximate == "none";
}

std::optional<at::Tensor> gelu(Call& call, const at::Tensor& self, c10::string_view approximate) {
  polyops_gelu_args args;
  if (!parse(approximate, &args.tanh)) {
    call.decline("approximate");
    return std::nullopt;
  }
  return unary(call, self, args);
}

bool gelu_out(Call& call, const at::Tensor& self, c10::string_view approximate, at::Tensor& out) {
  polyops_gelu_args args;
  if (!parse(approximate, &args.tanh)) return call.decline("approximate");
  return unary_out(call, self, out, args);
}

bool gelu_inplace(Call& call, at::Tensor& self, c10::string_view approximate) {
  return gelu_out(call, self, approximate, self);
}

std::optional<at::Tensor> gelu_backward(Call& call, const at::Tensor& grad_output,
                                        const at::Tensor& self, c10::string_view approximate) {
  polyops_gelu_backward_args args;
  if (!parse(approximate, &args.tanh)) {
    call.decline("approximate");
    return std::nullopt;
  }
  return unary_backward(call, grad_output, self, args, First::kGradOutput);
}

bool gelu_backward_out(Call& call, const at::Tensor& grad_output, const at::Tensor& self,
                       c10::string_view approximate, at::Tensor& grad_input) {
  polyops_gelu_backward_args args;
  if (!parse(approximate, &args.tanh)) return call.decline("approximate");
  return unary_backward_out(call, grad_output, self, grad_input, args);
}

}  // namespace

std::vector<Overload> gelu_overloads() {
  return {
      {"gelu", "gelu", "gelu", wrap(gelu, at::cpu::gelu)},
      {"gelu.out", "gelu", "gelu", wrap(gelu_out, at::cpu::gelu_outf)},
      {"gelu_", "gelu", "gelu", wrap(gelu_inplace, at::cpu::gelu_)},
      {"gelu_backward", "gelu", "gelu_backward", wrap(gelu_backward, at::cpu::gelu_backward)},
      {"gelu_backward.grad_input", "gelu", "gelu_backward",
       wrap(gelu_backward_out, at::cpu::gelu_backward_outf)},
  };
}

}  // namespace polyops::torch_binding
