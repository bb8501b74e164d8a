/*
 * Pools of images: each result is the largest element, or the average, of a window of one plane.
 * Definition: torch.nn.functional.max_pool2d, avg_pool2d and adaptive_avg_pool2d, as torch's
 * kernels of devices compute them: aten::max_pool2d_with_indices, avg_pool2d, _adaptive_avg_pool2d.
 *
 * Ops: "max_pool2d" (polyops_max_pool2d_args), "max_pool2d_backward"
 *      (polyops_max_pool2d_backward_args), "avg_pool2d" (polyops_avg_pool2d_args),
 *      "avg_pool2d_backward" (polyops_avg_pool2d_backward_args), "adaptive_avg_pool2d"
 *      (polyops_adaptive_avg_pool2d_args), "adaptive_avg_pool2d_backward"
 *      (polyops_adaptive_avg_pool2d_backward_args).
 * Layouts   batch x channels x height x width, all tensors contiguous or all channels last.
 * Types     one dtype; indices int64. Sums in float32.
 * Aliasing  none between outputs and inputs.
 * Empty     never arrives: no dimension is 0.
 */
#ifndef POLYOPS_OPS_POOL2D_H_
#define POLYOPS_OPS_POOL2D_H_

#include "polyops/tensor_view.h"

/*
 * Height, then width. The taps of window o are at o * stride - padding + k * dilation, 0 <= k <
 * size; those outside of the image are left out. How many windows there are, the results' sizes
 * say.
 */
typedef struct polyops_pool2d_window {
  int64_t size[2];
  int64_t stride[2];
  int64_t padding[2];
  int64_t dilation[2];
} polyops_pool2d_window;

/*
 * indices: the element's place in its plane, row * width + column. Of equal elements the first in
 * that order counts; a NaN is larger than anything, and of NaNs the last counts. In a window
 * without any element above -inf it is the place of the first tap that is not above or left of the
 * image (which may be beyond the image), or 0.
 */
typedef struct polyops_max_pool2d_args {
  uint32_t struct_size;
  int32_t lowest_is_0; /* that index is 0 */
  polyops_pool2d_window window;
  polyops_tensor src;
  polyops_tensor dst;
  polyops_tensor indices;
} polyops_max_pool2d_args;

/*
 * grad_src of an element = the sum of grad_dst of those windows that reach over it, taps or not,
 * whose index is its place.
 */
typedef struct polyops_max_pool2d_backward_args {
  uint32_t struct_size;
  polyops_pool2d_window window;
  polyops_tensor grad_dst;
  polyops_tensor indices;
  polyops_tensor grad_src;
} polyops_max_pool2d_backward_args;

/* The divisor: divisor if it is not 0; else the number of taps, those in the padding included if
 * count_padding, but none beyond it. dilation is 1. */
typedef struct polyops_avg_pool2d_args {
  uint32_t struct_size;
  int32_t count_padding;
  int64_t divisor;
  polyops_pool2d_window window;
  polyops_tensor src;
  polyops_tensor dst;
} polyops_avg_pool2d_args;

typedef struct polyops_avg_pool2d_backward_args {
  uint32_t struct_size;
  int32_t count_padding;
  int64_t divisor;
  polyops_pool2d_window window;
  polyops_tensor grad_dst;
  polyops_tensor grad_src;
} polyops_avg_pool2d_backward_args;

/* Window o of m over n elements: from floor(o n / m) to ceil((o + 1) n / m), excluded. */
typedef struct polyops_adaptive_avg_pool2d_args {
  uint32_t struct_size;
  polyops_tensor src;
  polyops_tensor dst;
} polyops_adaptive_avg_pool2d_args;

typedef struct polyops_adaptive_avg_pool2d_backward_args {
  uint32_t struct_size;
  polyops_tensor grad_dst;
  polyops_tensor grad_src;
} polyops_adaptive_avg_pool2d_backward_args;

#endif /* POLYOPS_OPS_POOL2D_H_ */
