#ifndef POLYOPS_REFERENCE_RELU_H_
#define POLYOPS_REFERENCE_RELU_H_

#include "polyops/ops/relu.h"

namespace polyops::reference {

void relu(const polyops_relu_args& args);
void relu_backward(const polyops_relu_backward_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_RELU_H_
