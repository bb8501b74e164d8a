// The oracle of the tests of argmax, argmin, max and min. Contract: polyops/ops/extreme.h.
#ifndef POLYOPS_REFERENCE_EXTREME_H_
#define POLYOPS_REFERENCE_EXTREME_H_

#include "polyops/ops/extreme.h"

namespace polyops::reference {

void argmax(const polyops_extreme_args& args);
void argmin(const polyops_extreme_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_EXTREME_H_
