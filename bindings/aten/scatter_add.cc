// aten::scatter_add, in place for the most part: the gradient of gather, and messages of a graph by
// an expanded index. While deterministic algorithms are wanted, stock does it by index_put_, whose
// indices may be negative.
#include "polyops/ops/scatter_add.h"

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/scatter_add_cpu_dispatch.h>

#include <optional>

#include "aten/table.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

// dst is described as a new tensor.
bool prepare(Call& call, const at::Tensor& self, int64_t dim, const at::Tensor& index,
             const at::Tensor& src, polyops_scatter_add_args* args) {
  const char* reason = describe(self, &args->self);
  if (!reason) reason = describe(src, &args->src);
  if (!reason) reason = describe_rows(index, &args->index);
  if (reason) return call.decline(reason);
  if (!same_kind(self, src)) return call.decline("mixed dtypes or devices");
  if (index.device() != self.device()) return call.decline("mixed devices");
  const int64_t rank = self.dim();
  if (rank == 0 || index.dim() == 0) return call.decline("scalar");
  if (dim < -rank || dim >= rank) return call.decline("dim");
  args->struct_size = sizeof *args;
  args->dim = static_cast<int32_t>(dim < 0 ? dim + rank : dim);
  args->in_place = 0;
  args->from_end = !self.is_cpu() && at::globalContext().deterministicAlgorithms();
  describe_contiguous(self.sizes(), self.scalar_type(), &args->dst);
  return true;
}

bool run(Call& call, const at::Tensor& self, const at::Tensor& index, const at::Tensor& src,
         const at::Tensor& out, polyops_scatter_add_args* args) {
  set_output(&args->dst, out);  // first: it may give a copy-on-write self memory of its own
  set_input(&args->self, self);
  set_input(&args->index, index);
  set_input(&args->src, src);
  return call.launch(args, out);
}

std::optional<at::Tensor> scatter_add(Call& call, const at::Tensor& self, int64_t dim,
                                      const at::Tensor& index, const at::Tensor& src) {
  polyops_scatter_add_args args;
  if (!prepare(call, self, dim, index, src, &args)) return std::nullopt;
  if (!call.choose(&args)) return std::nullopt;
  at::Tensor out = allocate(self, self.sizes(), self.scalar_type());
  if (!run(call, self, index, src, out, &args)) return std::nullopt;
  return out;
}

// out may be self.
bool scatter_add_out(Call& call, const at::Tensor& self, int64_t dim, const at::Tensor& index,
                     const at::Tensor& src, at::Tensor& out) {
  polyops_scatter_add_args args;
  if (!prepare(call, self, dim, index, src, &args)) return false;
  const char* reason = check_out(out, self.sizes(), self);
  if (!reason) reason = describe(out, &args.dst);
  if (reason) return call.decline(reason);
  args.in_place = shares_storage(out, self) && same_view(out, self);
  if ((shares_storage(out, self) && args.in_place == 0) || shares_storage(out, index) ||
      shares_storage(out, src)) {
    return call.decline("out shares memory with an input");
  }
  return call.choose(&args) && run(call, self, index, src, out, &args);
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
