/*
 * gather: dst has an element of src for each element of index, whose place along dim index names:
 *   dst[.., i, ..] = src[.., index[.., i, ..], ..].
 * Definition: torch.gather / aten::gather.
 *
 * Ops: "gather" (polyops_gather_args).
 * Layouts   src, index: of one rank, 1..8, any strides, index often expanded; index nowhere larger
 *           than src but along dim; dst: of index's sizes, any strides.
 * Types     index int32 or int64; src and dst one dtype. Bits are copied, so a type that the ABI
 *           has no name for may come as another of its size.
 * Aliasing  none between dst and the others.
 * Empty     never arrives: no dimension is 0.
 * Special   an index that is no place of src, negative ones too: nothing is read or written out of
 *           bounds, and the call fails as the device type's assertions do.
 */
#ifndef POLYOPS_OPS_GATHER_H_
#define POLYOPS_OPS_GATHER_H_

#include "polyops/tensor_view.h"

typedef struct polyops_gather_args {
  uint32_t struct_size;
  int32_t dim; /* 0 <= dim < rank */
  polyops_tensor src;
  polyops_tensor index;
  polyops_tensor dst;
} polyops_gather_args;

#endif /* POLYOPS_OPS_GATHER_H_ */
