/*
 * cross_entropy: of labels. Of a sample i with target t = target[i] and weight w = weight[t], each
 *   weight 1 where there is none, and e = label_smoothing, over the classes c,
 *   lse     = log(sum of exp(src[i, c]))
 *   loss[i] = (1 - e) w (lse - src[i, t]) + e / classes * sum of weight[c] (lse - src[i, c]);
 * where t is ignore_index, loss[i] and w are 0, whatever src has.
 * dst is loss (POLYOPS_NLL_LOSS_NONE), its sum (_SUM), or that over the sum of all w (_MEAN).
 * Definition: torch.nn.functional.cross_entropy / aten::cross_entropy_loss of class indices.
 *
 * Ops: "cross_entropy" (polyops_cross_entropy_args), "cross_entropy_backward"
 *      (polyops_cross_entropy_backward_args).
 * Layouts   rows: src: rank 2, samples by classes, classes next to each other, any stride of
 * samples; target: rank 1; dst and grad_dst: rank 1 with _NONE, else rank 0; any strides. pixels:
 * src: rank 3, images by classes by pixels, any strides; each pixel is a sample; target, and dst
 * and grad_dst with _NONE: rank 2, images by pixels, samples one stride apart; no stats. weight:
 * rank 1, of as many as classes, any stride. stats and grad_src contiguous. Types     target int64
 * or uint8; stats and total_weight float32; all others one dtype. Accumulation in float32. Sums do
 * not depend on the order in which threads finish. Aliasing  none between outputs and inputs. Empty
 * never arrives: no dimension is 0. Special   a target that is no class and not ignore_index: as
 * nll_loss.h. Nothing but ignored samples: the mean is NaN, as torch's.
 */
#ifndef POLYOPS_OPS_CROSS_ENTROPY_H_
#define POLYOPS_OPS_CROSS_ENTROPY_H_

#include "polyops/ops/nll_loss.h"
#include "polyops/tensor_view.h"

/* What stats has of a sample: the largest src, lse less that, and (1 - e) w + e / classes * sum of
 * weight. The last is 0 where the sample is ignored; the others are not. */
enum { POLYOPS_CROSS_ENTROPY_STATS = 3 };

typedef struct polyops_cross_entropy_args {
  uint32_t struct_size;
  int32_t reduction; /* as nll_loss */
  int64_t ignore_index;
  double label_smoothing; /* 0 to 1 */
  polyops_tensor src;
  polyops_tensor target;
  polyops_tensor weight; /* optional */
  polyops_tensor dst;
  polyops_tensor stats;        /* optional, of rows; samples by POLYOPS_CROSS_ENTROPY_STATS */
  polyops_tensor total_weight; /* optional; rank 0, the sum of all w; written with _MEAN alone */
} polyops_cross_entropy_args;

/*
 * With g = grad_dst[i] (_NONE), grad_dst (_SUM), or grad_dst / total_weight (_MEAN),
 * grad_src[i, c] = g (stats[i][2] exp(src[i, c] - lse) - e / classes * weight[c]), of pixels with
 * what stats would have, at c = t less g (1 - e) w. Where the sample is ignored 0; NaN if its lse
 * is no number. The exponentials are computed again, so src must be as forward saw it.
 */
typedef struct polyops_cross_entropy_backward_args {
  uint32_t struct_size;
  int32_t reduction;
  int64_t ignore_index;
  double label_smoothing;
  polyops_tensor grad_dst;
  polyops_tensor src;
  polyops_tensor target;
  polyops_tensor weight;       /* optional */
  polyops_tensor stats;        /* of rows; what forward wrote, as total_weight */
  polyops_tensor total_weight; /* read with _MEAN alone */
  polyops_tensor grad_src;     /* sizes of src */
} polyops_cross_entropy_backward_args;

#endif /* POLYOPS_OPS_CROSS_ENTROPY_H_ */
