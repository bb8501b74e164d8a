// aten::index_add, in place for the most part: messages of a graph, tokens of an expert. While
// deterministic algorithms are wanted, stock does it by index_put_, whose indices may be negative.
#include "polyops/ops/index_add.h"

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/index_add_cpu_dispatch.h>
#include <c10/core/Scalar.h>

#include <cmath>
#include <limits>
#include <optional>

#include "aten/table.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

// Stock refuses what the dtype cannot hold.
const char* check_alpha(const at::Scalar& alpha, at::ScalarType type) {
  if (alpha.isComplex()) return "alpha";
  double most = std::numeric_limits<float>::max();
  if (type == at::kHalf) most = std::numeric_limits<at::Half>::max();
  if (type == at::kBFloat16) most = std::numeric_limits<at::BFloat16>::max();
  return std::abs(alpha.toDouble()) <= most ? nullptr : "alpha";
}

// dst is described as a new tensor.
bool prepare(Call& call, const at::Tensor& self, int64_t dim, const at::Tensor& index,
             const at::Tensor& source, const at::Scalar& alpha, polyops_index_add_args* args) {
  const char* reason = describe(self, &args->self);
  if (!reason) reason = describe(source, &args->src);
  if (!reason) reason = describe_rows(index, &args->index);
  if (!reason) reason = check_alpha(alpha, self.scalar_type());
  if (reason) return call.decline(reason);
  if (!same_kind(self, source)) return call.decline("mixed dtypes or devices");
  if (index.device() != self.device()) return call.decline("mixed devices");
  const int64_t rank = self.dim();
  if (rank == 0) return call.decline("scalar");
  if (source.dim() != rank || index.dim() != 1) return call.decline("shape");
  if (dim < -rank || dim >= rank) return call.decline("dim");
  args->struct_size = sizeof *args;
  args->dim = static_cast<int32_t>(dim < 0 ? dim + rank : dim);
  args->alpha = alpha.toDouble();
  args->in_place = 0;
  args->from_end = !self.is_cpu() && at::globalContext().deterministicAlgorithms();
  describe_contiguous(self.sizes(), self.scalar_type(), &args->dst);
  return true;
}

bool run(Call& call, const at::Tensor& self, const at::Tensor& index, const at::Tensor& source,
         const at::Tensor& out, polyops_index_add_args* args) {
  set_output(&args->dst, out);  // first: it may give a copy-on-write self memory of its own
  set_input(&args->self, self);
  set_input(&args->index, index);
  set_input(&args->src, source);
  return call.launch(args, out);
}

std::optional<at::Tensor> index_add(Call& call, const at::Tensor& self, int64_t dim,
                                    const at::Tensor& index, const at::Tensor& source,
                                    const at::Scalar& alpha) {
  polyops_index_add_args args;
  if (!prepare(call, self, dim, index, source, alpha, &args)) return std::nullopt;
  if (!call.choose(&args)) return std::nullopt;
  at::Tensor out = allocate(self, self.sizes(), self.scalar_type());
  if (!run(call, self, index, source, out, &args)) return std::nullopt;
  return out;
}

// out may be self.
bool index_add_out(Call& call, const at::Tensor& self, int64_t dim, const at::Tensor& index,
                   const at::Tensor& source, const at::Scalar& alpha, at::Tensor& out) {
  polyops_index_add_args args;
  if (!prepare(call, self, dim, index, source, alpha, &args)) return false;
  const char* reason = check_out(out, self.sizes(), self);
  if (!reason) reason = describe(out, &args.dst);
  if (reason) return call.decline(reason);
  args.in_place = shares_storage(out, self) && same_view(out, self);
  if ((shares_storage(out, self) && args.in_place == 0) || shares_storage(out, index) ||
      shares_storage(out, source)) {
    return call.decline("out shares memory with an input");
  }
  return call.choose(&args) && run(call, self, index, source, out, &args);
}

bool index_add_in_place(Call& call, at::Tensor& self, int64_t dim, const at::Tensor& index,
                        const at::Tensor& source, const at::Scalar& alpha) {
  return index_add_out(call, self, dim, index, source, alpha, self);
}

}  // namespace

std::vector<Overload> index_add_overloads() {
  return {
      {"index_add", "index_add", "index_add", wrap(index_add, at::cpu::index_add)},
      {"index_add.out", "index_add", "index_add", wrap(index_add_out, at::cpu::index_add_outf)},
      {"index_add_", "index_add", "index_add", wrap(index_add_in_place, at::cpu::index_add_)},
  };
}

}  // namespace polyops::torch_binding
