// The oracle of the batch_norm tests. Contract: polyops/ops/batch_norm.h.
#ifndef POLYOPS_REFERENCE_BATCH_NORM_H_
#define POLYOPS_REFERENCE_BATCH_NORM_H_

#include "polyops/ops/batch_norm.h"

namespace polyops::reference {

// Both write their results in their own dtypes; sums are long double.
void batch_norm(const polyops_batch_norm_args& args);
void batch_norm_backward(const polyops_batch_norm_backward_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_BATCH_NORM_H_
