// aten::avg_pool2d, _adaptive_avg_pool2d and their backwards. F.avg_pool2d, F.adaptive_avg_pool2d,
// their forms in one dimension and their modules end here; the adaptive average of whole planes is
// aten::mean.
#include <ATen/core/Tensor.h>
#include <ATen/ops/_adaptive_avg_pool2d_backward_cpu_dispatch.h>
#include <ATen/ops/_adaptive_avg_pool2d_cpu_dispatch.h>
#include <ATen/ops/avg_pool2d_backward_cpu_dispatch.h>
#include <ATen/ops/avg_pool2d_cpu_dispatch.h>

#include "aten/average_pool.h"
#include "aten/table.h"

namespace polyops::torch_binding {
namespace {

using at::IntArrayRef;
using c10::MemoryFormat;
using OptionalInt = std::optional<int64_t>;

constexpr int64_t kOne[1] = {1};

// ---- avg_pool2d

std::optional<at::Tensor> avg_pool2d(Call& call, const at::Tensor& self, IntArrayRef size,
                                     IntArrayRef stride, IntArrayRef padding, bool ceil_mode,
                                     bool count_include_pad, OptionalInt divisor) {
  return average<2>(call, self,
                    {{size, stride, padding, kOne, ceil_mode}, count_include_pad, divisor});
}

bool avg_pool2d_out(Call& call, const at::Tensor& self, IntArrayRef size, IntArrayRef stride,
                    IntArrayRef padding, bool ceil_mode, bool count_include_pad,
                    OptionalInt divisor, at::Tensor& out) {
  return average_out<2>(
      call, self, {{size, stride, padding, kOne, ceil_mode}, count_include_pad, divisor}, out);
}

std::optional<at::Tensor> avg_pool2d_backward(Call& call, const at::Tensor& grad_output,
                                              const at::Tensor& self, IntArrayRef size,
                                              IntArrayRef stride, IntArrayRef padding,
                                              bool ceil_mode, bool count_include_pad,
                                              OptionalInt divisor) {
  return average_backward<2>(
      call, grad_output, self,
      {{size, stride, padding, kOne, ceil_mode}, count_include_pad, divisor});
}

bool avg_pool2d_backward_out(Call& call, const at::Tensor& grad_output, const at::Tensor& self,
                             IntArrayRef size, IntArrayRef stride, IntArrayRef padding,
                             bool ceil_mode, bool count_include_pad, OptionalInt divisor,
                             at::Tensor& grad_input) {
  return average_backward_out<2>(
      call, grad_output, self,
      {{size, stride, padding, kOne, ceil_mode}, count_include_pad, divisor}, grad_input);
}

// ---- adaptive_avg_pool2d

std::optional<at::Tensor> adaptive_avg_pool2d(Call& call, const at::Tensor& self,
                                              IntArrayRef output_size) {
  polyops_adaptive_avg_pool2d_args args;
  args.struct_size = sizeof args;
  PoolShape shape;
  if (const char* reason = adaptive_pool_shape(self, output_size, 2, &shape)) {
    call.decline(reason);
    return std::nullopt;
  }
  return pool<2>(call, self, shape, &args);
}

std::optional<at::Tensor> adaptive_avg_pool2d_backward(Call& call, const at::Tensor& grad_output,
                                                       const at::Tensor& self) {
  polyops_adaptive_avg_pool2d_backward_args args;
  args.struct_size = sizeof args;
  PoolShape shape;
  if (const char* reason = adaptive_gradient_shape(grad_output, self, 2, &shape)) {
    call.decline(reason);
    return std::nullopt;
  }
  // Stock's gradient stays contiguous on devices where that is channels last as well.
  const int64_t* sizes = self.sizes().end() - 3;
  const bool both = sizes[0] == 1 || (sizes[1] == 1 && sizes[2] == 1);
  if (both && !self.is_cpu()) shape.format = MemoryFormat::Contiguous;
  return pool_backward<2>(call, grad_output, self, shape, &args);
}

}  // namespace

std::vector<Overload> avg_pool2d_overloads() {
  static constexpr const char kOp[] = "avg_pool2d", kBackward[] = "avg_pool2d_backward";
  return {
      {"avg_pool2d", kOp, kOp, wrap(avg_pool2d, at::cpu::avg_pool2d)},
      {"avg_pool2d.out", kOp, kOp, wrap(avg_pool2d_out, at::cpu::avg_pool2d_outf)},
      {"avg_pool2d_backward", kOp, kBackward,
       wrap(avg_pool2d_backward, at::cpu::avg_pool2d_backward)},
      {"avg_pool2d_backward.grad_input", kOp, kBackward,
       wrap(avg_pool2d_backward_out, at::cpu::avg_pool2d_backward_outf)},
  };
}

std::vector<Overload> adaptive_avg_pool2d_overloads() {
  static constexpr const char kOp[] = "adaptive_avg_pool2d",
                              kBackward[] = "adaptive_avg_pool2d_backward";
  return {
      {"_adaptive_avg_pool2d", kOp, kOp, wrap(adaptive_avg_pool2d, at::cpu::_adaptive_avg_pool2d)},
      {"_adaptive_avg_pool2d.out", kOp, kOp, nullptr,
       "stock copies the result of _adaptive_avg_pool2d, which is taken"},
      {"adaptive_avg_pool2d.out", kOp, kOp, nullptr, "no model calls it"},
      {"_adaptive_avg_pool2d_backward", kOp, kBackward,
       wrap(adaptive_avg_pool2d_backward, at::cpu::_adaptive_avg_pool2d_backward)},
      {"_adaptive_avg_pool2d_backward.out", kOp, kBackward, nullptr,
       "stock copies the result of _adaptive_avg_pool2d_backward, which is taken"},
  };
}

}  // namespace polyops::torch_binding
