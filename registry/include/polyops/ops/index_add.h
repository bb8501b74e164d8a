/*
 * index_add: dst is self, with alpha times src's rows added where index names them along dim:
 *   dst[.., v, ..] = self[.., v, ..] + alpha * sum over all i with index[i] = v of src[.., i, ..].
 * from_end: -1 is the last place along dim, and so on; without it no index is negative.
 * Definition: torch.Tensor.index_add_ / aten::index_add.
 *
 * Ops: "index_add" (polyops_index_add_args).
 * Layouts   self, dst: of one size, rank 1..8; src: the same, but along dim, where it has index's
 *           size; index: rank 1, any stride; the others contiguous.
 * Types     index int32 or int64; the others one dtype. Accumulation in float32, in float64 for
 *           float64. Sums do not depend on the order in which threads finish.
 * Aliasing  in_place: dst is self, and what no index names stays as it is. Else none.
 * Empty     never arrives: no dimension is 0.
 * Special   an index that is no place along dim: nothing is read or written out of bounds, and the
 *           call fails as the device type's assertions do.
 */
#ifndef POLYOPS_OPS_INDEX_ADD_H_
#define POLYOPS_OPS_INDEX_ADD_H_

#include "polyops/tensor_view.h"

typedef struct polyops_index_add_args {
  uint32_t struct_size;
  int32_t dim; /* 0 <= dim < rank */
  polyops_tensor self;
  polyops_tensor index;
  polyops_tensor src;
  polyops_tensor dst;
  double alpha;
  int32_t in_place; /* 0 or 1 */
  int32_t from_end; /* 0 or 1 */
} polyops_index_add_args;

#endif /* POLYOPS_OPS_INDEX_ADD_H_ */
