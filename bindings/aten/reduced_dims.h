// What ops that reduce dimensions make of their arguments, and how one is called.
#ifndef POLYOPS_BINDINGS_ATEN_REDUCED_DIMS_H_
#define POLYOPS_BINDINGS_ATEN_REDUCED_DIMS_H_

#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>

#include <optional>

#include "polyops/tensor_view.h"
#include "torch/call.h"
#include "torch/view.h"

namespace polyops::torch_binding {

using ReducedSizes = c10::SmallVector<int64_t, POLYOPS_MAX_RANK>;

// A bit for each dimension that is reduced; of none given, for all. nullptr, or why it declines.
const char* read_dims(at::OptionalIntArrayRef dims, int64_t rank, uint32_t* mask);

ReducedSizes result_sizes(const at::Tensor& self, uint32_t mask, bool keepdim);

// dst as the kernels see it: with every dimension, whether it was asked for or not.
void keep_dimensions(const polyops_tensor& src, uint32_t mask, bool keepdim, polyops_tensor* dst);

// A call whose results have the sizes that are kept, all but dst described.
struct Reduction {
  const void* args;
  polyops_tensor *src, *dst;
  const uint32_t* dims;
  const at::Tensor& self;
  bool keepdim;
  c10::ScalarType type;              // of the results,
  int32_t dtype;                     // and what it is to kernels
  polyops_tensor* second = nullptr;  // a result that lies as dst does
};

template <class Args>
Reduction reduction_of(Args* args, const at::Tensor& self, bool keepdim, c10::ScalarType type) {
  return {args, &args->src, &args->dst, &args->dims, self, keepdim, type, dtype_of(type)};
}

// A new result, and *second, if there is to be one. reason: why none of them can be, or null.
std::optional<at::Tensor> reduce(Call& call, const char* reason, const Reduction& reduction,
                                 at::Tensor* second = nullptr);
bool reduce_into(Call& call, const char* reason, const Reduction& reduction, const at::Tensor& out);

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_ATEN_REDUCED_DIMS_H_
