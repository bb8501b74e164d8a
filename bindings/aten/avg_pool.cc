// aten::avg_pool2d, avg_pool3d, _adaptive_avg_pool2d, _adaptive_avg_pool3d and their backwards.
// F.avg_pool1d to 3d, F.adaptive_avg_pool1d to 3d and their modules end here; the adaptive average
// of whole images is aten::mean.
#include <ATen/core/Tensor.h>
#include <ATen/ops/_adaptive_avg_pool2d_backward_cpu_dispatch.h>
#include <ATen/ops/_adaptive_avg_pool2d_cpu_dispatch.h>
#include <ATen/ops/_adaptive_avg_pool3d_backward_cpu_dispatch.h>
#include <ATen/ops/_adaptive_avg_pool3d_cpu_dispatch.h>
#include <ATen/ops/avg_pool2d_backward_cpu_dispatch.h>
#include <ATen/ops/avg_pool2d_cpu_dispatch.h>
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

// ---- Windows

template <int kDims>
std::optional<at::Tensor> avg_pool(Call& call, const at::Tensor& self, IntArrayRef size,
                                   IntArrayRef stride, IntArrayRef padding, bool ceil_mode,
                                   bool count_include_pad, OptionalInt divisor) {
  return average<kDims>(call, self,
                        {{size, stride, padding, kOne, ceil_mode}, count_include_pad, divisor});
}

template <int kDims>
bool avg_pool_out(Call& call, const at::Tensor& self, IntArrayRef size, IntArrayRef stride,
                  IntArrayRef padding, bool ceil_mode, bool count_include_pad, OptionalInt divisor,
                  at::Tensor& out) {
  return average_out<kDims>(
      call, self, {{size, stride, padding, kOne, ceil_mode}, count_include_pad, divisor}, out);
}

template <int kDims>
std::optional<at::Tensor> avg_pool_backward(Call& call, const at::Tensor& grad_output,
                                            const at::Tensor& self, IntArrayRef size,
                                            IntArrayRef stride, IntArrayRef padding, bool ceil_mode,
                                            bool count_include_pad, OptionalInt divisor) {
  if (const char* reason = kDims == 3 ? check_order(self) : nullptr) {
    call.decline(reason);
    return std::nullopt;
  }
  return average_backward<kDims>(
      call, grad_output, self,
      {{size, stride, padding, kOne, ceil_mode}, count_include_pad, divisor});
}

template <int kDims>
bool avg_pool_backward_out(Call& call, const at::Tensor& grad_output, const at::Tensor& self,
                           IntArrayRef size, IntArrayRef stride, IntArrayRef padding,
                           bool ceil_mode, bool count_include_pad, OptionalInt divisor,
                           at::Tensor& grad_input) {
  if (const char* reason = kDims == 3 ? check_order(self) : nullptr) return call.decline(reason);
  return average_backward_out<kDims>(
      call, grad_output, self,
      {{size, stride, padding, kOne, ceil_mode}, count_include_pad, divisor}, grad_input);
}

// ---- Shares of the image

template <int kDims>
struct AdaptiveArgs {
  using Forward = polyops_adaptive_avg_pool2d_args;
  using Backward = polyops_adaptive_avg_pool2d_backward_args;
};
template <>
struct AdaptiveArgs<3> {
  using Forward = polyops_adaptive_avg_pool3d_args;
  using Backward = polyops_adaptive_avg_pool3d_backward_args;
};

template <int kDims>
std::optional<at::Tensor> adaptive_avg_pool(Call& call, const at::Tensor& self,
                                            IntArrayRef output_size) {
  typename AdaptiveArgs<kDims>::Forward args;
  args.struct_size = sizeof args;
  PoolShape shape;
  if (const char* reason = adaptive_pool_shape(self, output_size, kDims, &shape)) {
    call.decline(reason);
    return std::nullopt;
  }
  if (kDims == 3) shape.format = MemoryFormat::Contiguous;  // as stock's
  return pool<kDims>(call, self, shape, &args);
}

// Whether stock's gradient is contiguous whatever the image's format: that of a volume is; on
// devices that of images is where contiguous is channels last as well.
template <int kDims>
bool is_always_contiguous(const at::Tensor& self) {
  if (kDims == 3) return true;
  const int64_t* sizes = self.sizes().end() - 3;
  const bool both = sizes[0] == 1 || (sizes[1] == 1 && sizes[2] == 1);
  return both && !self.is_cpu();
}

template <int kDims>
std::optional<at::Tensor> adaptive_avg_pool_backward(Call& call, const at::Tensor& grad_output,
                                                     const at::Tensor& self) {
  typename AdaptiveArgs<kDims>::Backward args;
  args.struct_size = sizeof args;
  PoolShape shape;
  if (const char* reason = adaptive_gradient_shape(grad_output, self, kDims, &shape)) {
    call.decline(reason);
    return std::nullopt;
  }
  if (is_always_contiguous<kDims>(self)) shape.format = MemoryFormat::Contiguous;
  return pool_backward<kDims>(call, grad_output, self, shape, &args);
}

constexpr const char* kCopied = "stock copies the result of the functional form, which is taken";
constexpr const char* kUnused = "no model calls it";

}  // namespace

std::vector<Overload> avg_pool2d_overloads() {
  static constexpr const char kOp[] = "avg_pool2d", kBackward[] = "avg_pool2d_backward";
  return {
      {"avg_pool2d", kOp, kOp, wrap(avg_pool<2>, at::cpu::avg_pool2d)},
      {"avg_pool2d.out", kOp, kOp, wrap(avg_pool_out<2>, at::cpu::avg_pool2d_outf)},
      {"avg_pool2d_backward", kOp, kBackward,
       wrap(avg_pool_backward<2>, at::cpu::avg_pool2d_backward)},
      {"avg_pool2d_backward.grad_input", kOp, kBackward,
       wrap(avg_pool_backward_out<2>, at::cpu::avg_pool2d_backward_outf)},
  };
}

std::vector<Overload> avg_pool3d_overloads() {
  static constexpr const char kOp[] = "avg_pool3d", kBackward[] = "avg_pool3d_backward";
  return {
      {"avg_pool3d", kOp, kOp, wrap(avg_pool<3>, at::cpu::avg_pool3d)},
      {"avg_pool3d.out", kOp, kOp, wrap(avg_pool_out<3>, at::cpu::avg_pool3d_outf)},
      {"avg_pool3d_backward", kOp, kBackward,
       wrap(avg_pool_backward<3>, at::cpu::avg_pool3d_backward)},
      {"avg_pool3d_backward.grad_input", kOp, kBackward,
       wrap(avg_pool_backward_out<3>, at::cpu::avg_pool3d_backward_outf)},
  };
}

std::vector<Overload> adaptive_avg_pool2d_overloads() {
  static constexpr const char kOp[] = "adaptive_avg_pool2d",
                              kBackward[] = "adaptive_avg_pool2d_backward";
  return {
      {"_adaptive_avg_pool2d", kOp, kOp, wrap(adaptive_avg_pool<2>, at::cpu::_adaptive_avg_pool2d)},
      {"_adaptive_avg_pool2d.out", kOp, kOp, nullptr, kCopied},
      {"adaptive_avg_pool2d.out", kOp, kOp, nullptr, kUnused},
      {"_adaptive_avg_pool2d_backward", kOp, kBackward,
       wrap(adaptive_avg_pool_backward<2>, at::cpu::_adaptive_avg_pool2d_backward)},
      {"_adaptive_avg_pool2d_backward.out", kOp, kBackward, nullptr, kCopied},
  };
}

std::vector<Overload> adaptive_avg_pool3d_overloads() {
  static constexpr const char kOp[] = "adaptive_avg_pool3d",
                              kBackward[] = "adaptive_avg_pool3d_backward";
  return {
      {"_adaptive_avg_pool3d", kOp, kOp, wrap(adaptive_avg_pool<3>, at::cpu::_adaptive_avg_pool3d)},
      {"_adaptive_avg_pool3d.out", kOp, kOp, nullptr, kCopied},
      {"adaptive_avg_pool3d.out", kOp, kOp, nullptr, kUnused},
      {"_adaptive_avg_pool3d_backward", kOp, kBackward,
       wrap(adaptive_avg_pool_backward<3>, at::cpu::_adaptive_avg_pool3d_backward)},
      {"_adaptive_avg_pool3d_backward.out", kOp, kBackward, nullptr, kCopied},
      {"adaptive_avg_pool3d_backward.grad_input", kOp, kBackward, nullptr, kUnused},
  };
}

}  // namespace polyops::torch_binding
