// aten::sum, mean, amax, amin and logsumexp over dimensions; without any, over all: torch.sum(x)
// and x.mean() end here, too.
#include "polyops/ops/reduction.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/amax_cpu_dispatch.h>
#include <ATen/ops/amin_cpu_dispatch.h>
#include <ATen/ops/logsumexp_compositeexplicitautograd_dispatch.h>
#include <ATen/ops/logsumexp_compositeexplicitautogradnonfunctional_dispatch.h>
#include <ATen/ops/mean_cpu_dispatch.h>
#include <ATen/ops/sum_cpu_dispatch.h>

#include <optional>

#include "aten/reduced_dims.h"
#include "aten/table.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

using Dims = at::OptionalIntArrayRef;
using Dtype = std::optional<at::ScalarType>;

const char* read(const at::Tensor& self, Dims dims, polyops_reduction_args* args) {
  args->struct_size = sizeof *args;
  if (const char* reason = describe(self, &args->src)) return reason;
  return read_dims(dims, self.dim(), &args->dims);
}

std::optional<at::Tensor> sum(Call& call, const at::Tensor& self, Dims dims, bool keepdim,
                              Dtype dtype) {
  polyops_reduction_args args;
  const char* reason = read(self, dims, &args);
  const at::ScalarType type = dtype.value_or(self.scalar_type());
  return reduce(call, reason, reduction_of(&args, self, keepdim, type));
}

// Of the dtype of out.
bool sum_out(Call& call, const at::Tensor& self, Dims dims, bool keepdim, Dtype dtype,
             at::Tensor& out) {
  polyops_reduction_args args;
  const char* reason = read(self, dims, &args);
  if (out.defined() && !dtype.has_value()) dtype = out.scalar_type();
  const at::ScalarType type = dtype.value_or(self.scalar_type());
  return reduce_into(call, reason, reduction_of(&args, self, keepdim, type), out);
}

std::optional<at::Tensor> amax(Call& call, const at::Tensor& self, at::IntArrayRef dims,
                               bool keepdim) {
  return sum(call, self, dims, keepdim, std::nullopt);
}

bool amax_out(Call& call, const at::Tensor& self, at::IntArrayRef dims, bool keepdim,
              at::Tensor& out) {
  return sum_out(call, self, dims, keepdim, std::nullopt, out);
}

// Of no dimensions stock has shapes that do not fit.
constexpr const char kNoDims[] = "no dimensions";

std::optional<at::Tensor> logsumexp(Call& call, const at::Tensor& self, at::IntArrayRef dims,
                                    bool keepdim) {
  if (!dims.empty()) return sum(call, self, dims, keepdim, std::nullopt);
  call.decline(kNoDims);
  return std::nullopt;
}

bool logsumexp_out(Call& call, const at::Tensor& self, at::IntArrayRef dims, bool keepdim,
                   at::Tensor& out) {
  if (dims.empty()) return call.decline(kNoDims);
  return sum_out(call, self, dims, keepdim, std::nullopt, out);
}

}  // namespace

std::vector<Overload> reduction_overloads() {
  return {
      {"sum.dim_IntList", "sum", "sum", wrap(sum, at::cpu::sum)},
      {"sum.IntList_out", "sum", "sum", wrap(sum_out, at::cpu::sum_outf)},
      {"mean.dim", "mean", "mean", wrap(sum, at::cpu::mean)},
      {"mean.out", "mean", "mean", wrap(sum_out, at::cpu::mean_outf)},
      {"amax", "amax", "amax", wrap(amax, at::cpu::amax)},
      {"amax.out", "amax", "amax", wrap(amax_out, at::cpu::amax_outf)},
      {"amin", "amin", "amin", wrap(amax, at::cpu::amin)},
      {"amin.out", "amin", "amin", wrap(amax_out, at::cpu::amin_outf)},
      {"logsumexp", "logsumexp", "logsumexp",
       wrap(logsumexp, at::compositeexplicitautograd::logsumexp), nullptr,
       "RegisterCompositeExplicitAutograd"},
      {"logsumexp.out", "logsumexp", "logsumexp",
       wrap(logsumexp_out, at::compositeexplicitautogradnonfunctional::logsumexp_outf), nullptr,
       "RegisterCompositeExplicitAutogradNonFunctional"},
  };
}

}  // namespace polyops::torch_binding
