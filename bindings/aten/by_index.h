// Calls that take elements from where an index says, gather and index_select, and those that add
// elements there, scatter_add and index_add. Args: the op's own.
#ifndef POLYOPS_BINDINGS_ATEN_BY_INDEX_H_
#define POLYOPS_BINDINGS_ATEN_BY_INDEX_H_

#include <ATen/Context.h>
#include <ATen/core/Tensor.h>

#include <optional>

#include "polyops/tensor_view.h"
#include "torch/allocate.h"
#include "torch/call.h"
#include "torch/view.h"

namespace polyops::torch_binding {

// A dimension of a tensor that has some, counted from the front: null, or why there is none.
inline const char* find_dimension(int64_t dim, int64_t rank, int32_t* found) {
  if (rank == 0) return "scalar";
  if (dim < -rank || dim >= rank) return "dim";
  *found = static_cast<int32_t>(dim < 0 ? dim + rank : dim);
  return nullptr;
}

// ---- Taken.

// src, index and dim. Null, or why not.
template <class Args>
const char* describe_taken(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                           Args* args) {
  args->struct_size = sizeof *args;
  if (!self.defined()) return "undefined tensor";
  const char* reason = describe_as(self, dtype_of_bits(self.scalar_type()), &args->src);
  if (!reason) reason = describe_rows(index, &args->index);
  if (!reason && index.device() != self.device()) reason = "mixed devices";
  return reason ? reason : find_dimension(dim, self.dim(), &args->dim);
}

template <class Args>
bool choose_taken(Call& call, const at::Tensor& self, c10::IntArrayRef sizes, Args* args) {
  describe_contiguous(sizes, self.scalar_type(), &args->dst);
  args->dst.dtype = args->src.dtype;
  return call.choose(args);
}

template <class Args>
bool run_taken(Call& call, const at::Tensor& self, const at::Tensor& index, const at::Tensor& out,
               Args* args) {
  set_input(&args->src, self);
  set_input(&args->index, index);
  set_output(&args->dst, out);
  return call.launch(args, out);
}

template <class Args>
std::optional<at::Tensor> take(Call& call, const at::Tensor& self, const at::Tensor& index,
                               c10::IntArrayRef sizes, Args* args) {
  if (!choose_taken(call, self, sizes, args)) return std::nullopt;
  at::Tensor out = allocate(self, sizes, self.scalar_type());
  if (!run_taken(call, self, index, out, args)) return std::nullopt;
  return out;
}

template <class Args>
bool take_into(Call& call, const at::Tensor& self, const at::Tensor& index, c10::IntArrayRef sizes,
               const at::Tensor& out, Args* args) {
  if (const char* reason = check_out(out, sizes, self)) return call.decline(reason);
  if (shares_storage(out, self) || shares_storage(out, index)) {
    return call.decline("out shares memory with an input");
  }
  const char* reason = describe_as(out, args->src.dtype, &args->dst);
  if (reason) return call.decline(reason);
  return call.choose(args) && run_taken(call, self, index, out, args);
}

// ---- Added. While deterministic algorithms are wanted, stock does it by index_put_, whose indices
// may be negative.

// All but dst, which is described as a new tensor. Null, or why not.
template <class Args>
const char* describe_added(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                           const at::Tensor& src, Args* args) {
  args->struct_size = sizeof *args;
  const char* reason = describe(self, &args->self);
  if (!reason) reason = describe(src, &args->src);
  if (!reason) reason = describe_rows(index, &args->index);
  if (!reason && !same_kind(self, src)) reason = "mixed dtypes or devices";
  if (!reason && index.device() != self.device()) reason = "mixed devices";
  if (!reason) reason = find_dimension(dim, self.dim(), &args->dim);
  if (reason) return reason;
  args->in_place = 0;
  args->from_end = !self.is_cpu() && at::globalContext().deterministicAlgorithms();
  describe_contiguous(self.sizes(), self.scalar_type(), &args->dst);
  return nullptr;
}

template <class Args>
bool run_added(Call& call, const at::Tensor& self, const at::Tensor& index, const at::Tensor& src,
               const at::Tensor& out, Args* args) {
  set_output(&args->dst, out);  // first: it may give a copy-on-write self memory of its own
  set_input(&args->self, self);
  set_input(&args->index, index);
  set_input(&args->src, src);
  return call.launch(args, out);
}

// reason: why none of it can be, or null.
template <class Args>
std::optional<at::Tensor> add(Call& call, const char* reason, const at::Tensor& self,
                              const at::Tensor& index, const at::Tensor& src, Args* args) {
  if (reason) call.decline(reason);
  if (reason || !call.choose(args)) return std::nullopt;
  at::Tensor out = allocate(self, self.sizes(), self.scalar_type());
  if (!run_added(call, self, index, src, out, args)) return std::nullopt;
  return out;
}

// out may be self.
template <class Args>
bool add_into(Call& call, const char* reason, const at::Tensor& self, const at::Tensor& index,
              const at::Tensor& src, const at::Tensor& out, Args* args) {
  if (!reason) reason = check_out(out, self.sizes(), self);
  if (!reason) reason = describe(out, &args->dst);
  if (reason) return call.decline(reason);
  args->in_place = shares_storage(out, self) && same_view(out, self);
  if ((shares_storage(out, self) && args->in_place == 0) || shares_storage(out, index) ||
      shares_storage(out, src)) {
    return call.decline("out shares memory with an input");
  }
  return call.choose(args) && run_added(call, self, index, src, out, args);
}

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_ATEN_BY_INDEX_H_
