// The oracle of the embedding tests. Contract: polyops/ops/embedding.h.
#ifndef POLYOPS_REFERENCE_EMBEDDING_H_
#define POLYOPS_REFERENCE_EMBEDDING_H_

#include "polyops/ops/embedding.h"

namespace polyops::reference {

void embedding_backward(const polyops_embedding_backward_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_EMBEDDING_H_
