// aten::index_add, in place for the most part: messages of a graph, tokens of an expert.
#include "polyops/ops/index_add.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/index_add_cpu_dispatch.h>
#include <c10/core/Scalar.h>

#include <cmath>
#include <limits>
#include <optional>

#include "aten/by_index.h"
#include "aten/table.h"
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

const char* read(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                 const at::Tensor& source, const at::Scalar& alpha, polyops_index_add_args* args) {
  const char* reason = describe_added(self, dim, index, source, args);
  if (!reason) reason = check_alpha(alpha, self.scalar_type());
  if (reason) return reason;
  if (source.dim() != self.dim() || index.dim() != 1) return "shape";
  args->alpha = alpha.toDouble();
  return nullptr;
}

std::optional<at::Tensor> index_add(Call& call, const at::Tensor& self, int64_t dim,
                                    const at::Tensor& index, const at::Tensor& source,
                                    const at::Scalar& alpha) {
  polyops_index_add_args args;
  const char* reason = read(self, dim, index, source, alpha, &args);
  return add(call, reason, self, index, source, &args);
}

// out may be self.
bool index_add_out(Call& call, const at::Tensor& self, int64_t dim, const at::Tensor& index,
                   const at::Tensor& source, const at::Scalar& alpha, at::Tensor& out) {
  polyops_index_add_args args;
  const char* reason = read(self, dim, index, source, alpha, &args);
  return add_into(call, reason, self, index, source, out, &args);
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
