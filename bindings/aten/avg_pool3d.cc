// aten::avg_pool3d, _adaptive_avg_pool3d and their backwards. F.avg_pool3d, F.adaptive_avg_pool3d and
// their modules end here; the adaptive average of whole images is aten::mean. Results and gradients are
// contiguous, as stock's.
#include <ATen/core/Tensor.h>
#include <ATen/ops/_adaptive_avg_pool3d_backward_cpu_dispatch.h>
#include <ATen/ops/_adaptive_avg_pool3d_cpu_dispatch.h>
#include <ATen/ops/avg_pool3d_backward_cpu_dispatch.h>
#include <ATen/ops/avg_pool3d_cpu_dispatch.h>

#include "aten/average_pool.h"
#include "aten/table.h"

namespace polyops::torch_binding {
namespace {

using at::IntArrayRef;
using c10::MemoryFormat;
using OptionalInt = std::optional<int64_t>;

constexpr int64_t kOne[1] = {1};

// ---- avg_pool3d

std::optional<at::Tensor> avg_pool3d(Call& call, const at::Tensor& self, IntArrayRef size,
                                     IntArrayRef stride, IntArrayRef padding, bool ceil_mode,
                                     bool count_include_pad, OptionalInt divisor) {
  return average<3>(call, self,
                    {{size, stride, padding, kOne, ceil_mode}, count_include_pad, divisor});
}

bool avg_pool3d_out(Call& call, const at::Tensor& self, IntArrayRef size, IntArrayRef stride,
                    IntArrayRef padding, bool ceil_mode, bool count_include_pad,
                    OptionalInt divisor, at::Tensor& out) {
  return average_out<3>(
      call, self, {{size, stride, padding, kOne, ceil_mode}, count_include_pad, divisor}, out);
}

std::optional<at::Tensor> avg_pool3d_backward(Call& call, const at::Tensor& grad_output,
                                              const at::Tensor& self, IntArrayRef size,
                                              IntArrayRef stride, IntArrayRef padding,
                                              bool ceil_mode, bool count_include_pad,
                                              OptionalInt divisor) {
  if (const char* reason = check_order(self)) {
    call.decline(reason);
    return std::nullopt;
  }
  return average_backward<3>(
      call, grad_output, self,
      {{size, stride, padding, kOne, ceil_mode}, count_include_pad, divisor});
}

bool avg_pool3d_backward_out(Call& call, const at::Tensor& grad_output, const at::Tensor& self,
                             IntArrayRef size, IntArrayRef stride, IntArrayRef padding,
                             bool ceil_mode, bool count_include_pad, OptionalInt divisor,
                             at::Tensor& grad_input) {
  if (const char* reason = check_order(self)) return call.decline(reason);
  return average_backward_out<3>(
      call, grad_output, self,
      {{size, stride, padding, kOne, ceil_mode}, count_include_pad, divisor}, grad_input);
}

// ---- adaptive_avg_pool3d

std::optional<at::Tensor> adaptive_avg_pool3d(Call& call, const at::Tensor& self,
                                              IntArrayRef output_size) {
  polyops_adaptive_avg_pool3d_args args;
  args.struct_size = sizeof args;
  PoolShape shape;
  if (const char* reason = adaptive_pool_shape(self, output_size, 3, &shape)) {
    call.decline(reason);
    return std::nullopt;
  }
  shape.format = MemoryFormat::Contiguous;
  return pool<3>(call, self, shape, &args);
}

std::optional<at::Tensor> adaptive_avg_pool3d_backward(Call& call, const at::Tensor& grad_output,
                                                       const at::Tensor& self) {
  polyops_adaptive_avg_pool3d_backward_args args;
  args.struct_size = sizeof args;
  PoolShape shape;
  if (const char* reason = adaptive_gradient_shape(grad_output, self, 3, &shape)) {
    call.decline(reason);
    return std::nullopt;
  }
  shape.format = MemoryFormat::Contiguous;
  return pool_backward<3>(call, grad_output, self, shape, &args);
}

}  // namespace

std::vector<Overload> avg_pool3d_overloads() {
  static constexpr const char kOp[] = "avg_pool3d", kBackward[] = "avg_pool3d_backward";
  return {
      {"avg_pool3d", kOp, kOp, wrap(avg_pool3d, at::cpu::avg_pool3d)},
      {"avg_pool3d.out", kOp, kOp, wrap(avg_pool3d_out, at::cpu::avg_pool3d_outf)},
      {"avg_pool3d_backward", kOp, kBackward,
       wrap(avg_pool3d_backward, at::cpu::avg_pool3d_backward)},
      {"avg_pool3d_backward.grad_input", kOp, kBackward,
       wrap(avg_pool3d_backward_out, at::cpu::avg_pool3d_backward_outf)},
  };
}

std::vector<Overload> adaptive_avg_pool3d_overloads() {
  static constexpr const char kOp[] = "adaptive_avg_pool3d",
                              kBackward[] = "adaptive_avg_pool3d_backward";
  return {
      {"_adaptive_avg_pool3d", kOp, kOp, wrap(adaptive_avg_pool3d, at::cpu::_adaptive_avg_pool3d)},
      {"_adaptive_avg_pool3d.out", kOp, kOp, nullptr,
       "stock copies the result of _adaptive_avg_pool3d, which is taken"},
      {"adaptive_avg_pool3d.out", kOp, kOp, nullptr, "no model calls it"},
      {"_adaptive_avg_pool3d_backward", kOp, kBackward,
       wrap(adaptive_avg_pool3d_backward, at::cpu::_adaptive_avg_pool3d_backward)},
      {"_adaptive_avg_pool3d_backward.out", kOp, kBackward, nullptr,
       "stock copies the result of _adaptive_avg_pool3d_backward, which is taken"},
      {"adaptive_avg_pool3d_backward.grad_input", kOp, kBackward, nullptr, "no model calls it"},
  };
}

}  // namespace polyops::torch_binding
