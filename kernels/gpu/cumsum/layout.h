// How the lines that are summed up lie: next to each other's elements, in rows, or side by side, in
// columns.
#ifndef POLYOPS_GPU_CUMSUM_LAYOUT_H_
#define POLYOPS_GPU_CUMSUM_LAYOUT_H_

#include <cstdint>

#include "gpu.h"
#include "polyops/ops/cumsum.h"
#include "reduction/layout.h"
#include "row.h"
#include "walk.h"

namespace polyops::gpu {
namespace {

struct LinesLayout {
  bool columns;
  Walk<2> kept;  // lines, in dst and in src; of columns the first of `width`
  int64_t n, width;
  int64_t strides[2];  // along a column
};

// Null, or why there is none.
inline const char* find_lines(const polyops_cumsum_args& a, LinesLayout* to) {
  polyops_tensor src = a.src, dst = a.dst;
  src.sizes[a.dim] = dst.sizes[a.dim] = 1;
  *to = {false, make_walk<2>({&dst, &src}), a.src.sizes[a.dim], 1, {}};
  to->strides[0] = a.dst.strides[a.dim];
  to->strides[1] = a.src.strides[a.dim];
  const bool large = polyops_numel(&src) > kMostElements || to->n > kMostElements;
  if (large) return "size";
  if (to->n > 1 && to->strides[0] == 1 && to->strides[1] == 1) return nullptr;
  if (to->kept.strides[0][0] != 1 || to->kept.strides[1][0] != 1) return "layout";
  to->columns = true;
  to->width = to->kept.sizes[0];
  drop_innermost(&to->kept);
  return nullptr;
}

// The sums of src's chunks of `part` elements of each line.
inline ReductionLayout chunks_of(const LinesLayout& of) {
  return {of.columns, of.kept, of.n, 1, 0, of.width, of.strides[1], 1};
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CUMSUM_LAYOUT_H_
