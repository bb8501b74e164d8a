/*
 * relu: max(src, 0), where NaN stays NaN.
 * Definition: torch.relu / aten::relu; its backward is aten::threshold_backward.
 *
 * Ops: "relu" (polyops_relu_args), "relu_backward" (polyops_relu_backward_args).
 * Layouts   any strides for every tensor, rank 0..8.
 * Types     all tensors of one dtype.
 * Aliasing  dst may be exactly src (backward: grad_src exactly grad_dst or src); no other overlap.
 * Empty     never arrives.
 */
#ifndef POLYOPS_OPS_RELU_H_
#define POLYOPS_OPS_RELU_H_

#include "polyops/tensor_view.h"

typedef struct polyops_relu_args {
  uint32_t struct_size;
  int32_t reserved;
  polyops_tensor src;
  polyops_tensor dst;
} polyops_relu_args;

/* grad_src = src <= threshold ? 0 : grad_dst; so a NaN in src lets grad_dst through, as torch's. */
typedef struct polyops_relu_backward_args {
  uint32_t struct_size;
  int32_t reserved;
  double threshold;
  polyops_tensor grad_dst;
  polyops_tensor src; /* relu's input or its result: the sign test is the same */
  polyops_tensor grad_src;
} polyops_relu_backward_args;

#endif /* POLYOPS_OPS_RELU_H_ */
