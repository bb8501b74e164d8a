// aten::glu and its backward.
#include "polyops/ops/glu.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/glu_backward_cpu_dispatch.h>
#include <ATen/ops/glu_cpu_dispatch.h>
#include <c10/util/SmallVector.h>

#include "aten/table.h"
#include "torch/allocate.h"
#include "torch/elementwise.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

using Sizes = c10::SmallVector<int64_t, 8>;

// Of the whole: what both directions have. dim becomes one of 0 .. rank - 1.
template <class Args>
const char* describe_whole(const at::Tensor& self, int64_t dim, Args* args, Sizes* half) {
  if (const char* reason = describe(self, &args->src)) return reason;
  const int64_t rank = self.dim();
  if (dim < -rank || dim >= rank) return "dim";
  args->struct_size = sizeof *args;
  args->dim = static_cast<int32_t>(dim < 0 ? dim + rank : dim);
  if (self.size(args->dim) % 2 != 0) return "shape";
  half->assign(self.sizes().begin(), self.sizes().end());
  (*half)[args->dim] /= 2;
  return nullptr;
}

std::optional<at::Tensor> glu(Call& call, const at::Tensor& self, int64_t dim) {
  polyops_glu_args args;
  Sizes half;
  if (const char* reason = describe_whole(self, dim, &args, &half)) {
    call.decline(reason);
    return std::nullopt;
  }
  describe_contiguous(half, self.scalar_type(), &args.dst);
  if (!call.choose(&args)) return std::nullopt;
  // As stock's, which is elementwise over the halves: both lie as the first does.
  at::Tensor out = allocate_like(self.narrow(args.dim, 0, half[args.dim]));
  copy_strides(out, &args.dst);
  set_input(&args.src, self);
  set_output(&args.dst, out);
  if (!call.launch(&args, out)) return std::nullopt;
  return out;
}

bool glu_out(Call& call, const at::Tensor& self, int64_t dim, at::Tensor& out) {
  polyops_glu_args args;
  Sizes half;
  const char* reason = describe_whole(self, dim, &args, &half);
  if (!reason) reason = check_out(out, half, self);
  if (!reason && shares_storage(out, self)) reason = "out shares memory with an input";
  if (!reason) reason = describe(out, &args.dst);
  if (reason) return call.decline(reason);
  if (!call.choose(&args)) return false;
  set_input(&args.src, self);
  set_output(&args.dst, out);
  return call.launch(&args, out);
}

const char* describe_gradient(const at::Tensor& grad_output, const at::Tensor& self, int64_t dim,
                              polyops_glu_backward_args* args) {
  Sizes half;
  if (const char* reason = describe_whole(self, dim, args, &half)) return reason;
  if (!same_kind(grad_output, self)) return "mixed dtypes or devices";
  if (grad_output.sizes() != c10::IntArrayRef(half)) return "shape";
  return describe(grad_output, &args->grad_dst);
}

bool run_backward(Call& call, const at::Tensor& grad_output, const at::Tensor& self,
                  const at::Tensor& grad_input, polyops_glu_backward_args* args) {
  set_input(&args->grad_dst, grad_output);
  set_input(&args->src, self);
  set_output(&args->grad_src, grad_input);
  return call.launch(args, grad_input);
}

std::optional<at::Tensor> glu_backward(Call& call, const at::Tensor& grad_output,
                                       const at::Tensor& self, int64_t dim) {
  polyops_glu_backward_args args;
  if (const char* reason = describe_gradient(grad_output, self, dim, &args)) {
    call.decline(reason);
    return std::nullopt;
  }
  describe_contiguous(self.sizes(), self.scalar_type(), &args.grad_src);
  if (!call.choose(&args)) return std::nullopt;
  at::Tensor grad_input = allocate(self, self.sizes(), self.scalar_type());
  if (!run_backward(call, grad_output, self, grad_input, &args)) return std::nullopt;
  return grad_input;
}

bool glu_backward_out(Call& call, const at::Tensor& grad_output, const at::Tensor& self,
                      int64_t dim, at::Tensor& grad_input) {
  polyops_glu_backward_args args;
  const char* reason = describe_gradient(grad_output, self, dim, &args);
  if (!reason) reason = check_out(grad_input, self.sizes(), self);
  if (!reason && (shares_storage(grad_input, self) || shares_storage(grad_input, grad_output))) {
    reason = "out shares memory with an input";
  }
  if (!reason) reason = describe(grad_input, &args.grad_src);
  if (reason) return call.decline(reason);
  return call.choose(&args) && run_backward(call, grad_output, self, grad_input, &args);
}

}  // namespace

std::vector<Overload> glu_overloads() {
  return {
      {"glu", "glu", "glu", wrap(glu, at::cpu::glu)},
      {"glu.out", "glu", "glu", wrap(glu_out, at::cpu::glu_outf)},
      {"glu_backward", "glu", "glu_backward", wrap(glu_backward, at::cpu::glu_backward)},
      {"glu_backward.grad_input", "glu", "glu_backward",
       wrap(glu_backward_out, at::cpu::glu_backward_outf)},
  };
}

}  // namespace polyops::torch_binding
