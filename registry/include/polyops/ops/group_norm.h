/*
 * group_norm: over each group of channels of each sample, var being the biased variance,
 *   rstd = 1 / sqrt(var(src) + eps);  dst = (src - mean) * rstd * weight + bias.
 * Definition: torch.nn.functional.group_norm / aten::native_group_norm (arXiv:1803.08494).
 *
 * Ops: "group_norm" (polyops_group_norm_args),
 *      "group_norm_backward" (polyops_group_norm_backward_args).
 * Layouts   all contiguous. src, dst, grad_dst, grad_src: (samples, channels, pixels), of which
 *           groups divides channels.
 * Types     src, dst, grad_dst, grad_src: one dtype. weight, bias and their gradients, mean, rstd:
 *           that dtype, or float32. Accumulation in float32.
 * Aliasing  none between outputs and inputs.
 * Empty     never arrives: no dimension is 0.
 */
#ifndef POLYOPS_OPS_GROUP_NORM_H_
#define POLYOPS_OPS_GROUP_NORM_H_

#include "polyops/tensor_view.h"

typedef struct polyops_group_norm_args {
  uint32_t struct_size;
  int32_t groups;
  double eps;
  polyops_tensor src;
  polyops_tensor weight; /* optional; (channels) */
  polyops_tensor bias;   /* optional; (channels) */
  polyops_tensor dst;
  polyops_tensor mean; /* (samples, groups) */
  polyops_tensor rstd;
} polyops_group_norm_args;

/*
 * With x_hat = (src - mean) * rstd and g = grad_dst * weight, over each group of n elements:
 *   grad_src = rstd * (g - sum(g) / n - x_hat * sum(g * x_hat) / n)
 *   grad_weight = sum over samples and pixels of grad_dst * x_hat;  grad_bias = that of grad_dst
 * An output that is absent (rank -1) is not computed. Results do not depend on the order in which
 * threads finish.
 */
typedef struct polyops_group_norm_backward_args {
  uint32_t struct_size;
  int32_t groups;
  polyops_tensor grad_dst;
  polyops_tensor src;
  polyops_tensor mean;
  polyops_tensor rstd;
  polyops_tensor weight;      /* optional */
  polyops_tensor grad_src;    /* optional */
  polyops_tensor grad_weight; /* optional */
  polyops_tensor grad_bias;   /* optional */
} polyops_group_norm_backward_args;

#endif /* POLYOPS_OPS_GROUP_NORM_H_ */
