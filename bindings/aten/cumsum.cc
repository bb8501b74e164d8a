// aten::cumsum.
#include "polyops/ops/cumsum.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/cumsum_cpu_dispatch.h>

#include <optional>

#include "aten/order.h"
#include "aten/table.h"
#include "torch/allocate.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

using Dtype = std::optional<at::ScalarType>;

// A scalar is a line of one.
void at_least_1d(polyops_tensor* view) {
  if (view->rank == 0) append_dimension(view);
}

const char* describe_line(const at::Tensor& self, int64_t dim, polyops_cumsum_args* args) {
  if (const char* reason = describe(self, &args->src)) return reason;
  if (const char* reason = check_order(self)) return reason;
  const int64_t range = self.dim() > 0 ? self.dim() : 1;
  if (dim < -range || dim >= range) return "dim";
  args->struct_size = sizeof *args;
  args->dim = static_cast<int32_t>(dim < 0 ? dim + range : dim);
  at_least_1d(&args->src);
  return nullptr;
}

std::optional<at::Tensor> cumsum(Call& call, const at::Tensor& self, int64_t dim, Dtype dtype) {
  polyops_cumsum_args args;
  if (const char* reason = describe_line(self, dim, &args)) {
    call.decline(reason);
    return std::nullopt;
  }
  const at::ScalarType type = dtype.value_or(self.scalar_type());
  describe_contiguous(self.sizes(), type, &args.dst);
  at_least_1d(&args.dst);
  if (!call.choose(&args)) return std::nullopt;
  at::Tensor out = allocate(self, self.sizes(), type);
  set_input(&args.src, self);
  set_output(&args.dst, out);
  if (!call.launch(&args, out)) return std::nullopt;
  return out;
}

// Of the dtype of out, which may be self.
bool cumsum_out(Call& call, const at::Tensor& self, int64_t dim, Dtype dtype, at::Tensor& out) {
  polyops_cumsum_args args;
  const char* reason = describe_line(self, dim, &args);
  if (reason) return call.decline(reason);
  if (out.defined() && !dtype.has_value()) dtype = out.scalar_type();
  reason = check_out(out, self.sizes(), self, dtype.value_or(self.scalar_type()));
  if (!reason && shares_storage(out, self) && !same_view(out, self)) {
    reason = "out shares memory with an input";
  }
  if (!reason) reason = describe(out, &args.dst);
  if (reason) return call.decline(reason);
  at_least_1d(&args.dst);
  if (!call.choose(&args)) return false;
  set_output(&args.dst, out);  // first: it may give a copy-on-write self memory of its own
  set_input(&args.src, self);
  return call.launch(&args, out);
}

bool cumsum_in_place(Call& call, at::Tensor& self, int64_t dim, Dtype dtype) {
  return cumsum_out(call, self, dim, dtype, self);
}

}  // namespace

std::vector<Overload> cumsum_overloads() {
  return {
      {"cumsum", "cumsum", "cumsum", wrap(cumsum, at::cpu::cumsum)},
      {"cumsum.out", "cumsum", "cumsum", wrap(cumsum_out, at::cpu::cumsum_outf)},
      {"cumsum_", "cumsum", "cumsum", wrap(cumsum_in_place, at::cpu::cumsum_)},
  };
}

}  // namespace polyops::torch_binding
