// aten::index_select, where F.embedding ends, whose stock kernel is made of it; and
// aten::index.Tensor of one tensor of indices along the first dimension, x[i].
#include "polyops/ops/index_select.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/index_cpu_dispatch.h>
#include <ATen/ops/index_select_cpu_dispatch.h>
#include <c10/util/SmallVector.h>

#include <optional>

#include "aten/by_index.h"
#include "aten/leading_indices.h"
#include "aten/table.h"
#include "torch/allocate.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

using Sizes = c10::SmallVector<int64_t, POLYOPS_MAX_RANK>;

// An index without gaps goes as one of one dimension. sizes: of the result.
const char* read(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                 polyops_index_select_args* args, Sizes* sizes) {
  if (const char* reason = describe_taken(self, dim, index, args)) return reason;
  if (index.dim() != 1) {
    args->index.rank = 1;
    args->index.sizes[0] = index.numel();
    args->index.strides[0] = 1;
  }
  args->from_end = args->reserved = 0;
  sizes->assign(self.sizes().begin(), self.sizes().end());
  (*sizes)[args->dim] = index.numel();
  return nullptr;
}

const char* read_one(const at::Tensor& self, int64_t dim, const at::Tensor& index,
                     polyops_index_select_args* args, Sizes* sizes) {
  if (index.defined() && index.dim() != 1) return "shape";
  return read(self, dim, index, args, sizes);
}

std::optional<at::Tensor> index_select(Call& call, const at::Tensor& self, int64_t dim,
                                       const at::Tensor& index) {
  polyops_index_select_args args;
  Sizes sizes;
  if (const char* reason = read_one(self, dim, index, &args, &sizes)) {
    call.decline(reason);
    return std::nullopt;
  }
  return take(call, self, index, sizes, &args);
}

bool index_select_out(Call& call, const at::Tensor& self, int64_t dim, const at::Tensor& index,
                      at::Tensor& out) {
  polyops_index_select_args args;
  Sizes sizes;
  if (const char* reason = read_one(self, dim, index, &args, &sizes)) return call.decline(reason);
  return take_into(call, self, index, sizes, out, &args);
}

// Stock's results of what has gaps lie as it does, as far as they can.
const char* find_index(const at::Tensor& self, const TensorList& indices, at::Tensor* index) {
  if (!self.defined()) return "undefined tensor";
  if (leading_indices(indices, 1, index) == 0) return "several indices";
  if (!self.is_contiguous() || !index->is_contiguous()) return "layout";
  return static_cast<int64_t>(indices.size()) > self.dim() ? "several indices" : nullptr;
}

std::optional<at::Tensor> index(Call& call, const at::Tensor& self, const TensorList& indices) {
  at::Tensor index;
  polyops_index_select_args args;
  Sizes sizes;
  const char* reason = find_index(self, indices, &index);
  if (!reason) reason = read(self, 0, index, &args, &sizes);
  if (reason) {
    call.decline(reason);
    return std::nullopt;
  }
  args.from_end = 1;
  if (!choose_taken(call, self, sizes, &args)) return std::nullopt;
  sizes.erase(sizes.begin());
  sizes.insert(sizes.begin(), index.sizes().begin(), index.sizes().end());
  at::Tensor out = allocate(self, sizes, self.scalar_type());
  if (!run_taken(call, self, index, out, &args)) return std::nullopt;
  return out;
}

constexpr const char kRare[] = "no module calls it";

}  // namespace

std::vector<Overload> index_select_overloads() {
  return {
      {"index_select", "index_select", "index_select", wrap(index_select, at::cpu::index_select)},
      {"index_select.out", "index_select", "index_select",
       wrap(index_select_out, at::cpu::index_select_outf)},
      {"index.Tensor", "index", "index_select", wrap(index, at::cpu::index)},
      {"index.Tensor_out", "index", "index_select", nullptr, kRare},
  };
}

}  // namespace polyops::torch_binding
