/*
 * glu: of src's two halves a and b along a dimension, a / (1 + exp(-b)).
 * Definition: torch.nn.functional.glu / aten::glu (arXiv:1612.08083).
 *
 * Ops: "glu" (polyops_glu_args), "glu_backward" (polyops_glu_backward_args).
 * Layouts   any strides for every tensor, rank 1..8.
 * Types     all tensors of one dtype; computed in float32.
 * Sizes     src has an even number of elements along dim, dst and grad_dst half as many.
 * Aliasing  none.
 * Empty     never arrives.
 */
#ifndef POLYOPS_OPS_GLU_H_
#define POLYOPS_OPS_GLU_H_

#include "polyops/tensor_view.h"

typedef struct polyops_glu_args {
  uint32_t struct_size;
  int32_t dim;
  polyops_tensor src;
  polyops_tensor dst;
} polyops_glu_args;

/* Of grad_src, which has src's sizes, the half of a is grad_dst * s, that of b grad_dst * a * s *
 * (1 - s), with s = 1 / (1 + exp(-b)). */
typedef struct polyops_glu_backward_args {
  uint32_t struct_size;
  int32_t dim;
  polyops_tensor grad_dst;
  polyops_tensor src;
  polyops_tensor grad_src;
} polyops_glu_backward_args;

#endif /* POLYOPS_OPS_GLU_H_ */
