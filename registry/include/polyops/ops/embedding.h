/*
 * embedding_backward: the gradient of a table whose rows were looked up,
 *   grad_weight[v] = sum over all i with index[i] = v of grad_dst[i], zeros where there is none;
 * a row named `padding` is zeros, whatever its sum. scale_by_freq: each sum is divided by the
 * number of its terms. The lookup itself is index_select.
 * Definition: torch.nn.functional.embedding / aten::embedding_dense_backward.
 *
 * Ops: "embedding_backward" (polyops_embedding_backward_args).
 * Layouts   grad_dst: rank 2, lookups by width; index: rank 1, lookups; grad_weight: rank 2, rows
 *           by width; all contiguous.
 * Types     index int32 or int64; the others one dtype. Accumulation in float32, in float64 for
 *           float64. Sums do not depend on the order in which threads finish.
 * Aliasing  none between grad_weight and the others.
 * Empty     never arrives: no dimension is 0.
 * Special   an index that is no row: nothing is read or written out of bounds, and the call fails
 *           as the device type's assertions do.
 */
#ifndef POLYOPS_OPS_EMBEDDING_H_
#define POLYOPS_OPS_EMBEDDING_H_

#include "polyops/tensor_view.h"

typedef struct polyops_embedding_backward_args {
  uint32_t struct_size;
  int32_t scale_by_freq; /* 0 or 1 */
  int64_t padding;       /* no row: there is none */
  polyops_tensor grad_dst;
  polyops_tensor index;
  polyops_tensor grad_weight;
} polyops_embedding_backward_args;

#endif /* POLYOPS_OPS_EMBEDDING_H_ */
