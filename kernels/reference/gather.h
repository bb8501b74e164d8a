// The oracle of the gather tests. Contract: polyops/ops/gather.h.
#ifndef POLYOPS_REFERENCE_GATHER_H_
#define POLYOPS_REFERENCE_GATHER_H_

#include "polyops/ops/gather.h"

namespace polyops::reference {

void gather(const polyops_gather_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_GATHER_H_
