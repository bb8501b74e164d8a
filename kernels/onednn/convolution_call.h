// The arguments of convolution's kernels, as keys of what is made for them.
#ifndef POLYOPS_ONEDNN_CONVOLUTION_CALL_H_
#define POLYOPS_ONEDNN_CONVOLUTION_CALL_H_

#include <cstdint>

#include "convolution_plan.h"
#include "convolution_slice.h"
#include "polyops/ops/convolution.h"

namespace polyops::onednn {

// Whether t (a, b, spatial...) is dense with its spatial dimensions innermost, or b. Both if it is
// either way: then the second, which needs no copies.
bool order_of(const polyops_tensor& t, int64_t* order);

// nullptr, or the reason for which there is no such convolution here.
const char* read(const polyops_convolution_args& args, int64_t threads, CallKey* call);

WeightKey weight_key(const polyops_convolution_pack_args& args);

}  // namespace polyops::onednn

#endif  // POLYOPS_ONEDNN_CONVOLUTION_CALL_H_
