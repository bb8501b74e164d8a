// index_select: runs of elements by an index of one dimension (select.h).
#include "polyops/ops/index_select.h"
#include "select.h"
#include "table.h"

namespace polyops::gpu {
namespace {

const char* select_supports(const void* data) {
  const auto& a = *static_cast<const polyops_index_select_args*>(data);
  const polyops_tensor &src = a.src, &dst = a.dst;
  if (polyops_dtype_size(src.dtype) == 0 || dst.dtype != src.dtype) return "dtype";
  if (!are_indices(a.index)) return "dtype";
  if (a.index.rank != 1 || dst.rank != src.rank) return "shape";
  for (int d = 0; d < src.rank; ++d) {
    if (dst.sizes[d] != (d == a.dim ? a.index.sizes[0] : src.sizes[d])) return "shape";
  }
  if (polyops_numel(&dst) > kMostElements || src.sizes[a.dim] > kMostElements) return "size";
  int64_t stride = 1;
  if (!merges(src, a.dim + 1, src.rank, &stride) || stride != 1) return "layout";
  const bool outer = merges(src, 0, a.dim, &stride);
  return outer && polyops_is_contiguous(&dst) != 0 ? nullptr : "layout";
}

int select(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_index_select_args*>(data);
  const int64_t width = polyops_dtype_size(a.src.dtype);
  int64_t outer_stride = 0;
  merges(a.src, 0, a.dim, &outer_stride);
  const int64_t outers = numel_between(a.src, 0, a.dim);
  SelectCall call = {};
  call.src = static_cast<const char*>(a.src.data);
  call.dst = static_cast<char*>(a.dst.data);
  call.index = indices_of(a.index, a.src.sizes[a.dim]);
  call.outer_step = outer_stride * width;
  call.step = a.src.strides[a.dim] * width;
  call.of_outer = Division(static_cast<uint32_t>(a.index.sizes[0]));
  call.one_outer = outers == 1;
  call.from_end = a.from_end;
  const int64_t bytes = numel_between(a.src, a.dim + 1, a.src.rank) * width;
  const int64_t runs = outers * a.index.sizes[0];
  return select_runs<false>(call, bytes, runs, 16, ctx);
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(index_select, POLYOPS_GPU_KERNEL("index_select", "index_select",
                                                     select_supports, nullptr, select))
