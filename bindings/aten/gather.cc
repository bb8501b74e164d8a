// aten::gather. Its gradient is scatter_add.
#include "polyops/ops/gather.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/gather_cpu_dispatch.h>

#include <optional>

#include "aten/table.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

// dst is described as a new tensor.
bool prepare(Call& call, const at::Tensor& self, int64_t dim, const at::Tensor& index,
             polyops_gather_args* args) {
  if (!self.defined()) return call.decline("undefined tensor");
  const char* reason = describe_as(self, dtype_of_bits(self.scalar_type()), &args->src);
  if (!reason) reason = describe_rows(index, &args->index);
  if (reason) return call.decline(reason);
  if (index.device() != self.device()) return call.decline("mixed devices");
  const int64_t rank = self.dim();
  if (rank == 0 || index.dim() == 0) return call.decline("scalar");
  if (dim < -rank || dim >= rank) return call.decline("dim");
  args->struct_size = sizeof *args;
  args->dim = static_cast<int32_t>(dim < 0 ? dim + rank : dim);
  describe_contiguous(index.sizes(), self.scalar_type(), &args->dst);
  args->dst.dtype = args->src.dtype;
  return true;
}

bool run(Call& call, const at::Tensor& self, const at::Tensor& index, const at::Tensor& out,
         polyops_gather_args* args) {
  set_input(&args->src, self);
  set_input(&args->index, index);
  set_output(&args->dst, out);
  return call.launch(args, out);
}

std::optional<at::Tensor> gather(Call& call, const at::Tensor& self, int64_t dim,
                                 const at::Tensor& index, bool /*sparse_grad*/) {
  polyops_gather_args args;
  if (!prepare(call, self, dim, index, &args) || !call.choose(&args)) return std::nullopt;
  at::Tensor out = allocate(self, index.sizes(), self.scalar_type());
  if (!run(call, self, index, out, &args)) return std::nullopt;
  return out;
}

bool gather_out(Call& call, const at::Tensor& self, int64_t dim, const at::Tensor& index,
                bool /*sparse_grad*/, at::Tensor& out) {
  polyops_gather_args args;
  if (!prepare(call, self, dim, index, &args)) return false;
  if (const char* reason = check_out(out, index.sizes(), self)) return call.decline(reason);
  if (shares_storage(out, self) || shares_storage(out, index)) {
    return call.decline("out shares memory with an input");
  }
  const char* reason = describe_as(out, args.dst.dtype, &args.dst);
  if (reason) return call.decline(reason);
  return call.choose(&args) && run(call, self, index, out, &args);
}

}  // namespace

std::vector<Overload> gather_overloads() {
  return {
      {"gather", "gather", "gather", wrap(gather, at::cpu::gather)},
      {"gather.out", "gather", "gather", wrap(gather_out, at::cpu::gather_outf)},
  };
}

}  // namespace polyops::torch_binding
