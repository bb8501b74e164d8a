/*
 * nll_loss: of a sample i with target t = target[i] and weight w = weight[t], or 1 without weight,
 *   loss[i] = -w * src[i, t];  where t is ignore_index, loss[i] and w are 0, whatever src has.
 * dst is loss (POLYOPS_NLL_LOSS_NONE), its sum (_SUM), or that over the sum of all w (_MEAN);
 * total_weight is the sum of all w, but 0 with _NONE.
 * Definition: torch.nn.functional.nll_loss / aten::nll_loss_forward.
 *
 * Ops: "nll_loss" (polyops_nll_loss_args), "nll_loss_backward" (polyops_nll_loss_backward_args).
 * Layouts   rows: src: rank 2, samples by classes; target: rank 1; dst and grad_dst: rank 1 with
 *           _NONE, else rank 0; all any strides.
 *           pixels: src: rank 3, images by classes by pixels, any strides; each pixel is a sample;
 *           target, and dst and grad_dst with _NONE: rank 2, images by pixels, samples one stride
 *           apart.
 *           weight: rank 1, of as many as classes, any stride. grad_src contiguous.
 * Types     target int64 or uint8; all others one dtype. Accumulation in float32, in float64 for
 *           float64. Sums do not depend on the order in which threads finish.
 * Aliasing  none between outputs and inputs.
 * Empty     never arrives: no dimension is 0.
 * Special   a target that is no class and not ignore_index: nothing is read or written out of
 * bounds, and the call fails as the device type's assertions do. Nothing but ignored samples: the
 *           mean is NaN, as torch's.
 */
#ifndef POLYOPS_OPS_NLL_LOSS_H_
#define POLYOPS_OPS_NLL_LOSS_H_

#include "polyops/tensor_view.h"

/* As torch numbers them. */
enum { POLYOPS_NLL_LOSS_NONE = 0, POLYOPS_NLL_LOSS_MEAN = 1, POLYOPS_NLL_LOSS_SUM = 2 };

typedef struct polyops_nll_loss_args {
  uint32_t struct_size;
  int32_t reduction;
  int64_t ignore_index;
  polyops_tensor src;
  polyops_tensor target;
  polyops_tensor weight; /* optional */
  polyops_tensor dst;
  polyops_tensor total_weight; /* rank 0 */
} polyops_nll_loss_args;

/*
 * grad_src[i, target[i]] = -w * grad_dst[i] (_NONE), -w * grad_dst (_SUM), or
 * -w * grad_dst / total_weight (_MEAN); 0 everywhere else, and where the sample is ignored.
 */
typedef struct polyops_nll_loss_backward_args {
  uint32_t struct_size;
  int32_t reduction;
  int64_t ignore_index;
  polyops_tensor grad_dst;
  polyops_tensor target;
  polyops_tensor weight;       /* optional */
  polyops_tensor total_weight; /* one element, what forward returned; read with _MEAN alone */
  polyops_tensor grad_src;     /* sizes of src */
} polyops_nll_loss_backward_args;

#endif /* POLYOPS_OPS_NLL_LOSS_H_ */
