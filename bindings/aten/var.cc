// aten::var, std, var_mean and std_mean over dimensions; without any, over all: torch.var(x) and
// x.std() end here, too.
#include "polyops/ops/var.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/std_cpu_dispatch.h>
#include <ATen/ops/std_mean_cpu_dispatch.h>
#include <ATen/ops/var_cpu_dispatch.h>
#include <ATen/ops/var_mean_cpu_dispatch.h>

#include <optional>

#include "aten/reduced_dims.h"
#include "aten/table.h"
#include "torch/results.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

using Dims = at::OptionalIntArrayRef;
using Correction = const std::optional<at::Scalar>&;

const char* read(const at::Tensor& self, Dims dims, Correction correction, polyops_var_args* args) {
  args->struct_size = sizeof *args;
  args->correction = 1;
  args->mean = absent();
  if (const char* reason = describe(self, &args->src)) return reason;
  if (correction.has_value()) {
    if (correction->isComplex()) return "correction";
    args->correction = correction->toDouble();
  }
  return read_dims(dims, self.dim(), &args->dims);
}

std::optional<at::Tensor> var(Call& call, const at::Tensor& self, Dims dims, Correction correction,
                              bool keepdim) {
  polyops_var_args args;
  const char* reason = read(self, dims, correction, &args);
  return reduce(call, reason, reduction_of(&args, self, keepdim, self.scalar_type()));
}

std::optional<Two> var_mean(Call& call, const at::Tensor& self, Dims dims, Correction correction,
                            bool keepdim) {
  polyops_var_args args;
  const char* reason = read(self, dims, correction, &args);
  Reduction reduction = reduction_of(&args, self, keepdim, self.scalar_type());
  reduction.second = &args.mean;
  at::Tensor mean;
  std::optional<at::Tensor> out = reduce(call, reason, reduction, &mean);
  if (!out.has_value()) return std::nullopt;
  return Two(*std::move(out), std::move(mean));
}

bool var_out(Call& call, const at::Tensor& self, Dims dims, Correction correction, bool keepdim,
             at::Tensor& out) {
  polyops_var_args args;
  const char* reason = read(self, dims, correction, &args);
  return reduce_into(call, reason, reduction_of(&args, self, keepdim, self.scalar_type()), out);
}

constexpr const char kCopies[] = "stock copies the result of the functional form, which is taken";

}  // namespace

std::vector<Overload> var_overloads() {
  return {
      {"var.correction", "var", "var", wrap(var, at::cpu::var)},
      {"var.correction_out", "var", "var", wrap(var_out, at::cpu::var_outf)},
      {"std.correction", "std", "std", wrap(var, at::cpu::std)},
      {"std.correction_out", "std", "std", wrap(var_out, at::cpu::std_outf)},
      {"var_mean.correction", "var_mean", "var_mean", wrap(var_mean, at::cpu::var_mean)},
      {"var_mean.correction_out", "var_mean", "var_mean", nullptr, kCopies},
      {"std_mean.correction", "std_mean", "std_mean", wrap(var_mean, at::cpu::std_mean)},
      {"std_mean.correction_out", "std_mean", "std_mean", nullptr, kCopies},
  };
}

}  // namespace polyops::torch_binding
