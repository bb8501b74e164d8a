// aten::max_pool2d_with_indices and its backward. F.max_pool2d, F.max_pool1d and their modules end
// here.
#include <ATen/core/Tensor.h>
#include <ATen/ops/max_pool2d_with_indices_backward_cpu_dispatch.h>
#include <ATen/ops/max_pool2d_with_indices_cpu_dispatch.h>

#include "aten/pool2d_window.h"
#include "aten/table.h"
#include "polyops/ops/pool2d.h"
#include "torch/results.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

using at::IntArrayRef;
using c10::MemoryFormat;

bool prepare(Call& call, const at::Tensor& self, const PoolParameters& parameters,
             polyops_max_pool2d_args* args, PoolShape* shape) {
  args->struct_size = sizeof *args;
  const char* reason = pool_shape(self, parameters, &args->window, shape);
  if (!reason) reason = describe_image(self, &args->src);
  if (reason) return call.decline(reason);
  args->lowest_is_0 = shape->format == MemoryFormat::ChannelsLast && !self.is_cpu();
  describe_in_format(shape->results, args->src.dtype, shape->format, &args->dst);
  describe_in_format(shape->results, POLYOPS_INT64, shape->format, &args->indices);
  return true;
}

bool run(Call& call, const at::Tensor& self, const at::Tensor& out, const at::Tensor& indices,
         polyops_max_pool2d_args* args) {
  set_input(&args->src, self);
  set_output(&args->dst, out);
  set_output(&args->indices, indices);
  return call.launch(args, out);
}

std::optional<Two> max_pool2d(Call& call, const at::Tensor& self, IntArrayRef size,
                              IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation,
                              bool ceil_mode) {
  polyops_max_pool2d_args args;
  PoolShape shape;
  if (!prepare(call, self, {size, stride, padding, dilation, ceil_mode}, &args, &shape) ||
      !call.choose(&args)) {
    return std::nullopt;
  }
  at::Tensor out = allocate(self, shape.results, self.scalar_type(), shape.format);
  at::Tensor indices = allocate(self, shape.results, at::kLong, shape.format);
  if (!run(call, self, out, indices, &args)) return std::nullopt;
  return Two(std::move(out), std::move(indices));
}

bool max_pool2d_out(Call& call, const at::Tensor& self, IntArrayRef size, IntArrayRef stride,
                    IntArrayRef padding, IntArrayRef dilation, bool ceil_mode, at::Tensor& out,
                    at::Tensor& indices) {
  polyops_max_pool2d_args args;
  PoolShape shape;
  if (!prepare(call, self, {size, stride, padding, dilation, ceil_mode}, &args, &shape)) {
    return false;
  }
  const char* reason = check_pool_out(out, shape.results, self, self.scalar_type(), shape.format);
  if (!reason) reason = check_pool_out(indices, shape.results, self, at::kLong, shape.format);
  if (reason) return call.decline(reason);
  if (shares_storage(out, self) || shares_storage(indices, self) || shares_storage(out, indices)) {
    return call.decline("out shares memory with an input");
  }
  return call.choose(&args) && run(call, self, out, indices, &args);
}

bool prepare_backward(Call& call, const at::Tensor& grad_output, const at::Tensor& self,
                      const PoolParameters& parameters, const at::Tensor& indices,
                      polyops_max_pool2d_backward_args* args, PoolShape* shape) {
  args->struct_size = sizeof *args;
  const char* reason = pool_shape(self, parameters, &args->window, shape);
  polyops_tensor image;
  if (!reason) reason = describe_image(self, &image);
  if (!reason && !same_kind(grad_output, self)) reason = "mixed dtypes or devices";
  if (!reason) reason = describe_image(grad_output, &args->grad_dst);
  if (!reason) reason = describe_indices(indices, &args->indices);
  if (!reason && indices.device() != self.device()) reason = "mixed devices";
  if (!reason && (grad_output.sizes() != IntArrayRef(shape->results) ||
                  indices.sizes() != IntArrayRef(shape->results))) {
    reason = "shape";
  }
  if (reason) return call.decline(reason);
  if (args->indices.rank == 3) prepend_dimension(&args->indices);
  describe_in_format(self.sizes(), image.dtype, shape->format, &args->grad_src);
  return true;
}

bool run_backward(Call& call, const at::Tensor& grad_output, const at::Tensor& indices,
                  const at::Tensor& grad_input, polyops_max_pool2d_backward_args* args) {
  set_input(&args->grad_dst, grad_output);
  set_input(&args->indices, indices);
  set_output(&args->grad_src, grad_input);
  return call.launch(args, grad_input);
}

std::optional<at::Tensor> max_pool2d_backward(Call& call, const at::Tensor& grad_output,
                                              const at::Tensor& self, IntArrayRef size,
                                              IntArrayRef stride, IntArrayRef padding,
                                              IntArrayRef dilation, bool ceil_mode,
                                              const at::Tensor& indices) {
  polyops_max_pool2d_backward_args args;
  PoolShape shape;
  const PoolParameters parameters = {size, stride, padding, dilation, ceil_mode};
  if (!prepare_backward(call, grad_output, self, parameters, indices, &args, &shape) ||
      !call.choose(&args)) {
    return std::nullopt;
  }
  at::Tensor grad_input = allocate(self, self.sizes(), self.scalar_type(), shape.format);
  if (!run_backward(call, grad_output, indices, grad_input, &args)) return std::nullopt;
  return grad_input;
}

bool max_pool2d_backward_out(Call& call, const at::Tensor& grad_output, const at::Tensor& self,
                             IntArrayRef size, IntArrayRef stride, IntArrayRef padding,
                             IntArrayRef dilation, bool ceil_mode, const at::Tensor& indices,
                             at::Tensor& grad_input) {
  polyops_max_pool2d_backward_args args;
  PoolShape shape;
  const PoolParameters parameters = {size, stride, padding, dilation, ceil_mode};
  if (!prepare_backward(call, grad_output, self, parameters, indices, &args, &shape)) return false;
  if (const char* reason =
          check_pool_out(grad_input, self.sizes(), self, self.scalar_type(), shape.format)) {
    return call.decline(reason);
  }
  if (shares_storage(grad_input, grad_output) || shares_storage(grad_input, indices)) {
    return call.decline("out shares memory with an input");
  }
  return call.choose(&args) && run_backward(call, grad_output, indices, grad_input, &args);
}

}  // namespace

std::vector<Overload> max_pool2d_overloads() {
  static constexpr const char kOp[] = "max_pool2d", kBackward[] = "max_pool2d_backward";
  return {
      {"max_pool2d_with_indices", kOp, kOp, wrap(max_pool2d, at::cpu::max_pool2d_with_indices)},
      {"max_pool2d_with_indices.out", kOp, kOp,
       wrap(max_pool2d_out, at::cpu::max_pool2d_with_indices_outf)},
      {"max_pool2d_with_indices_backward", kOp, kBackward,
       wrap(max_pool2d_backward, at::cpu::max_pool2d_with_indices_backward)},
      {"max_pool2d_with_indices_backward.grad_input", kOp, kBackward,
       wrap(max_pool2d_backward_out, at::cpu::max_pool2d_with_indices_backward_outf)},
  };
}

}  // namespace polyops::torch_binding
