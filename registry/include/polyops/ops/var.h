/*
 * var, std: dst[i] is the variance, or its root, of the elements of src that differ from i in the
 * reduced dimensions alone: the sum of their squared deviations from their mean, over their number
 * less correction. var_mean, std_mean: mean[i] is that mean, too.
 * Definition: torch.var, torch.std, torch.var_mean, torch.std_mean / aten::var.correction and so
 * on.
 *
 * Ops: "var", "std", "var_mean", "std_mean" (polyops_var_args).
 * Layouts   any strides for src, dst and mean, of the same rank; dst and mean have src's sizes, but
 *           1 where dims has a bit, whatever was asked to be kept.
 * Types     all of src's. Accumulation in float32. A mean that is large beside the deviation costs
 *           no more digits than by Welford's recurrence. Results do not depend on the order in
 *           which threads finish.
 * Aliasing  none between outputs and src; elements of src may share memory.
 * Empty     never arrives: no dimension is 0.
 * Special   of elements of which one is NaN or infinite: NaN. Squares beyond the range of float32
 *           make the result infinite. A kernel may decline where the divisor is not positive.
 */
#ifndef POLYOPS_OPS_VAR_H_
#define POLYOPS_OPS_VAR_H_

#include "polyops/tensor_view.h"

typedef struct polyops_var_args {
  uint32_t struct_size;
  uint32_t dims; /* bit d: dimension d is reduced */
  double correction;
  polyops_tensor src;
  polyops_tensor dst;
  polyops_tensor mean; /* var, std: absent */
} polyops_var_args;

#endif /* POLYOPS_OPS_VAR_H_ */
