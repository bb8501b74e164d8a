/*
 * cumsum: dst[.., i, ..] is the sum of src[.., j, ..] over j <= i, along dim.
 * Definition: torch.cumsum / aten::cumsum.
 *
 * Ops: "cumsum" (polyops_cumsum_args).
 * Layouts   any strides for src and dst, of the same sizes, rank 1..8.
 * Types     dst of src's dtype or float32. Accumulation in float32, in float64 for float64. Results
 * do not depend on the order in which threads finish. Aliasing  dst may be src, with the same
 * strides; else none. Empty     never arrives: no dimension is 0. Special   behind NaN all is NaN;
 * behind infinity that, or NaN.
 */
#ifndef POLYOPS_OPS_CUMSUM_H_
#define POLYOPS_OPS_CUMSUM_H_

#include "polyops/tensor_view.h"

typedef struct polyops_cumsum_args {
  uint32_t struct_size;
  int32_t dim; /* 0 <= dim < rank */
  polyops_tensor src;
  polyops_tensor dst;
} polyops_cumsum_args;

#endif /* POLYOPS_OPS_CUMSUM_H_ */
