// aten::linalg_vector_norm over dimensions; without any, over all. torch.norm, F.normalize, and
// clip_grad_norm_ without foreach end here, too.
#include "polyops/ops/linalg_vector_norm.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/linalg_vector_norm_cpu_dispatch.h>

#include <optional>

#include "aten/reduced_dims.h"
#include "aten/table.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

using Dims = at::OptionalIntArrayRef;
using Dtype = std::optional<at::ScalarType>;

const char* read(const at::Tensor& self, const at::Scalar& order, Dims dims,
                 polyops_vector_norm_args* args) {
  args->struct_size = sizeof *args;
  if (const char* reason = describe(self, &args->src)) return reason;
  if (order.isComplex()) return "order";
  args->order = order.toDouble();
  return read_dims(dims, self.dim(), &args->dims);
}

std::optional<at::Tensor> norm(Call& call, const at::Tensor& self, const at::Scalar& order,
                               Dims dims, bool keepdim, Dtype dtype) {
  polyops_vector_norm_args args;
  const char* reason = read(self, order, dims, &args);
  const at::ScalarType type = dtype.value_or(self.scalar_type());
  return reduce(call, reason, reduction_of(&args, self, keepdim, type));
}

bool norm_out(Call& call, const at::Tensor& self, const at::Scalar& order, Dims dims, bool keepdim,
              Dtype dtype, at::Tensor& out) {
  polyops_vector_norm_args args;
  const char* reason = read(self, order, dims, &args);
  const at::ScalarType type = dtype.value_or(self.scalar_type());
  return reduce_into(call, reason, reduction_of(&args, self, keepdim, type), out);
}

}  // namespace

std::vector<Overload> linalg_vector_norm_overloads() {
  return {
      {"linalg_vector_norm", "linalg_vector_norm", "linalg_vector_norm",
       wrap(norm, at::cpu::linalg_vector_norm)},
      {"linalg_vector_norm.out", "linalg_vector_norm", "linalg_vector_norm",
       wrap(norm_out, at::cpu::linalg_vector_norm_outf)},
  };
}

}  // namespace polyops::torch_binding
