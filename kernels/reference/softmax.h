// The oracle of the softmax tests. Contract: polyops/ops/softmax.h.
#ifndef POLYOPS_REFERENCE_SOFTMAX_H_
#define POLYOPS_REFERENCE_SOFTMAX_H_

#include "polyops/ops/softmax.h"

namespace polyops::reference {

// All write their result in its own dtype: float64 gets the answer to 53 bits, sums being long
// double (the kernels for float64 are held to a few units of its last place).
void softmax(const polyops_softmax_args& args);
void softmax_backward(const polyops_softmax_backward_args& args);
void log_softmax(const polyops_softmax_args& args);
void log_softmax_backward(const polyops_softmax_backward_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_SOFTMAX_H_
