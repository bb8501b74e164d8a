// The oracle of the layer_norm tests. Contract: polyops/ops/layer_norm.h.
#ifndef POLYOPS_REFERENCE_LAYER_NORM_H_
#define POLYOPS_REFERENCE_LAYER_NORM_H_

#include "polyops/ops/layer_norm.h"

namespace polyops::reference {

// Both write their results in their own dtypes: float64 gets the answer to 53 bits, sums being long
// double (the kernels for float64 are held to a few units of its last place).
void layer_norm(const polyops_layer_norm_args& args);
void layer_norm_backward(const polyops_layer_norm_backward_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_LAYER_NORM_H_
