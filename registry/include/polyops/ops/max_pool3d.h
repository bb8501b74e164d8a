/*
 * Largest elements of windows of images of three dimensions, as of two: polyops_max_pool2d_args.
 * Definition: torch.nn.functional.max_pool3d, as torch's kernels of devices compute it:
 * aten::max_pool3d_with_indices.
 *
 * Ops: "max_pool3d" (polyops_max_pool3d_args), "max_pool3d_backward"
 *      (polyops_max_pool3d_backward_args).
 * Layouts   batch x channels x depth x height x width, all tensors contiguous or all channels last.
 * Types     one dtype; indices int64. Gradients are summed in float32.
 * Aliasing  none between outputs and inputs.
 * Empty     never arrives: no dimension is 0, and every window has a tap in the image.
 */
#ifndef POLYOPS_OPS_MAX_POOL3D_H_
#define POLYOPS_OPS_MAX_POOL3D_H_

#include "polyops/ops/pool3d.h"
#include "polyops/tensor_view.h"

/*
 * indices: the element's place in its volume, (frame * height + row) * width + column. Of equal
 * elements the first in that order counts; a NaN is larger than anything, and of NaNs the last
 * counts. In a window without any element above -inf it is the place of its first tap in the image.
 */
typedef struct polyops_max_pool3d_args {
  uint32_t struct_size;
  polyops_pool3d_window window;
  polyops_tensor src;
  polyops_tensor dst;
  polyops_tensor indices;
} polyops_max_pool3d_args;

/*
 * grad_src of an element = the sum of grad_dst of those windows that reach over it, taps or not,
 * whose index is its place.
 */
typedef struct polyops_max_pool3d_backward_args {
  uint32_t struct_size;
  polyops_pool3d_window window;
  polyops_tensor grad_dst;
  polyops_tensor indices;
  polyops_tensor grad_src;
} polyops_max_pool3d_backward_args;

#endif /* POLYOPS_OPS_MAX_POOL3D_H_ */
