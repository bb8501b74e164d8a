// The oracle of the index_put tests. Contract: polyops/ops/index_put.h.
#ifndef POLYOPS_REFERENCE_INDEX_PUT_H_
#define POLYOPS_REFERENCE_INDEX_PUT_H_

#include "polyops/ops/index_put.h"

namespace polyops::reference {

// To dst, of self's sizes, what becomes of self.
void index_put(const polyops_index_put_args& args, const polyops_tensor& dst);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_INDEX_PUT_H_
