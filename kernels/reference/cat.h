// The oracle of the cat tests. Contract: polyops/ops/cat.h.
#ifndef POLYOPS_REFERENCE_CAT_H_
#define POLYOPS_REFERENCE_CAT_H_

#include "polyops/ops/cat.h"

namespace polyops::reference {

void cat(const polyops_cat_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_CAT_H_
