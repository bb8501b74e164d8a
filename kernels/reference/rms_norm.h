// The oracle of the rms_norm tests. Contract: polyops/ops/rms_norm.h.
#ifndef POLYOPS_REFERENCE_RMS_NORM_H_
#define POLYOPS_REFERENCE_RMS_NORM_H_

#include "polyops/ops/rms_norm.h"

namespace polyops::reference {

// Sums are long double; results are written in their own dtypes.
void rms_norm(const polyops_rms_norm_args& args);
void rms_norm_backward(const polyops_rms_norm_backward_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_RMS_NORM_H_
