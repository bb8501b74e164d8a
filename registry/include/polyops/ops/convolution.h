/*
 * convolution: for every item n of the batch, group g, filter o of the group, and position p,
 *   dst[n, g, o, p] = bias[g, o] + sum_{c, t} src[n, g, c, p * stride - padding + t * dilation]
 *                                             * weight[g, o, c, t]
 * over the channels c of the group and the taps t of the filter; src is 0 outside of itself.
 * Definition: torch.nn.functional.conv1d, conv2d, conv3d / aten::convolution, not transposed.
 *
 * Ops: "convolution" (polyops_convolution_args),
 *      "convolution_backward" (polyops_convolution_backward_args),
 *      "convolution_pack", "convolution_prepacked" (below).
 * Shapes    src (batch, groups * channels, in...), weight (groups * filters, channels, taps...),
 *           bias (groups * filters), dst (batch, groups * filters, out...) with 1 to 3 spatial
 *           dimensions and out = (in + 2 * padding - dilation * (taps - 1) - 1) / stride + 1,
 *           rounded down. Gradients have the shapes of what they are gradients of.
 * Layouts   any strides for every tensor; outputs without overlap.
 * Types     one dtype; accumulation in float32, in float64 for float64, rounded once into outputs.
 * Aliasing  none between outputs and inputs.
 * Empty     never arrives: every size >= 1.
 * Special   whether the zeros of the padding are multiplied or skipped is open, as in stock: at an
 *           infinite weight that makes NaN or nothing.
 */
#ifndef POLYOPS_OPS_CONVOLUTION_H_
#define POLYOPS_OPS_CONVOLUTION_H_

#include "polyops/pack.h"
#include "polyops/tensor_view.h"

#define POLYOPS_MAX_SPATIAL 3

/* Per spatial dimension, outermost first; what a lower rank does not use is 1, 0, 1. */
typedef struct polyops_convolution_window {
  int64_t stride[POLYOPS_MAX_SPATIAL];   /* >= 1 */
  int64_t padding[POLYOPS_MAX_SPATIAL];  /* >= 0, the same on both sides */
  int64_t dilation[POLYOPS_MAX_SPATIAL]; /* >= 1 */
} polyops_convolution_window;

typedef struct polyops_convolution_args {
  uint32_t struct_size;
  int32_t groups;
  polyops_convolution_window window;
  polyops_tensor src;
  polyops_tensor weight;
  polyops_tensor bias; /* optional */
  polyops_tensor dst;
} polyops_convolution_args;

/*
 * The gradients of src, weight and bias, given that of dst. An output that is absent (rank -1) is
 * not computed; at least one is present. Results do not depend on the order in which threads
 * finish.
 */
typedef struct polyops_convolution_backward_args {
  uint32_t struct_size;
  int32_t groups;
  polyops_convolution_window window;
  polyops_tensor grad_dst;
  polyops_tensor src;
  polyops_tensor weight;
  polyops_tensor grad_src;    /* optional */
  polyops_tensor grad_weight; /* optional */
  polyops_tensor grad_bias;   /* optional */
} polyops_convolution_backward_args;

/*
 * convolution_pack: copies a weight into the order in which a kernel of convolution_prepacked reads
 * it fastest, once for many calls: the weights of polyops.freeze().
 *
 * weight    as in convolution, with the groups and the window of the calls to come; whether images
 *           will be channels last, its strides tell: (channels, 1, ...) of a module that was moved
 *           to that memory format.
 * pack      see polyops/pack.h; the order may depend on all of this.
 */
typedef struct polyops_convolution_pack_args {
  uint32_t struct_size;
  int32_t groups;
  polyops_convolution_window window;
  polyops_tensor weight;
  polyops_pack* pack;
} polyops_convolution_pack_args;

/*
 * convolution_prepacked: a convolution whose weight was packed.
 *
 * convolution  the same call as if nothing were packed; weight's data may be read, too. Its groups
 *              are those that were packed for, its window may be another.
 * pack         what convolution_pack made of its weight; a kernel supports the formats of its own
 *              family that it can read.
 */
typedef struct polyops_convolution_prepacked_args {
  uint32_t struct_size;
  int32_t reserved;
  const polyops_convolution_args* convolution;
  const polyops_pack* pack;
} polyops_convolution_prepacked_args;

#endif /* POLYOPS_OPS_CONVOLUTION_H_ */
