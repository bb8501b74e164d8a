/*
 * Largest elements of the shares of an image of two or three dimensions.
 * Definition: torch.nn.functional.adaptive_max_pool2d and adaptive_max_pool3d, as torch's kernels
 * of devices compute them: aten::adaptive_max_pool2d, adaptive_max_pool3d. Windows: as of
 * polyops_adaptive_avg_pool2d_args.
 *
 * Ops: "adaptive_max_pool2d", "adaptive_max_pool3d" (polyops_adaptive_max_pool_args),
 *      "adaptive_max_pool2d_backward", "adaptive_max_pool3d_backward"
 *      (polyops_adaptive_max_pool_backward_args).
 * Layouts   batch x channels x (depth x) height x width, all tensors contiguous or all channels
 * last; src channels last, dst and indices contiguous. Types     one dtype; indices int64.
 * Gradients are summed in float32. Aliasing  none between outputs and inputs. Empty     never
 * arrives: no dimension is 0.
 */
#ifndef POLYOPS_OPS_ADAPTIVE_MAX_POOL_H_
#define POLYOPS_OPS_ADAPTIVE_MAX_POOL_H_

#include "polyops/tensor_view.h"

/*
 * indices: the element's place in its plane or volume, (frame * height +) row * width + column. Of
 * equal elements the first in that order counts; a NaN is larger than anything, and of NaNs the
 * last counts. In a window without any element above -inf it is the place of its first element.
 */
typedef struct polyops_adaptive_max_pool_args {
  uint32_t struct_size;
  polyops_tensor src;
  polyops_tensor dst;
  polyops_tensor indices;
} polyops_adaptive_max_pool_args;

/* grad_src of an element = the sum of grad_dst of its windows whose index is its place. */
typedef struct polyops_adaptive_max_pool_backward_args {
  uint32_t struct_size;
  polyops_tensor grad_dst;
  polyops_tensor indices;
  polyops_tensor grad_src;
} polyops_adaptive_max_pool_backward_args;

#endif /* POLYOPS_OPS_ADAPTIVE_MAX_POOL_H_ */
