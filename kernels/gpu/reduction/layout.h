// How a reduction's elements lie: in rows, where neighbours belong to one result, or in columns,
// where they belong to different ones.
#ifndef POLYOPS_GPU_REDUCTION_LAYOUT_H_
#define POLYOPS_GPU_REDUCTION_LAYOUT_H_

#include <cstdint>

#include "gpu.h"
#include "polyops/ops/reduction.h"
#include "row.h"
#include "walk.h"

namespace polyops::gpu {
namespace {

// Rows: `count` runs of n neighbours, run_stride apart, make a result. Columns: `width` neighbours,
// whose results are dst_step apart; n rows of them, `stride` apart, in `count` runs.
struct ReductionLayout {
  bool columns;
  Walk<2> kept;  // results, in dst and in src; of columns the first
  int64_t n, count, run_stride;
  int64_t width, stride, dst_step;
};

template <int kTensors>
void drop_innermost(Walk<kTensors>* walk) {
  if (walk->rank == 1) {
    walk->sizes[0] = 1;
    return;
  }
  --walk->rank;
  for (int d = 0; d < walk->rank; ++d) {
    walk->sizes[d] = walk->sizes[d + 1];
    for (int t = 0; t < kTensors; ++t) walk->strides[t][d] = walk->strides[t][d + 1];
  }
}

inline void use_rows(Walk<1> reduced, ReductionLayout* to) {
  to->n = reduced.sizes[0];
  to->width = to->stride = to->dst_step = 1;
  drop_innermost(&reduced);
  to->count = reduced.sizes[0];
  to->run_stride = reduced.strides[0][0];
}

// The larger of two dimensions is that of the rows.
inline void use_columns(const Walk<1>& reduced, ReductionLayout* to) {
  const bool two = reduced.rank == 2;
  const int rows = two && reduced.sizes[1] > reduced.sizes[0] ? 1 : 0;
  to->columns = true;
  to->width = to->kept.sizes[0];
  to->dst_step = to->kept.strides[0][0];
  drop_innermost(&to->kept);
  to->n = reduced.sizes[rows];
  to->stride = reduced.strides[0][rows];
  to->count = two ? reduced.sizes[1 - rows] : 1;
  to->run_stride = two ? reduced.strides[0][1 - rows] : 0;
}

// Null, or why there is none.
inline const char* find_layout(const polyops_reduction_args& a, ReductionLayout* to) {
  polyops_tensor dst = a.dst, kept = a.src, reduced = a.src;
  for (int d = 0; d < a.src.rank; ++d) {
    const bool is_reduced = (a.dims >> d & 1) != 0;
    if (dst.sizes[d] != (is_reduced ? 1 : kept.sizes[d])) return "shape";
    (is_reduced ? kept : reduced).sizes[d] = 1;
  }
  *to = {};
  to->kept = make_walk<2>({&dst, &kept});
  const Walk<1> walk = make_walk<1>({&reduced});
  if (walk.rank > 2) return "layout";
  if (walk.sizes[0] > 1 && walk.strides[0][0] == 1) {
    use_rows(walk, to);
  } else if (to->kept.strides[1][0] == 1) {
    use_columns(walk, to);
  } else {
    return "layout";
  }
  // Each run of columns leaves partial sums.
  if (to->columns && to->count > 1 && to->n < 8) return "layout";
  const int64_t all = polyops_numel(&dst);
  const bool small = all <= kMostElements && to->n <= kMostElements && to->count <= kMostElements;
  return small ? nullptr : "size";
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_REDUCTION_LAYOUT_H_
