// The oracle of the scatter_add tests. Contract: polyops/ops/scatter_add.h.
#ifndef POLYOPS_REFERENCE_SCATTER_ADD_H_
#define POLYOPS_REFERENCE_SCATTER_ADD_H_

#include "polyops/ops/scatter_add.h"

namespace polyops::reference {

void scatter_add(const polyops_scatter_add_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_SCATTER_ADD_H_
