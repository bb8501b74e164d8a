// aten::max_pool2d_with_indices, max_pool3d_with_indices and their backwards. F.max_pool2d,
// F.max_pool1d, F.max_pool3d and their modules end here.
#include <ATen/core/Tensor.h>
#include <ATen/ops/max_pool2d_with_indices_backward_cpu_dispatch.h>
#include <ATen/ops/max_pool2d_with_indices_cpu_dispatch.h>
#include <ATen/ops/max_pool3d_with_indices_backward_cpu_dispatch.h>
#include <ATen/ops/max_pool3d_with_indices_cpu_dispatch.h>

#include "aten/largest_pool.h"
#include "aten/order.h"
#include "aten/pool_window.h"
#include "aten/table.h"
#include "polyops/ops/max_pool3d.h"
#include "polyops/ops/pool2d.h"
#include "torch/results.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

using at::IntArrayRef;
using c10::MemoryFormat;

// The argument structs, by the number of dimensions.
template <int kDims>
struct Structs {
  using Forward = polyops_max_pool2d_args;
  using Backward = polyops_max_pool2d_backward_args;
};
template <>
struct Structs<3> {
  using Forward = polyops_max_pool3d_args;
  using Backward = polyops_max_pool3d_backward_args;
};

// What an image without a batch has as channels last, torch has no name for.
template <int kDims>
const char* check_format(const at::Tensor& self, const PoolShape& shape) {
  const bool nameless = self.dim() == kDims + 1 && shape.format != MemoryFormat::Contiguous;
  return nameless ? "layout" : nullptr;
}

template <int kDims>
bool prepare(Call& call, const at::Tensor& self, const PoolParameters& parameters,
             typename Structs<kDims>::Forward* args, PoolShape* shape) {
  args->struct_size = sizeof *args;
  const char* reason = pool_shape(self, parameters, &args->window, shape);
  if (!reason) reason = check_format<kDims>(self, *shape);
  if (!reason) reason = describe_image(self, kDims, &args->src);
  if (reason) return call.decline(reason);
  if constexpr (kDims == 2) {
    args->lowest_is_0 = shape->format == MemoryFormat::ChannelsLast && !self.is_cpu();
  }
  describe_in_format(shape->results, args->src.dtype, shape->format, kDims, &args->dst);
  describe_in_format(shape->results, POLYOPS_INT64, shape->format, kDims, &args->indices);
  return true;
}

template <int kDims>
std::optional<Two> max_pool(Call& call, const at::Tensor& self, IntArrayRef size,
                            IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation,
                            bool ceil_mode) {
  typename Structs<kDims>::Forward args;
  PoolShape shape;
  if (!prepare<kDims>(call, self, {size, stride, padding, dilation, ceil_mode}, &args, &shape)) {
    return std::nullopt;
  }
  return pool_largest(call, self, shape, &args);
}

template <int kDims>
bool max_pool_out(Call& call, const at::Tensor& self, IntArrayRef size, IntArrayRef stride,
                  IntArrayRef padding, IntArrayRef dilation, bool ceil_mode, at::Tensor& out,
                  at::Tensor& indices) {
  typename Structs<kDims>::Forward args;
  PoolShape shape;
  return prepare<kDims>(call, self, {size, stride, padding, dilation, ceil_mode}, &args, &shape) &&
         pool_largest_into(call, self, shape, out, indices, &args);
}

template <int kDims>
bool prepare_backward(Call& call, const at::Tensor& grad_output, const at::Tensor& self,
                      const PoolParameters& parameters, const at::Tensor& indices,
                      typename Structs<kDims>::Backward* args, PoolShape* shape) {
  args->struct_size = sizeof *args;
  const char* reason = pool_shape(self, parameters, &args->window, shape);
  if (!reason) reason = check_format<kDims>(self, *shape);
  if (!reason && kDims == 3) reason = check_order(self);
  polyops_tensor image;
  if (!reason) reason = describe_image(self, kDims, &image);
  if (!reason && !same_kind(grad_output, self)) reason = "mixed dtypes or devices";
  if (!reason) reason = describe_image(grad_output, kDims, &args->grad_dst);
  if (!reason) reason = describe_indices(indices, &args->indices);
  if (!reason && indices.device() != self.device()) reason = "mixed devices";
  if (!reason && (grad_output.sizes() != IntArrayRef(shape->results) ||
                  indices.sizes() != IntArrayRef(shape->results))) {
    reason = "shape";
  }
  if (reason) return call.decline(reason);
  if (args->indices.rank == kDims + 1) prepend_dimension(&args->indices);
  describe_in_format(self.sizes(), image.dtype, shape->format, kDims, &args->grad_src);
  return true;
}

template <int kDims>
std::optional<at::Tensor> max_pool_backward(Call& call, const at::Tensor& grad_output,
                                            const at::Tensor& self, IntArrayRef size,
                                            IntArrayRef stride, IntArrayRef padding,
                                            IntArrayRef dilation, bool ceil_mode,
                                            const at::Tensor& indices) {
  typename Structs<kDims>::Backward args;
  PoolShape shape;
  const PoolParameters parameters = {size, stride, padding, dilation, ceil_mode};
  if (!prepare_backward<kDims>(call, grad_output, self, parameters, indices, &args, &shape)) {
    return std::nullopt;
  }
  return pool_largest_backward(call, grad_output, self, indices, shape, &args);
}

template <int kDims>
bool max_pool_backward_out(Call& call, const at::Tensor& grad_output, const at::Tensor& self,
                           IntArrayRef size, IntArrayRef stride, IntArrayRef padding,
                           IntArrayRef dilation, bool ceil_mode, const at::Tensor& indices,
                           at::Tensor& grad_input) {
  typename Structs<kDims>::Backward args;
  PoolShape shape;
  const PoolParameters parameters = {size, stride, padding, dilation, ceil_mode};
  return prepare_backward<kDims>(call, grad_output, self, parameters, indices, &args, &shape) &&
         pool_largest_backward_into(call, grad_output, self, indices, shape, grad_input, &args);
}

}  // namespace

std::vector<Overload> max_pool2d_overloads() {
  static constexpr const char kOp[] = "max_pool2d", kBackward[] = "max_pool2d_backward";
  return {
      {"max_pool2d_with_indices", kOp, kOp, wrap(max_pool<2>, at::cpu::max_pool2d_with_indices)},
      {"max_pool2d_with_indices.out", kOp, kOp,
       wrap(max_pool_out<2>, at::cpu::max_pool2d_with_indices_outf)},
      {"max_pool2d_with_indices_backward", kOp, kBackward,
       wrap(max_pool_backward<2>, at::cpu::max_pool2d_with_indices_backward)},
      {"max_pool2d_with_indices_backward.grad_input", kOp, kBackward,
       wrap(max_pool_backward_out<2>, at::cpu::max_pool2d_with_indices_backward_outf)},
  };
}

std::vector<Overload> max_pool3d_overloads() {
  static constexpr const char kOp[] = "max_pool3d", kBackward[] = "max_pool3d_backward";
  return {
      {"max_pool3d_with_indices", kOp, kOp, wrap(max_pool<3>, at::cpu::max_pool3d_with_indices)},
      {"max_pool3d_with_indices.out", kOp, kOp,
       wrap(max_pool_out<3>, at::cpu::max_pool3d_with_indices_outf)},
      {"max_pool3d_with_indices_backward", kOp, kBackward,
       wrap(max_pool_backward<3>, at::cpu::max_pool3d_with_indices_backward)},
      {"max_pool3d_with_indices_backward.grad_input", kOp, kBackward,
       wrap(max_pool_backward_out<3>, at::cpu::max_pool3d_with_indices_backward_outf)},
  };
}

}  // namespace polyops::torch_binding
