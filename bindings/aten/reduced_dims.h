// What ops that reduce dimensions make of their arguments.
#ifndef POLYOPS_BINDINGS_ATEN_REDUCED_DIMS_H_
#define POLYOPS_BINDINGS_ATEN_REDUCED_DIMS_H_

#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>

#include "polyops/tensor_view.h"

namespace polyops::torch_binding {

using ReducedSizes = c10::SmallVector<int64_t, POLYOPS_MAX_RANK>;

// A bit for each dimension that is reduced; of none given, for all. nullptr, or why it declines.
const char* read_dims(at::OptionalIntArrayRef dims, int64_t rank, uint32_t* mask);

ReducedSizes result_sizes(const at::Tensor& self, uint32_t mask, bool keepdim);

// dst as the kernels see it: with every dimension, whether it was asked for or not.
void keep_dimensions(const polyops_tensor& src, uint32_t mask, bool keepdim, polyops_tensor* dst);

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_ATEN_REDUCED_DIMS_H_
