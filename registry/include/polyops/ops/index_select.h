/*
 * index_select: dst has the elements of src that index names along dim, in its order:
 *   dst[.., i, ..] = src[.., index[i], ..].
 * from_end: -1 is the last of src's places along dim, and so on; without it no index is negative.
 * Definition: torch.index_select / aten::index_select, where F.embedding of a matrix ends; with
 * from_end, aten::index.Tensor of one tensor of indices.
 *
 * Ops: "index_select" (polyops_index_select_args).
 * Layouts   src: rank 1..8, any strides; index: rank 1, any stride; dst: of src's sizes, but for
 *           that of dim, where it has index's; any strides.
 * Types     index int32 or int64; src and dst one dtype. Bits are copied, so a type that the ABI
 *           has no name for may come as another of its size.
 * Aliasing  none between dst and the others.
 * Empty     never arrives: no dimension is 0.
 * Special   an index that is no place of src: nothing is read or written out of bounds, and the
 *           call fails as the device type's assertions do.
 */
#ifndef POLYOPS_OPS_INDEX_SELECT_H_
#define POLYOPS_OPS_INDEX_SELECT_H_

#include "polyops/tensor_view.h"

typedef struct polyops_index_select_args {
  uint32_t struct_size;
  int32_t dim; /* 0 <= dim < rank */
  polyops_tensor src;
  polyops_tensor index;
  polyops_tensor dst;
  int32_t from_end; /* 0 or 1 */
  int32_t reserved;
} polyops_index_select_args;

#endif /* POLYOPS_OPS_INDEX_SELECT_H_ */
