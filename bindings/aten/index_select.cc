// aten::index_select, where F.embedding ends, whose stock kernel is made of it; and
// aten::index.Tensor of one tensor of indices along the first dimension, x[i].
#include "polyops/ops/index_select.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/index_cpu_dispatch.h>
#include <ATen/ops/index_select_cpu_dispatch.h>
#include <c10/util/SmallVector.h>

#include "aten/leading_indices.h"
#include "aten/table.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

using Sizes = c10::SmallVector<int64_t, POLYOPS_MAX_RANK>;

// dst is described as a new tensor. An index without gaps goes as one of one dimension.
bool prepare(Call& call, const at::Tensor& self, int64_t dim, const at::Tensor& index,
             polyops_index_select_args* args, Sizes* sizes) {
  if (!self.defined()) return call.decline("undefined tensor");
  const char* reason = describe_as(self, dtype_of_bits(self.scalar_type()), &args->src);
  if (!reason) reason = describe_rows(index, &args->index);
  if (reason) return call.decline(reason);
  if (index.device() != self.device()) return call.decline("mixed devices");
  const int64_t rank = self.dim();
  if (rank == 0) return call.decline("scalar");
  if (dim < -rank || dim >= rank) return call.decline("dim");
  if (index.dim() != 1) {
    args->index.rank = 1;
    args->index.sizes[0] = index.numel();
    args->index.strides[0] = 1;
  }
  args->struct_size = sizeof *args;
  args->from_end = args->reserved = 0;
  args->dim = static_cast<int32_t>(dim < 0 ? dim + rank : dim);
  sizes->assign(self.sizes().begin(), self.sizes().end());
  (*sizes)[args->dim] = index.numel();
  describe_contiguous(*sizes, self.scalar_type(), &args->dst);
  args->dst.dtype = args->src.dtype;
  return true;
}

bool run(Call& call, const at::Tensor& self, const at::Tensor& index, const at::Tensor& out,
         polyops_index_select_args* args) {
  set_input(&args->src, self);
  set_input(&args->index, index);
  set_output(&args->dst, out);
  return call.launch(args, out);
}

std::optional<at::Tensor> index_select(Call& call, const at::Tensor& self, int64_t dim,
                                       const at::Tensor& index) {
  polyops_index_select_args args;
  Sizes sizes;
  if (index.defined() && index.dim() != 1) {
    call.decline("shape");
    return std::nullopt;
  }
  if (!prepare(call, self, dim, index, &args, &sizes)) return std::nullopt;
  if (!call.choose(&args)) return std::nullopt;
  at::Tensor out = allocate(self, sizes, self.scalar_type());
  if (!run(call, self, index, out, &args)) return std::nullopt;
  return out;
}

bool index_select_out(Call& call, const at::Tensor& self, int64_t dim, const at::Tensor& index,
                      at::Tensor& out) {
  polyops_index_select_args args;
  Sizes sizes;
  if (index.defined() && index.dim() != 1) return call.decline("shape");
  if (!prepare(call, self, dim, index, &args, &sizes)) return false;
  if (const char* reason = check_out(out, sizes, self)) return call.decline(reason);
  if (shares_storage(out, self) || shares_storage(out, index)) {
    return call.decline("out shares memory with an input");
  }
  const char* reason = describe_as(out, args.dst.dtype, &args.dst);
  if (reason) return call.decline(reason);
  return call.choose(&args) && run(call, self, index, out, &args);
}

// Stock's results of what has gaps lie as it does, as far as they can.
std::optional<at::Tensor> index(Call& call, const at::Tensor& self, const TensorList& indices) {
  at::Tensor index;
  const auto declined = [&](const char* reason) {
    call.decline(reason);
    return std::nullopt;
  };
  if (!self.defined()) return declined("undefined tensor");
  if (leading_indices(indices, 1, &index) == 0) return declined("several indices");
  if (!self.is_contiguous() || !index.is_contiguous()) return declined("layout");
  if (static_cast<int64_t>(indices.size()) > self.dim()) return declined("several indices");
  polyops_index_select_args args;
  Sizes sizes;
  if (!prepare(call, self, 0, index, &args, &sizes)) return std::nullopt;
  args.from_end = 1;
  if (!call.choose(&args)) return std::nullopt;
  sizes.erase(sizes.begin());
  sizes.insert(sizes.begin(), index.sizes().begin(), index.sizes().end());
  at::Tensor out = allocate(self, sizes, self.scalar_type());
  if (!run(call, self, index, out, &args)) return std::nullopt;
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
