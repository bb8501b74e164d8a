// The oracle of the index_add tests. Contract: polyops/ops/index_add.h.
#ifndef POLYOPS_REFERENCE_INDEX_ADD_H_
#define POLYOPS_REFERENCE_INDEX_ADD_H_

#include "polyops/ops/index_add.h"

namespace polyops::reference {

void index_add(const polyops_index_add_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_INDEX_ADD_H_
