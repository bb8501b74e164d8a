/*
 * cat: dst is the srcs one behind the other along dim.
 * Definition: torch.cat / aten::cat.
 *
 * Ops: "cat" (polyops_cat_args).
 * Layouts   any strides for every tensor, rank 1..8; each src has dst's sizes, but for that of dim,
 *           where dst's is the sum of theirs.
 * Types     all tensors of one dtype. Bits are copied, so a type that the ABI has no name for may
 *           come as another of its size.
 * Aliasing  none between dst and srcs; srcs may overlap each other.
 * Empty     never arrives: no dimension is 0, and count is at least 1. A caller leaves out the srcs
 *           that have no elements.
 */
#ifndef POLYOPS_OPS_CAT_H_
#define POLYOPS_OPS_CAT_H_

#include "polyops/tensor_view.h"

typedef struct polyops_cat_args {
  uint32_t struct_size;
  int32_t dim; /* 0 <= dim < rank */
  int64_t count;
  const polyops_tensor* srcs; /* count of them, the caller's; valid for one call */
  polyops_tensor dst;
} polyops_cat_args;

#endif /* POLYOPS_OPS_CAT_H_ */
