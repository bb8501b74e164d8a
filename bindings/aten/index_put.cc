// aten::_index_put_impl_, where index_put_, index_put and the gradient of x[i] end, of one tensor of
// indices along the first dimension, where values are added: by index_add's kernel.
#include <ATen/core/Tensor.h>
#include <ATen/ops/_index_put_impl_cpu_dispatch.h>
#include <c10/util/SmallVector.h>

#include "aten/only_index.h"
#include "aten/table.h"
#include "polyops/ops/index_add.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

using Sizes = c10::SmallVector<int64_t, POLYOPS_MAX_RANK>;

const char* overwrites(at::Tensor&, const TensorList&, const at::Tensor&, bool accumulate, bool) {
  return accumulate ? nullptr : "values that replace";
}

// Stock expands values that are fewer in a way of its own; those of all sizes, and a single one, are
// what they are everywhere.
bool fits(const at::Tensor& values, c10::IntArrayRef sizes) {
  if (values.sizes() == sizes) return true;
  return values.numel() == 1 && values.dim() <= 1 &&
         values.dim() <= static_cast<int64_t>(sizes.size());
}

const char* check(const at::Tensor& self, const at::Tensor& index, const at::Tensor& values) {
  if (!same_kind(self, values)) return "mixed dtypes or devices";
  if (index.device() != self.device()) return "mixed devices";
  if (self.dim() == 0) return "scalar";
  if (!self.is_contiguous() || (index.dim() != 1 && !index.is_contiguous())) return "layout";
  if (shares_storage(self, index) || shares_storage(self, values)) {
    return "self shares memory with another input";
  }
  return nullptr;
}

// Values are described as one dense tensor.
bool prepare(Call& call, const at::Tensor& self, const TensorList& indices,
             const at::Tensor& values, at::Tensor* index, polyops_index_add_args* args,
             Sizes* sizes) {
  const char* reason = describe(self, &args->self);
  if (!reason) reason = describe(values, &args->src);
  if (reason) return call.decline(reason);
  if (static_cast<int64_t>(indices.size()) > self.dim() || !only_index(indices, index)) {
    return call.decline("several indices");
  }
  reason = describe_rows(*index, &args->index);
  if (!reason) reason = check(self, *index, values);
  if (reason) return call.decline(reason);
  sizes->assign(index->sizes().begin(), index->sizes().end());
  sizes->append(self.sizes().begin() + 1, self.sizes().end());
  if (!fits(values, *sizes)) return call.decline("shape");
  if (index->dim() != 1) {
    args->index.rank = 1;
    args->index.sizes[0] = index->numel();
    args->index.strides[0] = 1;
  }
  Sizes rows(self.sizes().begin(), self.sizes().end());
  rows[0] = index->numel();
  describe_contiguous(rows, values.scalar_type(), &args->src);
  args->struct_size = sizeof *args;
  args->dim = 0;
  args->alpha = 1;
  args->in_place = args->from_end = 1;
  args->dst = args->self;
  return true;
}

bool put(Call& call, at::Tensor& self, const TensorList& indices, const at::Tensor& values,
         bool /*accumulate*/, bool /*unsafe*/) {
  polyops_index_add_args args;
  at::Tensor index;
  Sizes sizes;
  if (!prepare(call, self, indices, values, &index, &args, &sizes)) return false;
  if (!call.choose(&args)) return false;
  const at::Tensor dense = values.expand(sizes).contiguous();  // as stock does
  set_output(&args.dst, self);  // first: it may give a copy-on-write self memory of its own
  set_input(&args.self, self);
  set_input(&args.index, index);
  set_input(&args.src, dense);
  return call.launch(&args, self);
}

}  // namespace

std::vector<Overload> index_put_overloads() {
  static constexpr const char kOp[] = "index_put", kInside[] = "stock calls _index_put_impl_";
  return {
      {"_index_put_impl_", kOp, kOp, wrap(put, at::cpu::_index_put_impl_, overwrites)},
      {"index_put_", kOp, kOp, nullptr, kInside},
      {"index_put", kOp, kOp, nullptr, kInside},
  };
}

}  // namespace polyops::torch_binding
