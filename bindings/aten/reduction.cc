// aten::sum, mean, amax and amin over dimensions; without any, over all: torch.sum(x) and x.mean() end
// here, too.
#include "polyops/ops/reduction.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/amax_cpu_dispatch.h>
#include <ATen/ops/amin_cpu_dispatch.h>
#include <ATen/ops/mean_cpu_dispatch.h>
#include <ATen/ops/sum_cpu_dispatch.h>
#include <c10/util/SmallVector.h>

#include <optional>

#include "aten/table.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

using Dims = at::OptionalIntArrayRef;
using Dtype = std::optional<at::ScalarType>;
using Sizes = c10::SmallVector<int64_t, POLYOPS_MAX_RANK>;

// A bit for each dimension that is reduced; of none given, for all.
const char* read_dims(Dims dims, int64_t rank, uint32_t* mask) {
  *mask = 0;
  if (rank > POLYOPS_MAX_RANK) return "rank";
  if (!dims.has_value() || dims->empty()) {
    *mask = (1u << rank) - 1;
    return nullptr;
  }
  const int64_t range = rank > 0 ? rank : 1;
  for (int64_t dim : *dims) {
    if (dim < -range || dim >= range) return "dim";
    const uint32_t bit = 1u << (dim < 0 ? dim + range : dim);
    if ((*mask & bit) != 0) return "dim";
    *mask |= bit;
  }
  if (rank == 0) *mask = 0;
  return nullptr;
}

Sizes result_sizes(const at::Tensor& self, uint32_t mask, bool keepdim) {
  Sizes sizes;
  for (int64_t d = 0; d < self.dim(); ++d) {
    const bool reduced = (mask >> d & 1) != 0;
    if (!reduced || keepdim) sizes.push_back(reduced ? 1 : self.size(d));
  }
  return sizes;
}

// dst as the kernels see it: with every dimension, whether it was asked for or not.
void keep_dimensions(bool keepdim, polyops_reduction_args* args) {
  const polyops_tensor given = args->dst;
  polyops_tensor& dst = args->dst;
  dst.rank = args->src.rank;
  for (int32_t d = 0, from = 0; d < dst.rank; ++d) {
    const bool reduced = (args->dims >> d & 1) != 0;
    dst.sizes[d] = reduced ? 1 : args->src.sizes[d];
    dst.strides[d] = reduced ? 1 : given.strides[from];
    if (!reduced || keepdim) ++from;
  }
}

std::optional<at::Tensor> reduce(Call& call, const at::Tensor& self, Dims dims, bool keepdim,
                                 Dtype dtype) {
  polyops_reduction_args args;
  const char* reason = describe(self, &args.src);
  if (!reason) reason = read_dims(dims, self.dim(), &args.dims);
  if (reason) {
    call.decline(reason);
    return std::nullopt;
  }
  args.struct_size = sizeof args;
  const Sizes sizes = result_sizes(self, args.dims, keepdim);
  const at::ScalarType type = dtype.value_or(self.scalar_type());
  describe_contiguous(sizes, type, &args.dst);
  keep_dimensions(keepdim, &args);
  if (!call.choose(&args)) return std::nullopt;
  at::Tensor out = allocate(self, sizes, type);
  set_input(&args.src, self);
  set_output(&args.dst, out);
  if (!call.launch(&args, out)) return std::nullopt;
  return out;
}

// Of the dtype of out.
bool reduce_into(Call& call, const at::Tensor& self, Dims dims, bool keepdim, Dtype dtype,
                 const at::Tensor& out) {
  polyops_reduction_args args;
  const char* reason = describe(self, &args.src);
  if (!reason) reason = read_dims(dims, self.dim(), &args.dims);
  if (reason) return call.decline(reason);
  args.struct_size = sizeof args;
  const Sizes sizes = result_sizes(self, args.dims, keepdim);
  if (out.defined() && !dtype.has_value()) dtype = out.scalar_type();
  reason = check_out(out, sizes, self, dtype.value_or(self.scalar_type()));
  if (!reason && shares_storage(out, self)) reason = "out shares memory with an input";
  if (!reason) reason = describe(out, &args.dst);
  if (reason) return call.decline(reason);
  keep_dimensions(keepdim, &args);
  if (!call.choose(&args)) return false;
  set_input(&args.src, self);
  set_output(&args.dst, out);
  return call.launch(&args, out);
}

std::optional<at::Tensor> sum(Call& call, const at::Tensor& self, Dims dims, bool keepdim,
                              Dtype dtype) {
  return reduce(call, self, dims, keepdim, dtype);
}

bool sum_out(Call& call, const at::Tensor& self, Dims dims, bool keepdim, Dtype dtype,
             at::Tensor& out) {
  return reduce_into(call, self, dims, keepdim, dtype, out);
}

std::optional<at::Tensor> amax(Call& call, const at::Tensor& self, at::IntArrayRef dims,
                               bool keepdim) {
  return reduce(call, self, dims, keepdim, std::nullopt);
}

bool amax_out(Call& call, const at::Tensor& self, at::IntArrayRef dims, bool keepdim,
              at::Tensor& out) {
  return reduce_into(call, self, dims, keepdim, std::nullopt, out);
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
  };
}

}  // namespace polyops::torch_binding
