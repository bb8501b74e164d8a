// aten::avg_pool2d, _adaptive_avg_pool2d and their backwards. F.avg_pool2d, F.adaptive_avg_pool2d,
// their forms in one dimension and their modules end here; the adaptive average of whole planes is
// aten::mean.
#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/_adaptive_avg_pool2d_backward_cpu_dispatch.h>
#include <ATen/ops/_adaptive_avg_pool2d_cpu_dispatch.h>
#include <ATen/ops/avg_pool2d_backward_cpu_dispatch.h>
#include <ATen/ops/avg_pool2d_cpu_dispatch.h>

#include <limits>

#include "aten/pool_window.h"
#include "aten/table.h"
#include "polyops/ops/pool2d.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

using at::IntArrayRef;
using c10::MemoryFormat;
using OptionalInt = std::optional<int64_t>;

constexpr int64_t kOne[1] = {1};

// Args: of avg_pool2d or its backward.
template <class Args>
const char* read_divisor(bool count_include_pad, OptionalInt divisor, Args* args) {
  args->struct_size = sizeof *args;
  args->count_padding = count_include_pad;
  args->divisor = divisor.value_or(0);
  const bool fits = args->divisor == static_cast<int32_t>(args->divisor);
  return fits && !(divisor && *divisor == 0) ? nullptr : "divisor";
}

// ---- The calls' images, given an argument struct whose other members are set.

template <class Args>
bool prepare(Call& call, const at::Tensor& self, const PoolShape& shape, Args* args) {
  if (const char* reason = describe_image(self, 2, &args->src)) return call.decline(reason);
  describe_in_format(shape.results, args->src.dtype, shape.format, 2, &args->dst);
  return call.choose(args);
}

template <class Args>
bool run(Call& call, const at::Tensor& self, const at::Tensor& out, Args* args) {
  set_input(&args->src, self);
  set_output(&args->dst, out);
  return call.launch(args, out);
}

template <class Args>
std::optional<at::Tensor> pool(Call& call, const at::Tensor& self, const PoolShape& shape,
                               Args* args) {
  if (!prepare(call, self, shape, args)) return std::nullopt;
  at::Tensor out = allocate(self, shape.results, self.scalar_type(), shape.format);
  if (!run(call, self, out, args)) return std::nullopt;
  return out;
}

template <class Args>
bool prepare_backward(Call& call, const at::Tensor& grad_output, const at::Tensor& self,
                      const PoolShape& shape, Args* args) {
  polyops_tensor image;
  const char* reason = describe_image(self, 2, &image);
  if (!reason && !same_kind(grad_output, self)) reason = "mixed dtypes or devices";
  if (!reason && grad_output.sizes() != IntArrayRef(shape.results)) reason = "shape";
  if (!reason) reason = describe_image(grad_output, 2, &args->grad_dst);
  if (reason) return call.decline(reason);
  describe_in_format(self.sizes(), image.dtype, shape.format, 2, &args->grad_src);
  return call.choose(args);
}

template <class Args>
bool run_backward(Call& call, const at::Tensor& grad_output, const at::Tensor& grad_input,
                  Args* args) {
  set_input(&args->grad_dst, grad_output);
  set_output(&args->grad_src, grad_input);
  return call.launch(args, grad_input);
}

template <class Args>
std::optional<at::Tensor> pool_backward(Call& call, const at::Tensor& grad_output,
                                        const at::Tensor& self, const PoolShape& shape,
                                        Args* args) {
  if (!prepare_backward(call, grad_output, self, shape, args)) return std::nullopt;
  at::Tensor grad_input = allocate(self, self.sizes(), self.scalar_type(), shape.format);
  if (!run_backward(call, grad_output, grad_input, args)) return std::nullopt;
  return grad_input;
}

// ---- avg_pool2d

template <class Args>
bool read(Call& call, const at::Tensor& self, const PoolParameters& parameters,
          bool count_include_pad, OptionalInt divisor, PoolShape* shape, Args* args) {
  const char* reason = read_divisor(count_include_pad, divisor, args);
  if (!reason) reason = pool_shape(self, parameters, &args->window, shape);
  return reason == nullptr || call.decline(reason);
}

std::optional<at::Tensor> avg_pool2d(Call& call, const at::Tensor& self, IntArrayRef size,
                                     IntArrayRef stride, IntArrayRef padding, bool ceil_mode,
                                     bool count_include_pad, OptionalInt divisor) {
  polyops_avg_pool2d_args args;
  PoolShape shape;
  const PoolParameters parameters = {size, stride, padding, kOne, ceil_mode};
  if (!read(call, self, parameters, count_include_pad, divisor, &shape, &args)) return std::nullopt;
  return pool(call, self, shape, &args);
}

bool avg_pool2d_out(Call& call, const at::Tensor& self, IntArrayRef size, IntArrayRef stride,
                    IntArrayRef padding, bool ceil_mode, bool count_include_pad,
                    OptionalInt divisor, at::Tensor& out) {
  polyops_avg_pool2d_args args;
  PoolShape shape;
  const PoolParameters parameters = {size, stride, padding, kOne, ceil_mode};
  if (!read(call, self, parameters, count_include_pad, divisor, &shape, &args)) return false;
  if (const char* reason =
          check_pool_out(out, shape.results, self, self.scalar_type(), shape.format)) {
    return call.decline(reason);
  }
  if (shares_storage(out, self)) return call.decline("out shares memory with an input");
  return prepare(call, self, shape, &args) && run(call, self, out, &args);
}

std::optional<at::Tensor> avg_pool2d_backward(Call& call, const at::Tensor& grad_output,
                                              const at::Tensor& self, IntArrayRef size,
                                              IntArrayRef stride, IntArrayRef padding,
                                              bool ceil_mode, bool count_include_pad,
                                              OptionalInt divisor) {
  polyops_avg_pool2d_backward_args args;
  PoolShape shape;
  const PoolParameters parameters = {size, stride, padding, kOne, ceil_mode};
  if (!read(call, self, parameters, count_include_pad, divisor, &shape, &args)) return std::nullopt;
  return pool_backward(call, grad_output, self, shape, &args);
}

bool avg_pool2d_backward_out(Call& call, const at::Tensor& grad_output, const at::Tensor& self,
                             IntArrayRef size, IntArrayRef stride, IntArrayRef padding,
                             bool ceil_mode, bool count_include_pad, OptionalInt divisor,
                             at::Tensor& grad_input) {
  polyops_avg_pool2d_backward_args args;
  PoolShape shape;
  const PoolParameters parameters = {size, stride, padding, kOne, ceil_mode};
  if (!read(call, self, parameters, count_include_pad, divisor, &shape, &args)) return false;
  if (const char* reason =
          check_pool_out(grad_input, self.sizes(), self, self.scalar_type(), shape.format)) {
    return call.decline(reason);
  }
  if (shares_storage(grad_input, grad_output)) {
    return call.decline("out shares memory with an input");
  }
  return prepare_backward(call, grad_output, self, shape, &args) &&
         run_backward(call, grad_output, grad_input, &args);
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
  return pool(call, self, shape, &args);
}

std::optional<at::Tensor> adaptive_avg_pool2d_backward(Call& call, const at::Tensor& grad_output,
                                                       const at::Tensor& self) {
  polyops_adaptive_avg_pool2d_backward_args args;
  args.struct_size = sizeof args;
  PoolShape shape;
  const char* reason = grad_output.defined() ? nullptr : "undefined tensor";
  if (!reason && grad_output.dim() < 2) reason = "rank";
  if (!reason)
    reason = adaptive_pool_shape(self, grad_output.sizes().slice(grad_output.dim() - 2), 2, &shape);
  // Stock adds up in no particular order on devices, and says so.
  if (!reason && !self.is_cpu() && at::globalContext().deterministicAlgorithms()) {
    reason = "deterministic algorithms";
  }
  if (reason) {
    call.decline(reason);
    return std::nullopt;
  }
  // Stock's gradient stays contiguous on devices where that is channels last as well.
  const int64_t* sizes = self.sizes().end() - 3;
  const bool both = sizes[0] == 1 || (sizes[1] == 1 && sizes[2] == 1);
  if (both && !self.is_cpu()) shape.format = MemoryFormat::Contiguous;
  return pool_backward(call, grad_output, self, shape, &args);
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
