// aten::all and any, over dimensions or over all of them.
#include <ATen/core/Tensor.h>
#include <ATen/ops/all_cpu_dispatch.h>
#include <ATen/ops/any_cpu_dispatch.h>

#include <optional>

#include "aten/reduced_dims.h"
#include "aten/table.h"
#include "polyops/ops/reduction.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

using Dims = at::OptionalIntArrayRef;

// Of bytes, bool's and uint8's, those of 0 are false; what else there is has a float's name.
int32_t dtype_of_truth(c10::ScalarType type) {
  const bool bytes = type == at::kBool || type == at::kByte;
  return bytes ? POLYOPS_UINT8 : dtype_of(type);
}

const char* read(const at::Tensor& self, Dims dims, polyops_reduction_args* args) {
  args->struct_size = sizeof *args;
  const char* reason = describe_as(self, dtype_of_truth(self.scalar_type()), &args->src);
  if (reason) return reason;
  return read_dims(dims, self.dim(), &args->dims);
}

// uint8 alone has results of its own type.
Reduction reduction_of_bytes(polyops_reduction_args* args, const at::Tensor& self, bool keepdim) {
  const c10::ScalarType type = self.scalar_type() == at::kByte ? at::kByte : at::kBool;
  Reduction reduction = reduction_of(args, self, keepdim, type);
  reduction.dtype = POLYOPS_UINT8;
  return reduction;
}

std::optional<at::Tensor> search(Call& call, const at::Tensor& self, Dims dims, bool keepdim) {
  polyops_reduction_args args;
  const char* reason = read(self, dims, &args);
  return reduce(call, reason, reduction_of_bytes(&args, self, keepdim));
}

bool search_into(Call& call, const at::Tensor& self, Dims dims, bool keepdim,
                 const at::Tensor& out) {
  polyops_reduction_args args;
  const char* reason = read(self, dims, &args);
  return reduce_into(call, reason, reduction_of_bytes(&args, self, keepdim), out);
}

// Of no dimensions each element is a result; to others that means all of them.
constexpr const char kNoDims[] = "no dimensions";
bool none_of(Dims dims) { return dims.has_value() && dims->empty(); }

std::optional<at::Tensor> over_one(Call& call, const at::Tensor& self, int64_t dim, bool keepdim) {
  return search(call, self, at::IntArrayRef(dim), keepdim);
}

std::optional<at::Tensor> over_some(Call& call, const at::Tensor& self, Dims dims, bool keepdim) {
  if (!none_of(dims)) return search(call, self, dims, keepdim);
  call.decline(kNoDims);
  return std::nullopt;
}

std::optional<at::Tensor> over_all(Call& call, const at::Tensor& self) {
  return search(call, self, std::nullopt, false);
}

bool over_one_out(Call& call, const at::Tensor& self, int64_t dim, bool keepdim, at::Tensor& out) {
  return search_into(call, self, at::IntArrayRef(dim), keepdim, out);
}

bool over_some_out(Call& call, const at::Tensor& self, Dims dims, bool keepdim, at::Tensor& out) {
  if (none_of(dims)) return call.decline(kNoDims);
  return search_into(call, self, dims, keepdim, out);
}

bool over_all_out(Call& call, const at::Tensor& self, at::Tensor& out) {
  return search_into(call, self, std::nullopt, false, out);
}

using OverOne = at::Tensor (*)(const at::Tensor&, int64_t, bool);
using OverSome = at::Tensor (*)(const at::Tensor&, Dims, bool);
using OverAll = at::Tensor (*)(const at::Tensor&);
using OverOneOut = at::Tensor& (*)(const at::Tensor&, int64_t, bool, at::Tensor&);
using OverSomeOut = at::Tensor& (*)(const at::Tensor&, Dims, bool, at::Tensor&);
using OverAllOut = at::Tensor& (*)(const at::Tensor&, at::Tensor&);

}  // namespace

// To users all is one with any: in POLYOPS_ENABLE=all it would be taken for every op.
std::vector<Overload> any_overloads() {
  namespace cpu = at::cpu;
  static constexpr const char kOp[] = "any";
  return {
      {"all", kOp, "all", wrap(over_all, OverAll{cpu::all})},
      {"all.all_out", kOp, "all", wrap(over_all_out, OverAllOut{cpu::all_outf})},
      {"all.dim", kOp, "all", wrap(over_one, OverOne{cpu::all})},
      {"all.out", kOp, "all", wrap(over_one_out, OverOneOut{cpu::all_outf})},
      {"all.dims", kOp, "all", wrap(over_some, OverSome{cpu::all})},
      {"all.dims_out", kOp, "all", wrap(over_some_out, OverSomeOut{cpu::all_outf})},
      {"any", kOp, kOp, wrap(over_all, OverAll{cpu::any})},
      {"any.all_out", kOp, kOp, wrap(over_all_out, OverAllOut{cpu::any_outf})},
      {"any.dim", kOp, kOp, wrap(over_one, OverOne{cpu::any})},
      {"any.out", kOp, kOp, wrap(over_one_out, OverOneOut{cpu::any_outf})},
      {"any.dims", kOp, kOp, wrap(over_some, OverSome{cpu::any})},
      {"any.dims_out", kOp, kOp, wrap(over_some_out, OverSomeOut{cpu::any_outf})},
  };
}

}  // namespace polyops::torch_binding
