// The oracle of the cumsum tests. Contract: polyops/ops/cumsum.h.
#ifndef POLYOPS_REFERENCE_CUMSUM_H_
#define POLYOPS_REFERENCE_CUMSUM_H_

#include "polyops/ops/cumsum.h"

namespace polyops::reference {

void cumsum(const polyops_cumsum_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_CUMSUM_H_
