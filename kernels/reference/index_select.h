// The oracle of the index_select tests. Contract: polyops/ops/index_select.h.
#ifndef POLYOPS_REFERENCE_INDEX_SELECT_H_
#define POLYOPS_REFERENCE_INDEX_SELECT_H_

#include "polyops/ops/index_select.h"

namespace polyops::reference {

void index_select(const polyops_index_select_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_INDEX_SELECT_H_
