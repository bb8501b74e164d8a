/*
 * layer_norm: over the trailing normalized_rank dimensions, var being the biased variance,
 *   rstd = 1 / sqrt(var(src) + eps);  dst = (src - mean) * rstd * weight + bias.
 * Definition: torch.nn.functional.layer_norm / aten::native_layer_norm (arXiv:1607.06450).
 *
 * Ops: "layer_norm" (polyops_layer_norm_args),
 *      "layer_norm_backward" (polyops_layer_norm_backward_args).
 * Layouts   src, dst, grad_dst, grad_src: any strides; the others contiguous.
 * Types     src, dst, grad_dst, grad_src: one dtype. weight, bias and their gradients: that dtype,
 *           or all float32 beside 16 bits. mean, rstd: float32 if weight or bias is, else src's; on
 *           GPUs float32 or src's, whatever weight and bias are (stock's are float32 there).
 *           Accumulation in float32, in float64 for float64.
 * Aliasing  none between outputs and inputs.
 * Empty     never arrives: no dimension is 0.
 */
#ifndef POLYOPS_OPS_LAYER_NORM_H_
#define POLYOPS_OPS_LAYER_NORM_H_

#include "polyops/tensor_view.h"

typedef struct polyops_layer_norm_args {
  uint32_t struct_size;
  int32_t normalized_rank; /* 1..rank of src */
  double eps;
  polyops_tensor src;
  polyops_tensor weight; /* optional; sizes of src's trailing dimensions */
  polyops_tensor bias;   /* optional */
  polyops_tensor dst;
  polyops_tensor mean; /* one element per row, in row-major order of the leading dimensions */
  polyops_tensor rstd;
} polyops_layer_norm_args;

/*
 * With x_hat = (src - mean) * rstd and g = grad_dst * weight, over each row of length n:
 *   grad_src = rstd * (g - sum(g) / n - x_hat * sum(g * x_hat) / n)
 *   grad_weight = sum over rows of grad_dst * x_hat;  grad_bias = sum over rows of grad_dst
 * An output that is absent (rank -1) is not computed. Results do not depend on the order in which
 * threads finish.
 */
typedef struct polyops_layer_norm_backward_args {
  uint32_t struct_size;
  int32_t normalized_rank;
  polyops_tensor grad_dst;
  polyops_tensor src;
  polyops_tensor mean;
  polyops_tensor rstd;
  polyops_tensor weight;      /* optional */
  polyops_tensor grad_src;    /* optional */
  polyops_tensor grad_weight; /* optional */
  polyops_tensor grad_bias;   /* optional */
} polyops_layer_norm_backward_args;

#endif /* POLYOPS_OPS_LAYER_NORM_H_ */
