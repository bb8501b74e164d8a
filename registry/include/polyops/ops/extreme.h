/*
 * argmax, argmin, max and min over one dimension: indices[i] is the place, in dimension dim, of the
 * largest or the smallest of the elements of src that differ from i in that dimension alone;
 * values[i] is that element, bit for bit. Definition: torch.argmax, torch.argmin, torch.max(x,
 * dim), torch.min(x, dim) / aten::argmax, aten::max.dim and so on.
 *
 * Ops: "argmax", "argmin", "max", "min" (polyops_extreme_args).
 * Layouts   any strides for src, indices and values, of the same rank; indices and values have
 * src's sizes, but 1 in dimension dim, whatever was asked to be kept. Types     indices int64;
 * values of src's dtype, absent of argmax and argmin. Aliasing  none between outputs and src, nor
 * between the outputs; elements of src may share memory. Empty     never arrives: no dimension is
 * 0. Special   of equal elements, as 0 and -0 are, the first counts; NaN wins over anything, and of
 * NaNs the first counts.
 */
#ifndef POLYOPS_OPS_EXTREME_H_
#define POLYOPS_OPS_EXTREME_H_

#include "polyops/tensor_view.h"

typedef struct polyops_extreme_args {
  uint32_t struct_size;
  int32_t dim; /* 0 of a tensor without dimensions */
  polyops_tensor src;
  polyops_tensor indices;
  polyops_tensor values; /* optional */
} polyops_extreme_args;

#endif /* POLYOPS_OPS_EXTREME_H_ */
