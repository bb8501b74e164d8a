// aten::_index_put_impl_, where index_put_, index_put and the gradients of x[i] and x[i, j] end, of
// one or two tensors of indices along the first dimensions, where values are added.
#include "polyops/ops/index_put.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/_index_put_impl_cpu_dispatch.h>
#include <c10/util/SmallVector.h>

#include "aten/leading_indices.h"
#include "aten/table.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

using Sizes = c10::SmallVector<int64_t, POLYOPS_MAX_RANK>;
constexpr int kMostIndices = 2;

struct Put {
  polyops_index_put_args args;
  at::Tensor index[kMostIndices];
  Sizes named;  // what the indices are together
  Sizes sizes;  // of what they name
};

const char* overwrites(at::Tensor&, const TensorList&, const at::Tensor&, bool accumulate, bool) {
  return accumulate ? nullptr : "values that replace";
}

// False if the sizes do not go together.
bool broadcast(c10::IntArrayRef sizes, Sizes* into) {
  if (sizes.size() > into->size()) into->insert(into->begin(), sizes.size() - into->size(), 1);
  const size_t ahead = into->size() - sizes.size();
  for (size_t d = 0; d < sizes.size(); ++d) {
    int64_t& size = (*into)[ahead + d];
    if (size == 1) size = sizes[d];
    if (sizes[d] != 1 && sizes[d] != size) return false;
  }
  return true;
}

// Stock expands values that are fewer in a way of its own; those of all sizes, and a single one,
// are what they are everywhere.
bool fits(const at::Tensor& values, c10::IntArrayRef sizes) {
  if (values.sizes() == sizes) return true;
  const auto rank = static_cast<int64_t>(sizes.size());
  return values.numel() == 1 && values.dim() <= 1 && values.dim() <= rank;
}

// Each is described as one of one dimension, which it may have to be made.
const char* describe_index(const at::Tensor& self, const at::Tensor& index, const Sizes& named,
                           polyops_tensor* view) {
  if (const char* reason = describe_rows(index, view)) return reason;
  if (index.device() != self.device()) return "mixed devices";
  if (shares_storage(self, index)) return "self shares memory with another input";
  const bool is_one = index.dim() == 1 && index.sizes() == named;
  view->rank = 1;
  view->strides[0] = is_one ? index.stride(0) : 1;
  view->sizes[0] = c10::multiply_integers(named);
  return nullptr;
}

at::Tensor dense(const at::Tensor& tensor, const Sizes& sizes) {
  return tensor.sizes() == sizes ? tensor.contiguous() : tensor.expand(sizes).contiguous();
}

bool prepare(Call& call, const at::Tensor& self, const TensorList& indices,
             const at::Tensor& values, Put* put) {
  polyops_index_put_args& args = put->args;
  const char* reason = describe(self, &args.self);
  if (!reason) reason = describe(values, &args.src);
  if (reason) return call.decline(reason);
  if (!same_kind(self, values)) return call.decline("mixed dtypes or devices");
  args.struct_size = sizeof args;
  args.indices = leading_indices(indices, kMostIndices, put->index);
  if (args.indices == 0 || static_cast<int64_t>(indices.size()) > self.dim()) {
    return call.decline("several indices");
  }
  if (!self.is_contiguous()) return call.decline("layout");
  if (shares_storage(self, values)) return call.decline("self shares memory with another input");
  for (int k = 0; k < args.indices; ++k) {
    if (!broadcast(put->index[k].sizes(), &put->named)) return call.decline("shape");
  }
  for (int k = 0; k < args.indices; ++k) {
    reason = describe_index(self, put->index[k], put->named, &args.index[k]);
    if (reason) return call.decline(reason);
  }
  const auto behind = self.sizes().slice(args.indices);
  put->sizes = put->named;
  put->sizes.append(behind.begin(), behind.end());
  if (!fits(values, put->sizes)) return call.decline("shape");
  describe_contiguous({args.index[0].sizes[0], c10::multiply_integers(behind)},
                      values.scalar_type(), &args.src);
  return true;
}

// Values, and indices of several dimensions, are made dense as stock does.
bool put(Call& call, at::Tensor& self, const TensorList& indices, const at::Tensor& values,
         bool /*accumulate*/, bool /*unsafe*/) {
  Put put;
  if (!prepare(call, self, indices, values, &put) || !call.choose(&put.args)) return false;
  const at::Tensor src = dense(values, put.sizes);
  for (int k = 0; k < put.args.indices; ++k) {
    at::Tensor& index = put.index[k];
    if (index.dim() != 1 || index.sizes() != put.named) index = dense(index, put.named);
    set_input(&put.args.index[k], index);
  }
  set_output(&put.args.self, self);
  set_input(&put.args.src, src);
  return call.launch(&put.args, self);
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
