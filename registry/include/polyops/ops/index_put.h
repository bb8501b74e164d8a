/*
 * index_put: self has rows of values added where indices name them, of its first dimension, or of
 * its first two:
 *   self[v, ..] += sum over all i with index[0][i] = v of src[i, ..].
 *   self[v, w, ..] += sum over all i with index[0][i] = v and index[1][i] = w of src[i, ..].
 * -1 is the last place, and so on.
 * Definition: aten::_index_put_impl_ of values that accumulate, the gradient of x[i] and x[i, j].
 *
 * Ops: "index_put" (polyops_index_put_args).
 * Layouts   self: rank 1..8, at least as many as there are indices; index: rank 1, of one size, any
 *           stride; src: rank 2: that size by what lies behind; self and src contiguous.
 * Types     index int32 or int64, each; self and src one dtype. Accumulation in float32, in float64
 *           for float64. Sums do not depend on the order in which threads finish.
 * Aliasing  none. What no index names stays as it is.
 * Empty     never arrives: no dimension is 0.
 * Special   an index that is no place of self: nothing is read or written out of bounds, and the
 *           call fails as the device type's assertions do.
 */
#ifndef POLYOPS_OPS_INDEX_PUT_H_
#define POLYOPS_OPS_INDEX_PUT_H_

#include "polyops/tensor_view.h"

typedef struct polyops_index_put_args {
  uint32_t struct_size;
  int32_t indices; /* how many: 1 or 2 */
  polyops_tensor self;
  polyops_tensor index[2];
  polyops_tensor src;
} polyops_index_put_args;

#endif /* POLYOPS_OPS_INDEX_PUT_H_ */
