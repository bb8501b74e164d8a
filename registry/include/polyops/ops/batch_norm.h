/*
 * batch_norm: over each channel of all samples, in training with the moments of the batch, var
 * being the biased variance, rstd = 1 / sqrt(var(src) + eps);  dst = (src - mean) * rstd * weight +
 * bias; running_mean += momentum * (mean - running_mean); running_var += momentum * (var * n / (n -
 * 1) - running_var)   of n elements, else with mean = running_mean and var = running_var, which do
 * not change. Definition: torch.nn.functional.batch_norm / aten::native_batch_norm
 * (arXiv:1502.03167).
 *
 * Ops: "batch_norm" (polyops_batch_norm_args),
 *      "batch_norm_backward" (polyops_batch_norm_backward_args).
 * Layouts   src, dst, grad_dst, grad_src: (samples, channels, pixels), all contiguous, or all with
 *           channels next to each other: strides (channels * pixels, 1, channels). Others
 * contiguous. Types     src, dst, grad_dst, grad_src: one dtype. All others: that dtype, or
 * float32. Accumulation in float32. Aliasing  none between outputs and inputs. Empty     never
 * arrives: no dimension is 0.
 */
#ifndef POLYOPS_OPS_BATCH_NORM_H_
#define POLYOPS_OPS_BATCH_NORM_H_

#include "polyops/tensor_view.h"

typedef struct polyops_batch_norm_args {
  uint32_t struct_size;
  int32_t training;
  double momentum;
  double eps;
  polyops_tensor src;
  polyops_tensor weight;       /* optional; (channels), as all below */
  polyops_tensor bias;         /* optional */
  polyops_tensor running_mean; /* optional in training, which writes it; with running_var */
  polyops_tensor running_var;
  polyops_tensor dst;
  polyops_tensor mean; /* optional unless training; with rstd */
  polyops_tensor rstd;
} polyops_batch_norm_args;

/*
 * With x_hat = (src - mean) * rstd and g = grad_dst * weight, over each channel of n elements:
 *   grad_src = rstd * (g - sum(g) / n - x_hat * sum(g * x_hat) / n) in training, else rstd * g
 *   grad_weight = sum(grad_dst * x_hat);  grad_bias = sum(grad_dst)
 * An output that is absent (rank -1) is not computed. Results do not depend on the order in which
 * threads finish.
 */
typedef struct polyops_batch_norm_backward_args {
  uint32_t struct_size;
  int32_t training;
  double eps; /* of rstd where that is absent */
  polyops_tensor grad_dst;
  polyops_tensor src;
  polyops_tensor mean;        /* those of the batch; unless training, running_mean as well */
  polyops_tensor rstd;        /* optional unless training: from var */
  polyops_tensor var;         /* optional; running_var */
  polyops_tensor weight;      /* optional */
  polyops_tensor grad_src;    /* optional */
  polyops_tensor grad_weight; /* optional */
  polyops_tensor grad_bias;   /* optional */
} polyops_batch_norm_backward_args;

#endif /* POLYOPS_OPS_BATCH_NORM_H_ */
