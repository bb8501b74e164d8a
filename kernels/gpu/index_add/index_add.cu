// index_add, index_put (index_put.h) and scatter_add (scatter_add.h, by_turns.h): sums of source's
// rows by the index, as embedding's gradient (../embedding/row_sums.h), on top of self's. In place,
// rows that no index names are neither read nor written. Bound: memory; the sums repeat bit for
// bit, as no atomics' do.
#include "by_turns.h"
#include "embedding/row_sums.h"
#include "index_put.h"
#include "polyops/ops/index_add.h"
#include "scatter_add.h"
#include "table.h"

namespace polyops::gpu {
namespace {

SumSizes sizes_of(const polyops_index_add_args& a) {
  return {a.index.sizes[0],
          a.dst.sizes[a.dim],
          numel_between(a.dst, 0, a.dim),
          numel_between(a.dst, a.dim + 1, a.dst.rank),
          a.dst.dtype,
          a.in_place != 0};
}

const char* add_supports(const void* data) {
  const auto& a = *static_cast<const polyops_index_add_args*>(data);
  const polyops_tensor &self = a.self, &src = a.src, &dst = a.dst;
  if (!has_type(dst.dtype) || self.dtype != dst.dtype || src.dtype != dst.dtype) return "dtype";
  if (!are_indices(a.index)) return "dtype";
  if (a.index.rank != 1 || self.rank != dst.rank || src.rank != dst.rank) return "shape";
  for (int d = 0; d < dst.rank; ++d) {
    if (self.sizes[d] != dst.sizes[d]) return "shape";
    if (src.sizes[d] != (d == a.dim ? a.index.sizes[0] : dst.sizes[d])) return "shape";
  }
  const SumSizes sizes = sizes_of(a);
  if (const char* reason = sums_fit(sizes)) return reason;
  if (sizes.outer > 1 && sizes.width * polyops_dtype_size(dst.dtype) < kLeastRun) return "layout";
  const bool dense = polyops_is_contiguous(&self) != 0 && polyops_is_contiguous(&src) != 0;
  return dense && polyops_is_contiguous(&dst) != 0 ? nullptr : "layout";
}

size_t add_scratch(const void* data, int32_t) {
  return sums_scratch(sizes_of(*static_cast<const polyops_index_add_args*>(data)));
}

int add(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_index_add_args*>(data);
  RowSums sums = {};
  sums.sizes = sizes_of(a);
  sums.src = a.src.data;
  sums.base = a.self.data;
  sums.dst = a.dst.data;
  sums.scale = static_cast<float>(a.alpha);
  return sum_rows<true>(Made{indices_of(a.index, sums.sizes.rows), -1, a.from_end}, sums, ctx);
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(index_add,
                    POLYOPS_GPU_KERNEL("index_add", "index_add", add_supports, add_scratch, add),
                    POLYOPS_GPU_KERNEL("index_put", "index_put", put_supports, put_scratch, put),
                    POLYOPS_GPU_KERNEL("scatter_add", "scatter_add_turns", turns_supports,
                                       turns_scratch, scatter_by_turns),
                    POLYOPS_GPU_KERNEL("scatter_add", "scatter_add", scatter_supports,
                                       scatter_scratch, scatter))
