/*
 * Activations with no argument struct of their own: dst = f(src), f given by the op and its
 * scalars.
 *
 * Ops, each with its gradient "<op>_backward":
 *   "mish"         src * tanh(log(1 + exp(src)))                            arXiv:1908.08681
 *   "softplus"     src * beta > threshold ? src : log(1 + exp(src * beta)) / beta
 *                  scalars: beta, threshold
 *   "elu"          scale * (src > 0 ? src : alpha * (exp(input_scale * src) - 1))
 *                  scalars: alpha, scale, input_scale; celu and selu are it     arXiv:1511.07289
 *   "log_sigmoid"  log(1 / (1 + exp(-src)))
 * Definition: the namesakes in torch.nn.functional / aten. log_sigmoid's buffer is of CPUs alone.
 * Layouts   any strides for every tensor, rank 0..8.
 * Types     all tensors of one dtype; computed in float32, the scalars too.
 * Aliasing  dst may be exactly src (backward: grad_src exactly grad_dst or src); no other overlap.
 * Values    NaN stays NaN, but for elu's gradient, which lets grad_dst through as torch's does.
 * mish of -inf is NaN. Empty     never arrives.
 */
#ifndef POLYOPS_OPS_ACTIVATION_H_
#define POLYOPS_OPS_ACTIVATION_H_

#include "polyops/tensor_view.h"

#define POLYOPS_ACTIVATION_SCALARS 3

typedef struct polyops_activation_args {
  uint32_t struct_size;
  int32_t reserved;
  double scalars[POLYOPS_ACTIVATION_SCALARS]; /* as above; those that an op has not are 0 */
  polyops_tensor src;
  polyops_tensor dst;
} polyops_activation_args;

/* grad_src = grad_dst * d f(src) / d src */
typedef struct polyops_activation_backward_args {
  uint32_t struct_size;
  int32_t of_result; /* of elu: src is not its input but its result */
  double scalars[POLYOPS_ACTIVATION_SCALARS];
  polyops_tensor grad_dst;
  polyops_tensor src;
  polyops_tensor grad_src;
} polyops_activation_backward_args;

#endif /* POLYOPS_OPS_ACTIVATION_H_ */
