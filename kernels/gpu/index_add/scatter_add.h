// scatter_add as sums of rows. Where the index repeats itself behind dim, as it does when it is
// expanded, rows are what lies there, else elements. Where all of it is one index of dim it is
// index_add; else the rows of each place before dim follow those of the one before.
#ifndef POLYOPS_GPU_INDEX_ADD_SCATTER_ADD_H_
#define POLYOPS_GPU_INDEX_ADD_SCATTER_ADD_H_

#include <cstdint>

#include "division.h"
#include "embedding/row_sums.h"
#include "gpu.h"
#include "indices.h"
#include "polyops/ops/scatter_add.h"

namespace polyops::gpu {
namespace {

// Of neighbouring runs each lane would read some bytes of every other row.
constexpr int64_t kLeastRun = 32;  // bytes, unless there is but one run

// Lookups of an index of three dimensions: before dim, dim, and behind it.
struct MadeOfPlaces {
  using Loaded = Index;
  Indices index;  // of elements next to each other
  uint32_t outer_step, step, inner_step;
  Division of_inner, of_count;
  int32_t from_end;

  GPU_DEVICE Index load(uint32_t i) const {
    const uint32_t inner = take_remainder(of_inner, &i);
    const uint32_t place = take_remainder(of_count, &i);
    return index.load(i * outer_step + place * step + inner * inner_step);
  }
  GPU_DEVICE Index counted(const Index& x) const { return from_end != 0 ? index.counted(x) : x; }
  GPU_DEVICE bool right(const Index& x) const { return index.names(counted(x)); }
  GPU_DEVICE Lookup lookup(const Index& x, uint32_t i) const {
    uint32_t outer = i;
    forget_bits(&outer);  // else the quotients of all loads wait in registers
    const uint32_t inner = take_remainder(of_inner, &outer);
    outer = of_count.quotient(outer);
    const uint32_t row = outer * index.rows + index.row(counted(x));
    return {row * of_inner.divisor + inner, i};
  }
};

struct Scattered {
  SumSizes sizes;
  bool is_index_add;
  int64_t outer_step, inner_step;  // of the index, in elements
};

// False if the index has more dimensions than three.
inline bool scattered(const polyops_scatter_add_args& a, Scattered* s) {
  s->outer_step = s->inner_step = 0;
  if (!merges(a.index, 0, a.dim, &s->outer_step)) return false;
  if (!merges(a.index, a.dim + 1, a.index.rank, &s->inner_step)) return false;
  const int64_t count = a.index.sizes[a.dim], places = a.dst.sizes[a.dim];
  const int64_t outer = numel_between(a.dst, 0, a.dim);
  const int64_t behind = numel_between(a.dst, a.dim + 1, a.dst.rank);
  const bool wide = outer == 1 || behind * polyops_dtype_size(a.dst.dtype) >= kLeastRun;
  s->is_index_add = s->outer_step == 0 && s->inner_step == 0 && wide;
  s->sizes = {count, places, outer, behind, a.dst.dtype, a.in_place != 0, false};
  if (s->is_index_add) return true;
  const int64_t inner = s->inner_step == 0 ? 1 : behind;
  s->sizes.lookups = outer * count * inner;
  s->sizes.rows = outer * places * inner;
  s->sizes.outer = 1;
  s->sizes.width = behind / inner;
  return true;
}

// Of the tensor's elements.
inline int64_t last_offset(const polyops_tensor& t) {
  int64_t last = 0;
  for (int d = 0; d < t.rank; ++d) last += (t.sizes[d] - 1) * t.strides[d];
  return last;
}

inline const char* scatter_supports(const void* data) {
  const auto& a = *static_cast<const polyops_scatter_add_args*>(data);
  const polyops_tensor &self = a.self, &index = a.index, &src = a.src, &dst = a.dst;
  if (!has_type(dst.dtype) || self.dtype != dst.dtype || src.dtype != dst.dtype) return "dtype";
  if (!are_indices(index)) return "dtype";
  if (self.rank != dst.rank || src.rank != dst.rank || index.rank != dst.rank) return "shape";
  for (int d = 0; d < dst.rank; ++d) {
    if (self.sizes[d] != dst.sizes[d] || src.sizes[d] != index.sizes[d]) return "shape";
    if (d != a.dim && src.sizes[d] != dst.sizes[d]) return "shape";
  }
  Scattered s;
  if (!scattered(a, &s)) return "layout";
  if (const char* reason = sums_fit(s.sizes)) return reason;
  if (last_offset(index) > kMostElements) return "size";
  const bool dense = polyops_is_contiguous(&self) != 0 && polyops_is_contiguous(&src) != 0;
  return dense && polyops_is_contiguous(&dst) != 0 ? nullptr : "layout";
}

inline size_t scatter_scratch(const void* data, int32_t) {
  Scattered s;
  scattered(*static_cast<const polyops_scatter_add_args*>(data), &s);
  return sums_scratch(s.sizes);
}

// Of the first place before dim, along it.
inline Indices places_of(const polyops_scatter_add_args& a) {
  const bool is_short = a.index.dtype == POLYOPS_INT32;
  return {a.index.data, a.index.strides[a.dim] * (is_short ? 1 : 2),
          static_cast<uint32_t>(a.dst.sizes[a.dim]), is_short};
}

inline int scatter(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_scatter_add_args*>(data);
  Scattered s;
  scattered(a, &s);
  RowSums sums = {};
  sums.sizes = s.sizes;
  sums.src = a.src.data;
  sums.base = a.self.data;
  sums.dst = a.dst.data;
  sums.scale = 1;
  Indices index = places_of(a);
  if (s.is_index_add) return sum_rows<true>(Made{index, -1, a.from_end}, sums, ctx);
  index.step = index.is_short != 0 ? 1 : 2;
  const int64_t inner = s.inner_step == 0 ? 1 : numel_between(a.dst, a.dim + 1, a.dst.rank);
  const MadeOfPlaces made = {index,
                             static_cast<uint32_t>(s.outer_step),
                             static_cast<uint32_t>(a.index.strides[a.dim]),
                             static_cast<uint32_t>(s.inner_step),
                             Division(static_cast<uint32_t>(inner)),
                             Division(static_cast<uint32_t>(a.index.sizes[a.dim])),
                             a.from_end};
  return sum_rows<true>(made, sums, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_INDEX_ADD_SCATTER_ADD_H_
