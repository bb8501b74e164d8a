/*
 * Pools of images of three dimensions, as pool2d.h's.
 * Definition: torch.nn.functional.avg_pool3d and adaptive_avg_pool3d, as torch's kernels of devices
 * compute them: aten::avg_pool3d, _adaptive_avg_pool3d.
 *
 * Ops: "avg_pool3d" (polyops_avg_pool3d_args), "avg_pool3d_backward"
 *      (polyops_avg_pool3d_backward_args), "adaptive_avg_pool3d"
 * (polyops_adaptive_avg_pool3d_args), "adaptive_avg_pool3d_backward"
 * (polyops_adaptive_avg_pool3d_backward_args). Layouts   batch x channels x depth x height x width.
 * Of averages: dst and grad_src contiguous, src and grad_dst contiguous or channels last. Types one
 * dtype; indices int64. Sums in float32. Aliasing  none between outputs and inputs. Empty     never
 * arrives: no dimension is 0.
 */
#ifndef POLYOPS_OPS_POOL3D_H_
#define POLYOPS_OPS_POOL3D_H_

#include "polyops/tensor_view.h"

/* Depth, height, width. Each as in polyops_pool2d_window. */
typedef struct polyops_pool3d_window {
  int64_t size[3];
  int64_t stride[3];
  int64_t padding[3];
  int64_t dilation[3];
} polyops_pool3d_window;

/* The divisor: as of polyops_avg_pool2d_args. dilation is 1. */
typedef struct polyops_avg_pool3d_args {
  uint32_t struct_size;
  int32_t count_padding;
  int64_t divisor;
  polyops_pool3d_window window;
  polyops_tensor src;
  polyops_tensor dst;
} polyops_avg_pool3d_args;

typedef struct polyops_avg_pool3d_backward_args {
  uint32_t struct_size;
  int32_t count_padding;
  int64_t divisor;
  polyops_pool3d_window window;
  polyops_tensor grad_dst;
  polyops_tensor grad_src;
} polyops_avg_pool3d_backward_args;

/* Windows: as of polyops_adaptive_avg_pool2d_args. */
typedef struct polyops_adaptive_avg_pool3d_args {
  uint32_t struct_size;
  polyops_tensor src;
  polyops_tensor dst;
} polyops_adaptive_avg_pool3d_args;

typedef struct polyops_adaptive_avg_pool3d_backward_args {
  uint32_t struct_size;
  polyops_tensor grad_dst;
  polyops_tensor grad_src;
} polyops_adaptive_avg_pool3d_backward_args;

#endif /* POLYOPS_OPS_POOL3D_H_ */
