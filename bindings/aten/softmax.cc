// aten::_softmax, aten::_log_softmax and their backwards. torch.softmax, F.softmax, F.log_softmax,
// F.cross_entropy and their modules end here.

#include "polyops/ops/softmax.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/_log_softmax_backward_data_cpu_dispatch.h>
#include <ATen/ops/_log_softmax_cpu_dispatch.h>
#include <ATen/ops/_softmax_backward_data_cpu_dispatch.h>
#include <ATen/ops/_softmax_cpu_dispatch.h>

#include "aten/table.h"
#include "torch/allocate.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

// A scalar is a row of one.
void at_least_1d(polyops_tensor* view) {
  if (view->rank == 0) prepend_dimension(view);
}

bool wrap_dim(int64_t dim, int64_t rank, int32_t* wrapped) {
  const int64_t range = rank > 0 ? rank : 1;
  if (dim < -range || dim >= range) return false;
  *wrapped = static_cast<int32_t>(dim < 0 ? dim + range : dim);
  return true;
}

// half_to_float: float16 in, float32 out, and back. Stock raises on a CPU, and for bfloat16.
bool converts(const at::Tensor& tensor, at::ScalarType input_dtype) {
  return !tensor.is_cpu() && input_dtype == at::kHalf;
}

at::ScalarType result_dtype(const at::Tensor& self, bool half_to_float) {
  return half_to_float ? at::kFloat : self.scalar_type();
}

bool prepare(Call& call, const at::Tensor& self, int64_t dim, bool half_to_float,
             polyops_softmax_args* args) {
  if (half_to_float && !converts(self, self.scalar_type())) return call.decline("half_to_float");
  if (const char* reason = describe(self, &args->src)) return call.decline(reason);
  if (!wrap_dim(dim, self.dim(), &args->dim)) return call.decline("dim");
  args->struct_size = sizeof *args;
  describe_contiguous(self.sizes(), result_dtype(self, half_to_float), &args->dst);
  at_least_1d(&args->src);
  at_least_1d(&args->dst);
  return call.choose(args);
}

bool run(Call& call, const at::Tensor& self, const at::Tensor& out, polyops_softmax_args* args) {
  set_input(&args->src, self);
  set_output(&args->dst, out);
  return call.launch(args, out);
}

std::optional<at::Tensor> softmax(Call& call, const at::Tensor& self, int64_t dim,
                                  bool half_to_float) {
  polyops_softmax_args args;
  if (!prepare(call, self, dim, half_to_float, &args)) return std::nullopt;
  at::Tensor out = allocate(self, self.sizes(), result_dtype(self, half_to_float));
  if (!run(call, self, out, &args)) return std::nullopt;
  return out;
}

bool softmax_out(Call& call, const at::Tensor& self, int64_t dim, bool half_to_float,
                 at::Tensor& out) {
  polyops_softmax_args args;
  const at::ScalarType dtype = result_dtype(self, half_to_float);
  if (const char* reason = check_out(out, self.sizes(), self, dtype)) return call.decline(reason);
  // Stock writes a strided out as if it were contiguous; that is not ours to change.
  if (!out.is_contiguous()) return call.decline("out is not contiguous");
  if (shares_storage(out, self)) return call.decline("out shares memory with an input");
  return prepare(call, self, dim, half_to_float, &args) && run(call, self, out, &args);
}

bool prepare_backward(Call& call, const at::Tensor& grad_output, const at::Tensor& output,
                      int64_t dim, at::ScalarType input_dtype,
                      polyops_softmax_backward_args* args) {
  if (!same_kind(grad_output, output)) return call.decline("mixed dtypes or devices");
  if (grad_output.scalar_type() != input_dtype &&
      !(converts(output, input_dtype) && grad_output.scalar_type() == at::kFloat)) {
    return call.decline("half_to_float");
  }
  if (grad_output.sizes() != output.sizes()) return call.decline("shape");
  if (const char* reason = describe(grad_output, &args->grad_dst)) return call.decline(reason);
  if (const char* reason = describe(output, &args->dst)) return call.decline(reason);
  if (!wrap_dim(dim, output.dim(), &args->dim)) return call.decline("dim");
  args->struct_size = sizeof *args;
  describe_contiguous(output.sizes(), input_dtype, &args->grad_src);
  at_least_1d(&args->grad_dst);
  at_least_1d(&args->dst);
  at_least_1d(&args->grad_src);
  return call.choose(args);
}

bool run_backward(Call& call, const at::Tensor& grad_output, const at::Tensor& output,
                  const at::Tensor& grad_input, polyops_softmax_backward_args* args) {
  set_input(&args->grad_dst, grad_output);
  set_input(&args->dst, output);
  set_output(&args->grad_src, grad_input);
  return call.launch(args, grad_input);
}

std::optional<at::Tensor> softmax_backward(Call& call, const at::Tensor& grad_output,
                                           const at::Tensor& output, int64_t dim,
                                           at::ScalarType input_dtype) {
  polyops_softmax_backward_args args;
  if (!prepare_backward(call, grad_output, output, dim, input_dtype, &args)) return std::nullopt;
  at::Tensor grad_input = allocate(output, output.sizes(), input_dtype);
  if (!run_backward(call, grad_output, output, grad_input, &args)) return std::nullopt;
  return grad_input;
}

bool softmax_backward_out(Call& call, const at::Tensor& grad_output, const at::Tensor& output,
                          int64_t dim, at::ScalarType input_dtype, at::Tensor& grad_input) {
  polyops_softmax_backward_args args;
  if (const char* reason = check_out(grad_input, output.sizes(), output, input_dtype)) {
    return call.decline(reason);
  }
  if (!grad_input.is_contiguous()) return call.decline("out is not contiguous");
  if (shares_storage(grad_input, grad_output) || shares_storage(grad_input, output)) {
    return call.decline("out shares memory with an input");
  }
  return prepare_backward(call, grad_output, output, dim, input_dtype, &args) &&
         run_backward(call, grad_output, output, grad_input, &args);
}

}  // namespace

std::vector<Overload> softmax_overloads() {
  return {
      {"_softmax", "softmax", "softmax", wrap(softmax, at::cpu::_softmax)},
      {"_softmax.out", "softmax", "softmax", wrap(softmax_out, at::cpu::_softmax_outf)},
      {"_softmax_backward_data", "softmax", "softmax_backward",
       wrap(softmax_backward, at::cpu::_softmax_backward_data)},
      {"_softmax_backward_data.out", "softmax", "softmax_backward",
       wrap(softmax_backward_out, at::cpu::_softmax_backward_data_outf)},
      {"_log_softmax", "log_softmax", "log_softmax", wrap(softmax, at::cpu::_log_softmax)},
      {"_log_softmax.out", "log_softmax", "log_softmax",
       wrap(softmax_out, at::cpu::_log_softmax_outf)},
      {"_log_softmax_backward_data", "log_softmax", "log_softmax_backward",
       wrap(softmax_backward, at::cpu::_log_softmax_backward_data)},
      {"_log_softmax_backward_data.out", "log_softmax", "log_softmax_backward",
       wrap(softmax_backward_out, at::cpu::_log_softmax_backward_data_outf)},
  };
}

}  // namespace polyops::torch_binding
