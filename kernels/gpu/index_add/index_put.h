// index_put: sums of rows, which one index or two name, on top of self's, in place.
#ifndef POLYOPS_GPU_INDEX_ADD_INDEX_PUT_H_
#define POLYOPS_GPU_INDEX_ADD_INDEX_PUT_H_

#include <cstdint>

#include "embedding/row_sums.h"
#include "gpu.h"
#include "indices.h"
#include "polyops/ops/index_put.h"

namespace polyops::gpu {
namespace {

// Lookups of two indices (sort.h): rows of the second dimension follow those of a place before.
struct MadeOfTwo {
  struct Loaded {
    Index first, second;
  };
  Indices first, second;

  GPU_DEVICE Loaded load(uint32_t i) const { return {first.load(i), second.load(i)}; }
  GPU_DEVICE bool right(const Loaded& x) const {
    return first.names(first.counted(x.first)) && second.names(second.counted(x.second));
  }
  GPU_DEVICE Lookup lookup(const Loaded& x, uint32_t i) const {
    const uint32_t row = first.row(first.counted(x.first));
    return {row * second.rows + second.row(second.counted(x.second)), i};
  }
};

inline SumSizes sizes_of(const polyops_index_put_args& a) {
  const polyops_tensor& self = a.self;
  return {a.src.sizes[0],
          numel_between(self, 0, a.indices),
          1,
          numel_between(self, a.indices, self.rank),
          self.dtype,
          true};
}

inline const char* put_supports(const void* data) {
  const auto& a = *static_cast<const polyops_index_put_args*>(data);
  if (!has_type(a.self.dtype) || a.src.dtype != a.self.dtype) return "dtype";
  if (a.indices < 1 || a.indices > 2 || a.self.rank < a.indices || a.src.rank != 2) return "shape";
  for (int k = 0; k < a.indices; ++k) {
    if (!are_indices(a.index[k])) return "dtype";
    if (a.index[k].rank != 1 || a.index[k].sizes[0] != a.src.sizes[0]) return "shape";
  }
  const SumSizes sizes = sizes_of(a);
  if (a.src.sizes[1] != sizes.width) return "shape";
  if (const char* reason = sums_fit(sizes)) return reason;
  const bool dense = polyops_is_contiguous(&a.self) != 0 && polyops_is_contiguous(&a.src) != 0;
  return dense ? nullptr : "layout";
}

inline size_t put_scratch(const void* data, int32_t) {
  return sums_scratch(sizes_of(*static_cast<const polyops_index_put_args*>(data)));
}

inline int put(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_index_put_args*>(data);
  RowSums sums = {};
  sums.sizes = sizes_of(a);
  sums.src = a.src.data;
  sums.base = a.self.data;
  sums.dst = a.self.data;
  sums.scale = 1;
  const Indices first = indices_of(a.index[0], a.self.sizes[0]);
  if (a.indices == 1) return sum_rows<true>(Made{first, -1, 1}, sums, ctx);
  return sum_rows<true>(MadeOfTwo{first, indices_of(a.index[1], a.self.sizes[1])}, sums, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_INDEX_ADD_INDEX_PUT_H_
