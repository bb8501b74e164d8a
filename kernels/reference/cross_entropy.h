// The oracle of the cross_entropy tests. Contract: polyops/ops/cross_entropy.h.
#ifndef POLYOPS_REFERENCE_CROSS_ENTROPY_H_
#define POLYOPS_REFERENCE_CROSS_ENTROPY_H_

#include "polyops/ops/cross_entropy.h"

namespace polyops::reference {

void cross_entropy(const polyops_cross_entropy_args& args);
void cross_entropy_backward(const polyops_cross_entropy_backward_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_CROSS_ENTROPY_H_
