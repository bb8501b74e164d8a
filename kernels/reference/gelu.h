#ifndef POLYOPS_REFERENCE_GELU_H_
#define POLYOPS_REFERENCE_GELU_H_

#include "polyops/ops/gelu.h"

namespace polyops::reference {

void gelu(const polyops_gelu_args& args);
void gelu_backward(const polyops_gelu_backward_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_GELU_H_
