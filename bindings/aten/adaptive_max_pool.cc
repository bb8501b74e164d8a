// aten::adaptive_max_pool2d, adaptive_max_pool3d and their backwards. F.adaptive_max_pool1d ends
// here, too.
#include "polyops/ops/adaptive_max_pool.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/adaptive_max_pool2d_backward_cpu_dispatch.h>
#include <ATen/ops/adaptive_max_pool2d_cpu_dispatch.h>
#include <ATen/ops/adaptive_max_pool3d_backward_cpu_dispatch.h>
#include <ATen/ops/adaptive_max_pool3d_cpu_dispatch.h>

#include "aten/largest_pool.h"
#include "aten/order.h"
#include "aten/pool_window.h"
#include "aten/table.h"
#include "torch/results.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

using at::IntArrayRef;
using c10::MemoryFormat;

// Stock's results of three dimensions are contiguous, and so is their gradient.
template <int kDims>
void set_format(PoolShape* shape) {
  if (kDims == 3) shape->format = MemoryFormat::Contiguous;
}

template <int kDims>
bool prepare(Call& call, const at::Tensor& self, IntArrayRef output_size,
             polyops_adaptive_max_pool_args* args, PoolShape* shape) {
  args->struct_size = sizeof *args;
  const char* reason = adaptive_pool_shape(self, output_size, kDims, shape);
  if (!reason) reason = describe_image(self, kDims, &args->src);
  if (reason) return call.decline(reason);
  set_format<kDims>(shape);
  describe_in_format(shape->results, args->src.dtype, shape->format, kDims, &args->dst);
  describe_in_format(shape->results, POLYOPS_INT64, shape->format, kDims, &args->indices);
  return true;
}

template <int kDims>
std::optional<Two> pool(Call& call, const at::Tensor& self, IntArrayRef output_size) {
  polyops_adaptive_max_pool_args args;
  PoolShape shape;
  if (!prepare<kDims>(call, self, output_size, &args, &shape)) return std::nullopt;
  return pool_largest(call, self, shape, &args);
}

template <int kDims>
bool pool_out(Call& call, const at::Tensor& self, IntArrayRef output_size, at::Tensor& out,
              at::Tensor& indices) {
  polyops_adaptive_max_pool_args args;
  PoolShape shape;
  return prepare<kDims>(call, self, output_size, &args, &shape) &&
         pool_largest_into(call, self, shape, out, indices, &args);
}

template <int kDims>
const char* read_backward(const at::Tensor& grad_output, const at::Tensor& self,
                          const at::Tensor& indices, PoolShape* shape,
                          polyops_adaptive_max_pool_backward_args* args) {
  args->struct_size = sizeof *args;
  if (!grad_output.defined()) return "undefined tensor";
  if (grad_output.dim() <= kDims) return "rank";
  const IntArrayRef results = grad_output.sizes().slice(grad_output.dim() - kDims);
  if (const char* reason = adaptive_pool_shape(self, results, kDims, shape)) return reason;
  if (const char* reason = check_order(self)) return reason;
  if (!same_kind(grad_output, self)) return "mixed dtypes or devices";
  if (const char* reason = describe_image(grad_output, kDims, &args->grad_dst)) return reason;
  if (const char* reason = describe_indices(indices, &args->indices)) return reason;
  if (indices.device() != self.device()) return "mixed devices";
  const IntArrayRef expected = shape->results;
  if (grad_output.sizes() != expected || indices.sizes() != expected) return "shape";
  if (args->indices.rank == kDims + 1) prepend_dimension(&args->indices);
  polyops_tensor image;
  if (const char* reason = describe_image(self, kDims, &image)) return reason;
  set_format<kDims>(shape);
  describe_in_format(self.sizes(), image.dtype, shape->format, kDims, &args->grad_src);
  return nullptr;
}

template <int kDims>
std::optional<at::Tensor> pool_backward(Call& call, const at::Tensor& grad_output,
                                        const at::Tensor& self, const at::Tensor& indices) {
  polyops_adaptive_max_pool_backward_args args;
  PoolShape shape;
  if (const char* reason = read_backward<kDims>(grad_output, self, indices, &shape, &args)) {
    call.decline(reason);
    return std::nullopt;
  }
  return pool_largest_backward(call, grad_output, self, indices, shape, &args);
}

template <int kDims>
bool pool_backward_out(Call& call, const at::Tensor& grad_output, const at::Tensor& self,
                       const at::Tensor& indices, at::Tensor& grad_input) {
  polyops_adaptive_max_pool_backward_args args;
  PoolShape shape;
  if (const char* reason = read_backward<kDims>(grad_output, self, indices, &shape, &args)) {
    return call.decline(reason);
  }
  return pool_largest_backward_into(call, grad_output, self, indices, shape, grad_input, &args);
}

}  // namespace

std::vector<Overload> adaptive_max_pool2d_overloads() {
  static constexpr const char kOp[] = "adaptive_max_pool2d",
                              kBackward[] = "adaptive_max_pool2d_backward";
  return {
      {"adaptive_max_pool2d", kOp, kOp, wrap(pool<2>, at::cpu::adaptive_max_pool2d)},
      {"adaptive_max_pool2d.out", kOp, kOp, wrap(pool_out<2>, at::cpu::adaptive_max_pool2d_outf)},
      {"adaptive_max_pool2d_backward", kOp, kBackward,
       wrap(pool_backward<2>, at::cpu::adaptive_max_pool2d_backward)},
      {"adaptive_max_pool2d_backward.grad_input", kOp, kBackward,
       wrap(pool_backward_out<2>, at::cpu::adaptive_max_pool2d_backward_outf)},
  };
}

std::vector<Overload> adaptive_max_pool3d_overloads() {
  static constexpr const char kOp[] = "adaptive_max_pool3d",
                              kBackward[] = "adaptive_max_pool3d_backward";
  return {
      {"adaptive_max_pool3d", kOp, kOp, wrap(pool<3>, at::cpu::adaptive_max_pool3d)},
      {"adaptive_max_pool3d.out", kOp, kOp, wrap(pool_out<3>, at::cpu::adaptive_max_pool3d_outf)},
      {"adaptive_max_pool3d_backward", kOp, kBackward,
       wrap(pool_backward<3>, at::cpu::adaptive_max_pool3d_backward)},
      {"adaptive_max_pool3d_backward.grad_input", kOp, kBackward,
       wrap(pool_backward_out<3>, at::cpu::adaptive_max_pool3d_backward_outf)},
  };
}

}  // namespace polyops::torch_binding
