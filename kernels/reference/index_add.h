// The oracle of the tests of index_add and scatter_add. Contract: polyops/ops/index_add.h and
// scatter_add.h.
#ifndef POLYOPS_REFERENCE_INDEX_ADD_H_
#define POLYOPS_REFERENCE_INDEX_ADD_H_

#include "polyops/ops/index_add.h"
#include "polyops/ops/scatter_add.h"

namespace polyops::reference {

void index_add(const polyops_index_add_args& args);
void scatter_add(const polyops_scatter_add_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_INDEX_ADD_H_
