// The oracle of the copy tests. Contract: polyops/ops/copy.h.
#ifndef POLYOPS_REFERENCE_COPY_H_
#define POLYOPS_REFERENCE_COPY_H_

#include "polyops/ops/copy.h"

namespace polyops::reference {

void copy(const polyops_copy_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_COPY_H_
