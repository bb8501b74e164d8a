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

// dst alone, or mean, too.
std::optional<Two> compute(Call& call, const at::Tensor& self, Dims dims, Correction correction,
                           bool keepdim, bool with_mean) {
  polyops_var_args args;
  if (const char* reason = read(self, dims, correction, &args)) {
    call.decline(reason);
    return std::nullopt;
  }
  const ReducedSizes sizes = result_sizes(self, args.dims, keepdim);
  describe_contiguous(sizes, self.scalar_type(), &args.dst);
  keep_dimensions(args.src, args.dims, keepdim, &args.dst);
  if (with_mean) args.mean = args.dst;
  if (!call.choose(&args)) return std::nullopt;
  at::Tensor out = allocate(self, sizes, self.scalar_type()), mean;
  set_input(&args.src, self);
  set_output(&args.dst, out);
  if (with_mean) {
    mean = allocate(self, sizes, self.scalar_type());
    set_output(&args.mean, mean);
  }
  if (!call.launch(&args, out)) return std::nullopt;
  return Two(std::move(out), std::move(mean));
}

std::optional<at::Tensor> var(Call& call, const at::Tensor& self, Dims dims, Correction correction,
                              bool keepdim) {
  std::optional<Two> both = compute(call, self, dims, correction, keepdim, false);
  if (!both.has_value()) return std::nullopt;
  return std::get<0>(*std::move(both));
}

std::optional<Two> var_mean(Call& call, const at::Tensor& self, Dims dims, Correction correction,
                            bool keepdim) {
  return compute(call, self, dims, correction, keepdim, true);
}

bool var_out(Call& call, const at::Tensor& self, Dims dims, Correction correction, bool keepdim,
             at::Tensor& out) {
  polyops_var_args args;
  const char* reason = read(self, dims, correction, &args);
  if (reason) return call.decline(reason);
  reason = check_out(out, result_sizes(self, args.dims, keepdim), self);
  if (!reason && shares_storage(out, self)) reason = "out shares memory with an input";
  if (!reason) reason = describe(out, &args.dst);
  if (reason) return call.decline(reason);
  keep_dimensions(args.src, args.dims, keepdim, &args.dst);
  if (!call.choose(&args)) return false;
  set_input(&args.src, self);
  set_output(&args.dst, out);
  return call.launch(&args, out);
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
