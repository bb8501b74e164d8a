// The oracle of the group_norm tests. Contract: polyops/ops/group_norm.h.
#ifndef POLYOPS_REFERENCE_GROUP_NORM_H_
#define POLYOPS_REFERENCE_GROUP_NORM_H_

#include "polyops/ops/group_norm.h"

namespace polyops::reference {

// Both write their results in their own dtypes; sums are long double.
void group_norm(const polyops_group_norm_args& args);
void group_norm_backward(const polyops_group_norm_backward_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_GROUP_NORM_H_
