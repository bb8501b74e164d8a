#include "aten/reduced_dims.h"

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

}  // namespace polyops::torch_binding
