// embedding_backward: sums of rows of the gradient by the index (row_sums.h).
#include "polyops/ops/embedding.h"
#include "row_sums.h"
#include "table.h"

namespace polyops::gpu {
namespace {

SumSizes sizes_of(const polyops_embedding_backward_args& a) {
  const int64_t lookups = a.grad_dst.sizes[0], rows = a.grad_weight.sizes[0];
  const bool clears = rows >= kMostlyZeros * lookups;
  return {lookups, rows, 1, a.grad_weight.sizes[1], a.grad_dst.dtype, clears, clears};
}

const char* embedding_supports(const void* data) {
  const auto& a = *static_cast<const polyops_embedding_backward_args*>(data);
  const polyops_tensor &grad = a.grad_dst, &weight = a.grad_weight;
  if (!has_type(grad.dtype) || weight.dtype != grad.dtype) return "dtype";
  if (!are_indices(a.index)) return "dtype";
  if (grad.rank != 2 || weight.rank != 2 || a.index.rank != 1) return "shape";
  if (grad.sizes[0] != a.index.sizes[0] || grad.sizes[1] != weight.sizes[1]) return "shape";
  if (const char* reason = sums_fit(sizes_of(a))) return reason;
  return polyops_is_contiguous(&grad) != 0 && polyops_is_contiguous(&weight) != 0 ? nullptr
                                                                                  : "layout";
}

size_t embedding_scratch(const void* data, int32_t) {
  return sums_scratch(sizes_of(*static_cast<const polyops_embedding_backward_args*>(data)));
}

int embedding_backward(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_embedding_backward_args*>(data);
  RowSums sums = {};
  sums.sizes = sizes_of(a);
  sums.src = a.grad_dst.data;
  sums.dst = a.grad_weight.data;
  sums.scale = 1;
  sums.by_freq = a.scale_by_freq != 0;
  const Made made = {indices_of(a.index, sums.sizes.rows), a.padding, 0};
  if (!sums.sizes.clears || are_few(sums.sizes)) return sum_rows<false>(made, sums, ctx);
  sums.base = sums.dst;  // where zeros are by then
  return sum_rows<true>(made, sums, ctx);
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(embedding,
                    POLYOPS_GPU_KERNEL("embedding_backward", "embedding_backward",
                                       embedding_supports, embedding_scratch, embedding_backward))
