/*
 * linalg_vector_norm: dst[i] is the norm of the elements of src that differ from i in the reduced
 * dimensions alone: the order-th root of the sum of the order-th powers of their magnitudes; of
 * order infinity the largest magnitude, of -infinity the smallest, of 0 how many are not 0.
 * Definition: torch.linalg.vector_norm / aten::linalg_vector_norm.
 *
 * Op: "linalg_vector_norm" (polyops_vector_norm_args).
 * Layouts   any strides for src and dst, of the same rank; dst has src's sizes, but 1 where dims
 * has a bit, whatever was asked to be kept. Types     dst of src's dtype or float32. Powers are
 * taken and summed up in float32. Results do not depend on the order in which threads finish.
 * Aliasing  none between dst and src; elements of src may share memory.
 * Empty     never arrives: no dimension is 0.
 * Special   of elements of which one is NaN: NaN; it is not 0. Powers beyond the range of float32
 * are infinite, or 0, as torch has them on GPUs. Of one element torch takes the magnitude, whatever
 * the order: kernels decline it.
 */
#ifndef POLYOPS_OPS_LINALG_VECTOR_NORM_H_
#define POLYOPS_OPS_LINALG_VECTOR_NORM_H_

#include "polyops/tensor_view.h"

typedef struct polyops_vector_norm_args {
  uint32_t struct_size;
  uint32_t dims; /* bit d: dimension d is reduced */
  double order;
  polyops_tensor src;
  polyops_tensor dst;
} polyops_vector_norm_args;

#endif /* POLYOPS_OPS_LINALG_VECTOR_NORM_H_ */
