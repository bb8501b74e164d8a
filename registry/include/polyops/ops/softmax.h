/*
 * softmax: dst = exp(src - max(src)) / sum(exp(src - max(src))) along dim.
 * Definition: torch.softmax / aten::_softmax.
 * log_softmax: dst = src - max(src) - log(sum(exp(src - max(src)))) along dim.
 * Definition: torch.log_softmax / aten::_log_softmax.
 *
 * Ops: "softmax", "log_softmax" (polyops_softmax_args), "softmax_backward", "log_softmax_backward"
 * (polyops_softmax_backward_args).
 * Layouts   any strides for every tensor, rank 1..8 (a scalar arrives as rank 1, size 1).
 * Types     all tensors of one dtype; accumulation in float32, in float64 for float64. Or, where a
 *           kernel says so (half_to_float): src and grad_src float16 or bfloat16, dst and grad_dst
 *           float32.
 * Aliasing  dst may be exactly src (backward: grad_src may be exactly grad_dst); no other overlap.
 * Empty     never arrives: no dimension is 0.
 * Special   a row with a NaN or +inf, and a row of nothing but -inf, is all NaN, as torch's.
 */
#ifndef POLYOPS_OPS_SOFTMAX_H_
#define POLYOPS_OPS_SOFTMAX_H_

#include "polyops/tensor_view.h"

typedef struct polyops_softmax_args {
  uint32_t struct_size;
  int32_t dim; /* 0 <= dim < rank */
  polyops_tensor src;
  polyops_tensor dst; /* sizes of src */
} polyops_softmax_args;

/*
 * softmax: grad_src = dst * (grad_dst - sum(grad_dst * dst)) along dim.
 * log_softmax: grad_src = grad_dst - exp(dst) * sum(grad_dst) along dim.
 */
typedef struct polyops_softmax_backward_args {
  uint32_t struct_size;
  int32_t dim;
  polyops_tensor grad_dst;
  polyops_tensor dst; /* what forward returned */
  polyops_tensor grad_src;
} polyops_softmax_backward_args;

#endif /* POLYOPS_OPS_SOFTMAX_H_ */
