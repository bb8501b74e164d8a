/*
 * rms_norm: over the trailing normalized_rank dimensions, of length n,
 *   rstd = 1 / sqrt(sum(src^2) / n + eps);  dst = src * rstd * weight.
 * Definition: torch.nn.functional.rms_norm / aten::_fused_rms_norm (arXiv:1910.07467).
 *
 * Ops: "rms_norm" (polyops_rms_norm_args), "rms_norm_backward" (polyops_rms_norm_backward_args).
 * Layouts   src, dst, grad_dst, grad_src: any strides; the others contiguous.
 * Types     all of one dtype but rstd, which is float32. Accumulation in float32.
 * Range     squares that leave the range of float32 cost a row nothing: it is taken again, smaller.
 *           A row with an infinity has rstd 0, as torch's: 0 beside it, and NaN in its place.
 * Aliasing  none between outputs and inputs.
 * Empty     never arrives: no dimension is 0.
 */
#ifndef POLYOPS_OPS_RMS_NORM_H_
#define POLYOPS_OPS_RMS_NORM_H_

#include "polyops/tensor_view.h"

typedef struct polyops_rms_norm_args {
  uint32_t struct_size;
  int32_t normalized_rank; /* 1..rank of src */
  double eps;
  polyops_tensor src;
  polyops_tensor weight; /* optional; sizes of src's trailing dimensions */
  polyops_tensor dst;
  polyops_tensor rstd; /* one element per row, in row-major order of the leading dimensions */
} polyops_rms_norm_args;

/*
 * With x_hat = src * rstd and g = grad_dst * weight, over each row of length n:
 *   grad_src = rstd * (g - x_hat * sum(g * x_hat) / n)
 *   grad_weight = sum over rows of grad_dst * x_hat
 * An output that is absent (rank -1) is not computed. Results do not depend on the order in which
 * threads finish.
 */
typedef struct polyops_rms_norm_backward_args {
  uint32_t struct_size;
  int32_t normalized_rank;
  polyops_tensor grad_dst;
  polyops_tensor src;
  polyops_tensor rstd;
  polyops_tensor weight;      /* optional */
  polyops_tensor grad_src;    /* optional */
  polyops_tensor grad_weight; /* optional */
} polyops_rms_norm_backward_args;

#endif /* POLYOPS_OPS_RMS_NORM_H_ */
