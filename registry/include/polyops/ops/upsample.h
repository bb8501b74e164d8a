/*
 * upsample_*2d: an image at another size. Along each axis a result at place i is made of the
 * elements of src around a position that depends on i alone; in both axes of the product of their
 * weights:
 *
 *   nearest    the element at floor((i + shift) * scale), at most the last one; shift is 0.5 if
 *              `exact`, else 0. Of an axis that keeps its size, the element at i
 *   bilinear   p = scale * (i + 0.5) - 0.5, not below 0; if align_corners scale * i.
 *              The elements at floor(p) and behind, of weights 1 - t and t, t = p - floor(p)
 *   bicubic    p as above, but not cut off at 0; the elements at floor(p) - 1 .. floor(p) + 2, of
 *              weights by cubic convolution with A = -0.75. Places beyond an edge are that at the
 * edge
 *
 * scale: 1 / the factor given, if that is positive, else size of src / size of dst; if
 * align_corners (size of src - 1) / (size of dst - 1), 0 where dst has one place. Positions, scales
 * and t are float32, as in stock's kernels of devices: which element is the nearest depends on it.
 * A call in which both axes keep their size is a copy. Definition: torch.nn.functional.interpolate
 * / aten::upsample_nearest2d, _upsample_nearest_exact2d, upsample_bilinear2d, upsample_bicubic2d
 * (arXiv:1603.07285; Keys 1981 for cubic convolution).
 *
 * Ops: "upsample_{nearest,bilinear,bicubic}2d" (polyops_upsample_args),
 *      "upsample_{nearest,bilinear,bicubic}2d_backward" (polyops_upsample_backward_args).
 * Layouts   rank 4, batch x channels x height x width; both tensors contiguous or both
 * channels_last. Types     both tensors of one dtype; computed in float32. Nearest copies bits.
 * Aliasing  none.
 * Empty     never arrives.
 */
#ifndef POLYOPS_OPS_UPSAMPLE_H_
#define POLYOPS_OPS_UPSAMPLE_H_

#include "polyops/tensor_view.h"

typedef struct polyops_upsample_args {
  uint32_t struct_size;
  int32_t exact;         /* nearest alone */
  int32_t align_corners; /* all others */
  int32_t reserved;
  double factors[2]; /* height's and width's, dst to src; 0 if not given */
  polyops_tensor src;
  polyops_tensor dst;
} polyops_upsample_args;

/*
 * grad_src: each element the sum of grad_dst over the results that it is part of, by their weights.
 * Nearest: over the places from ceil(i * scale - shift) up to where the next element's begin, scale
 * being the factor given, if that is positive, else size of dst / size of src. (Where rounding
 * makes forward and backward differ by a place, stock's kernels of devices do so as well.)
 */
typedef struct polyops_upsample_backward_args {
  uint32_t struct_size;
  int32_t exact;
  int32_t align_corners;
  int32_t reserved;
  double factors[2];
  polyops_tensor grad_dst;
  polyops_tensor grad_src;
} polyops_upsample_backward_args;

#endif /* POLYOPS_OPS_UPSAMPLE_H_ */
