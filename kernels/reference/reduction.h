// The oracle of the tests of sum, mean, amax and amin. Contract: polyops/ops/reduction.h.
#ifndef POLYOPS_REFERENCE_REDUCTION_H_
#define POLYOPS_REFERENCE_REDUCTION_H_

#include "polyops/ops/reduction.h"

namespace polyops::reference {

void sum(const polyops_reduction_args& args);
void mean(const polyops_reduction_args& args);
void amax(const polyops_reduction_args& args);
void amin(const polyops_reduction_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_REDUCTION_H_
