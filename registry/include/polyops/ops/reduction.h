/*
 * sum, mean, amax, amin, logsumexp: dst[i] is the sum, the mean, the largest, the smallest, or the
 * logarithm of the sum of the exponentials of the elements of src that differ from i in the reduced
 * dimensions alone; any, all: whether any, or each of them differs from 0.
 * Definition: torch.sum, torch.mean, torch.amax, torch.amin, torch.logsumexp, torch.any, torch.all
 * / aten::sum.dim_IntList and so on.
 *
 * Ops: "sum", "mean", "amax", "amin", "logsumexp", "any", "all" (polyops_reduction_args).
 * Layouts   any strides for src and dst, of the same rank; dst has src's sizes, but 1 where dims
 * has a bit, whatever was asked to be kept. Types     sum, mean: dst of src's dtype or float32;
 * any, all: dst uint8, of 0 and 1, src also uint8, of which every byte but 0 is true; the others:
 * of src's. Accumulation in float32, in float64 for float64. Results do not depend on the order in
 * which threads finish. Aliasing  none between dst and src; elements of src may share memory. Empty
 * never arrives: no dimension is 0. Special   amax, amin and logsumexp of elements of which one is
 * NaN are NaN. logsumexp is infinite where the largest element is. To any and all NaN differs from
 * 0, -0 does not.
 */
#ifndef POLYOPS_OPS_REDUCTION_H_
#define POLYOPS_OPS_REDUCTION_H_

#include "polyops/tensor_view.h"

typedef struct polyops_reduction_args {
  uint32_t struct_size;
  uint32_t dims; /* bit d: dimension d is reduced */
  polyops_tensor src;
  polyops_tensor dst;
} polyops_reduction_args;

#endif /* POLYOPS_OPS_REDUCTION_H_ */
