// aten::scatter_add, in place for the most part: the gradient of gather, and messages of a graph by
// an expanded index.
#include "polyops/ops/scatter_add.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/scatter_add_cpu_dispatch.h>

#include <optional>

#include "aten/by_index.h"
#include "aten/table.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

const char* read(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                 const at::Tensor& src, polyops_scatter_add_args* args) {
  const char* reason = describe_added(self, dim, index, src, args);
  return !reason && index.dim() == 0 ? "scalar" : reason;
}

std::optional<at::Tensor> scatter_add(Call& call, const at::Tensor& self, int64_t dim,
                                      const at::Tensor& index, const at::Tensor& src) {
  polyops_scatter_add_args args;
  const char* reason = read(self, dim, index, src, &args);
  return add(call, reason, self, index, src, &args);
}

// out may be self.
bool scatter_add_out(Call& call, const at::Tensor& self, int64_t dim, const at::Tensor& index,
                     const at::Tensor& src, at::Tensor& out) {
  polyops_scatter_add_args args;
  const char* reason = read(self, dim, index, src, &args);
  return add_into(call, reason, self, index, src, out, &args);
}

bool scatter_add_in_place(Call& call, at::Tensor& self, int64_t dim, const at::Tensor& index,
                          const at::Tensor& src) {
  return scatter_add_out(call, self, dim, index, src, self);
}

}  // namespace

std::vector<Overload> scatter_add_overloads() {
  static constexpr const char kOp[] = "scatter_add";
  return {
      {"scatter_add", kOp, kOp, wrap(scatter_add, at::cpu::scatter_add)},
      {"scatter_add.out", kOp, kOp, wrap(scatter_add_out, at::cpu::scatter_add_outf)},
      {"scatter_add_", kOp, kOp, wrap(scatter_add_in_place, at::cpu::scatter_add_)},
  };
}

}  // namespace polyops::torch_binding
