#include "aten/reduced_dims.h"

#include "torch/allocate.h"

namespace polyops::torch_binding {

const char* read_dims(at::OptionalIntArrayRef dims, int64_t rank, uint32_t* mask) {
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

ReducedSizes result_sizes(const at::Tensor& self, uint32_t mask, bool keepdim) {
  ReducedSizes sizes;
  for (int64_t d = 0; d < self.dim(); ++d) {
    const bool reduced = (mask >> d & 1) != 0;
    if (!reduced || keepdim) sizes.push_back(reduced ? 1 : self.size(d));
  }
  return sizes;
}

void keep_dimensions(const polyops_tensor& src, uint32_t mask, bool keepdim, polyops_tensor* dst) {
  const polyops_tensor given = *dst;
  dst->rank = src.rank;
  for (int32_t d = 0, from = 0; d < dst->rank; ++d) {
    const bool reduced = (mask >> d & 1) != 0;
    dst->sizes[d] = reduced ? 1 : src.sizes[d];
    dst->strides[d] = reduced ? 1 : given.strides[from];
    if (!reduced || keepdim) ++from;
  }
}

std::optional<at::Tensor> reduce(Call& call, const char* reason, const Reduction& of,
                                 at::Tensor* second) {
  if (reason) {
    call.decline(reason);
    return std::nullopt;
  }
  const ReducedSizes sizes = result_sizes(of.self, *of.dims, of.keepdim);
  describe_contiguous(sizes, of.type, of.dst);
  of.dst->dtype = of.dtype;
  keep_dimensions(*of.src, *of.dims, of.keepdim, of.dst);
  if (second) *of.second = *of.dst;
  if (!call.choose(of.args)) return std::nullopt;
  at::Tensor out = allocate(of.self, sizes, of.type);
  set_input(of.src, of.self);
  set_output(of.dst, out);
  if (second) {
    *second = allocate(of.self, sizes, of.type);
    set_output(of.second, *second);
  }
  if (!call.launch(of.args, out)) return std::nullopt;
  return out;
}

bool reduce_into(Call& call, const char* reason, const Reduction& of, const at::Tensor& out) {
  if (reason) return call.decline(reason);
  reason = check_out(out, result_sizes(of.self, *of.dims, of.keepdim), of.self, of.type);
  if (!reason && shares_storage(out, of.self)) reason = "out shares memory with an input";
  if (!reason) reason = describe_as(out, of.dtype, of.dst);
  if (reason) return call.decline(reason);
  keep_dimensions(*of.src, *of.dims, of.keepdim, of.dst);
  if (!call.choose(of.args)) return false;
  set_input(of.src, of.self);
  set_output(of.dst, out);
  return call.launch(of.args, out);
}

}  // namespace polyops::torch_binding
