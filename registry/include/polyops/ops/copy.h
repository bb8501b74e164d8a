/*
 * copy: dst is src, element by element.
 * Definition: torch.Tensor.copy_ / aten::copy_ of two tensors of one dtype on one device.
 *
 * Ops: "copy" (polyops_copy_args).
 * Layouts   any strides of src, 0 where it is expanded; any strides of dst that give each element a
 *           place of its own. Both of the same sizes, rank 0..8.
 * Types     both of one dtype. Bits are copied, so a type that the ABI has no name for may come as
 *           another of its size.
 * Aliasing  none between dst and src.
 * Empty     never arrives: no dimension is 0.
 */
#ifndef POLYOPS_OPS_COPY_H_
#define POLYOPS_OPS_COPY_H_

#include "polyops/tensor_view.h"

typedef struct polyops_copy_args {
  uint32_t struct_size;
  int32_t reserved;
  polyops_tensor src;
  polyops_tensor dst;
} polyops_copy_args;

#endif /* POLYOPS_OPS_COPY_H_ */
