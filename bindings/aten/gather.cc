// aten::gather. Its gradient is scatter_add.
#include "polyops/ops/gather.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/gather_cpu_dispatch.h>

#include <optional>

#include "aten/by_index.h"
#include "aten/table.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

const char* read(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                 polyops_gather_args* args) {
  const char* reason = describe_taken(self, dim, index, args);
  return !reason && index.dim() == 0 ? "scalar" : reason;
}

std::optional<at::Tensor> gather(Call& call, const at::Tensor& self, int64_t dim,
                                 const at::Tensor& index, bool /*sparse_grad*/) {
  polyops_gather_args args;
  if (const char* reason = read(self, dim, index, &args)) {
    call.decline(reason);
    return std::nullopt;
  }
  return take(call, self, index, index.sizes(), &args);
}

bool gather_out(Call& call, const at::Tensor& self, int64_t dim, const at::Tensor& index,
                bool /*sparse_grad*/, at::Tensor& out) {
  polyops_gather_args args;
  if (const char* reason = read(self, dim, index, &args)) return call.decline(reason);
  return take_into(call, self, index, index.sizes(), out, &args);
}

}  // namespace

std::vector<Overload> gather_overloads() {
  return {
      {"gather", "gather", "gather", wrap(gather, at::cpu::gather)},
      {"gather.out", "gather", "gather", wrap(gather_out, at::cpu::gather_outf)},
  };
}

}  // namespace polyops::torch_binding
