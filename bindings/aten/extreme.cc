// aten::argmax, argmin and max and min over a dimension. Of no dimension argmax and argmin number
// the elements of a contiguous tensor.
#include "polyops/ops/extreme.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/argmax_cpu_dispatch.h>
#include <ATen/ops/argmin_cpu_dispatch.h>
#include <ATen/ops/max_cpu_dispatch.h>
#include <ATen/ops/min_cpu_dispatch.h>

#include <optional>

#include "aten/reduced_dims.h"
#include "aten/table.h"
#include "torch/allocate.h"
#include "torch/results.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

using Dim = std::optional<int64_t>;

// One dimension of all elements, in their order.
void flatten(int64_t numel, polyops_tensor* view) {
  view->rank = 1;
  view->sizes[0] = numel;
  view->strides[0] = 1;
}

// A call as the kernels see it, but for its results.
struct Reading {
  polyops_extreme_args args;
  ReducedSizes sizes;  // of the results
  bool keepdim;

  // Null, or why there is none.
  const char* read(const at::Tensor& self, Dim dim, bool keep) {
    args.struct_size = sizeof args;
    args.values = absent();
    keepdim = keep;
    uint32_t dims;
    at::OptionalIntArrayRef given;
    if (dim.has_value()) given = at::IntArrayRef(*dim);
    if (const char* reason = describe(self, &args.src)) return reason;
    if (const char* reason = read_dims(given, self.dim(), &dims)) return reason;
    args.dim = 0;
    if (dim.has_value()) {
      if (self.dim() > 0) args.dim = static_cast<int32_t>(*dim < 0 ? *dim + self.dim() : *dim);
    } else if (!self.is_contiguous()) {
      return "layout";
    } else {
      flatten(self.numel(), &args.src);
    }
    sizes = result_sizes(self, dims, keep);
    return nullptr;
  }

  // A result with the dimension, whether it was asked for or not.
  void keep_dimension(polyops_tensor* view) const {
    keep_dimensions(args.src, 1u << args.dim, keepdim, view);
  }
  void expect(c10::ScalarType type, polyops_tensor* view) const {
    describe_contiguous(sizes, type, view);
    if (type == at::kLong) view->dtype = POLYOPS_INT64;
    keep_dimension(view);
  }
  const char* take(const at::Tensor& out, const at::Tensor& self, c10::ScalarType type,
                   polyops_tensor* view) const {
    const char* reason = check_out(out, sizes, self, type);
    if (!reason && shares_storage(out, self)) reason = "out shares memory with an input";
    if (!reason) reason = type == at::kLong ? describe_indices(out, view) : describe(out, view);
    if (!reason) keep_dimension(view);
    return reason;
  }
};

std::optional<at::Tensor> place(Call& call, const at::Tensor& self, Dim dim, bool keepdim) {
  Reading reading;
  polyops_extreme_args& args = reading.args;
  if (const char* reason = reading.read(self, dim, keepdim)) {
    call.decline(reason);
    return std::nullopt;
  }
  reading.expect(at::kLong, &args.indices);
  if (!call.choose(&args)) return std::nullopt;
  at::Tensor out = allocate(self, reading.sizes, at::kLong);
  set_input(&args.src, self);
  set_output(&args.indices, out);
  if (!call.launch(&args, out)) return std::nullopt;
  return out;
}

bool place_out(Call& call, const at::Tensor& self, Dim dim, bool keepdim, at::Tensor& out) {
  Reading reading;
  polyops_extreme_args& args = reading.args;
  const char* reason = reading.read(self, dim, keepdim);
  if (!reason) reason = reading.take(out, self, at::kLong, &args.indices);
  if (reason) return call.decline(reason);
  if (!call.choose(&args)) return false;
  set_input(&args.src, self);
  set_output(&args.indices, out);
  return call.launch(&args, out);
}

bool run(Call& call, const at::Tensor& self, const at::Tensor& values, const at::Tensor& indices,
         polyops_extreme_args* args) {
  set_input(&args->src, self);
  set_output(&args->values, values);
  set_output(&args->indices, indices);
  return call.launch(args, values);
}

std::optional<Two> extreme(Call& call, const at::Tensor& self, int64_t dim, bool keepdim) {
  Reading reading;
  polyops_extreme_args& args = reading.args;
  if (const char* reason = reading.read(self, dim, keepdim)) {
    call.decline(reason);
    return std::nullopt;
  }
  reading.expect(at::kLong, &args.indices);
  reading.expect(self.scalar_type(), &args.values);
  if (!call.choose(&args)) return std::nullopt;
  at::Tensor values = allocate(self, reading.sizes, self.scalar_type());
  at::Tensor indices = allocate(self, reading.sizes, at::kLong);
  if (!run(call, self, values, indices, &args)) return std::nullopt;
  return Two(std::move(values), std::move(indices));
}

bool extreme_out(Call& call, const at::Tensor& self, int64_t dim, bool keepdim, at::Tensor& values,
                 at::Tensor& indices) {
  Reading reading;
  polyops_extreme_args& args = reading.args;
  const char* reason = reading.read(self, dim, keepdim);
  if (!reason) reason = reading.take(values, self, self.scalar_type(), &args.values);
  if (!reason) reason = reading.take(indices, self, at::kLong, &args.indices);
  if (!reason && shares_storage(values, indices)) reason = "out shares memory with an input";
  if (reason) return call.decline(reason);
  return call.choose(&args) && run(call, self, values, indices, &args);
}

using Extremes = Two (*)(const at::Tensor&, int64_t, bool);

}  // namespace

std::vector<Overload> extreme_overloads() {
  return {
      {"argmax", "argmax", "argmax", wrap(place, at::cpu::argmax)},
      {"argmax.out", "argmax", "argmax", wrap(place_out, at::cpu::argmax_outf)},
      {"argmin", "argmin", "argmin", wrap(place, at::cpu::argmin)},
      {"argmin.out", "argmin", "argmin", wrap(place_out, at::cpu::argmin_outf)},
      {"max.dim", "max", "max", wrap(extreme, static_cast<Extremes>(at::cpu::max))},
      {"max.dim_max", "max", "max", wrap(extreme_out, at::cpu::max_outf)},
      {"min.dim", "min", "min", wrap(extreme, static_cast<Extremes>(at::cpu::min))},
      {"min.dim_min", "min", "min", wrap(extreme_out, at::cpu::min_outf)},
  };
}

}  // namespace polyops::torch_binding
