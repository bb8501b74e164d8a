/*
 * gelu: src * Phi(src), Phi the standard normal distribution, by erf or by the tanh approximation.
 * Definition: torch.nn.functional.gelu / aten::gelu (arXiv:1606.08415).
 *
 * Ops: "gelu" (polyops_gelu_args), "gelu_backward" (polyops_gelu_backward_args).
 * Layouts   any strides for every tensor, rank 0..8.
 * Types     all tensors of one dtype; computed in float32, in float64 for float64.
 * Aliasing  dst may be exactly src (backward: grad_src exactly grad_dst or src); no other overlap.
 * Empty     never arrives.
 */
#ifndef POLYOPS_OPS_GELU_H_
#define POLYOPS_OPS_GELU_H_

#include "polyops/tensor_view.h"

typedef struct polyops_gelu_args {
  uint32_t struct_size;
  int32_t tanh; /* 0: x/2 (1 + erf(x/sqrt 2)); 1: x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
  polyops_tensor src;
  polyops_tensor dst;
} polyops_gelu_args;

/* grad_src = grad_dst * d gelu(src) / d src */
typedef struct polyops_gelu_backward_args {
  uint32_t struct_size;
  int32_t tanh;
  polyops_tensor grad_dst;
  polyops_tensor src;
  polyops_tensor grad_src;
} polyops_gelu_backward_args;

#endif /* POLYOPS_OPS_GELU_H_ */
