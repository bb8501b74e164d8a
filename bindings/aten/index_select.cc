// aten::index_select. F.embedding, whose stock kernel is made of it, ends here.
#include "polyops/ops/index_select.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/index_select_cpu_dispatch.h>
#include <c10/util/SmallVector.h>

#include "aten/table.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

using Sizes = c10::SmallVector<int64_t, POLYOPS_MAX_RANK>;

// dst is described as a new tensor.
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
  if (index.dim() != 1) return call.decline("shape");
  args->struct_size = sizeof *args;
  args->dim = static_cast<int32_t>(dim < 0 ? dim + rank : dim);
  sizes->assign(self.sizes().begin(), self.sizes().end());
  (*sizes)[args->dim] = index.size(0);
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
  if (!prepare(call, self, dim, index, &args, &sizes)) return false;
  if (const char* reason = check_out(out, sizes, self)) return call.decline(reason);
  if (shares_storage(out, self) || shares_storage(out, index)) {
    return call.decline("out shares memory with an input");
  }
  const char* reason = describe_as(out, args.dst.dtype, &args.dst);
  if (reason) return call.decline(reason);
  return call.choose(&args) && run(call, self, index, out, &args);
}

}  // namespace

std::vector<Overload> index_select_overloads() {
  return {
      {"index_select", "index_select", "index_select", wrap(index_select, at::cpu::index_select)},
      {"index_select.out", "index_select", "index_select",
       wrap(index_select_out, at::cpu::index_select_outf)},
  };
}

}  // namespace polyops::torch_binding
