#include "torch/elementwise.h"

#include <ATen/TensorIterator.h>

#include "torch/allocate.h"
#include "torch/view.h"

namespace polyops::torch_binding {
namespace {

// TensorIterator's own shortcuts, in its order; what is left goes to TensorIterator itself.
at::Tensor allocate_dense(const at::Tensor& a, const at::Tensor* b) {
  for (const auto format : {c10::MemoryFormat::Contiguous, c10::MemoryFormat::ChannelsLast}) {
    if (a.is_contiguous(format) && (b == nullptr || b->is_contiguous(format))) {
      return allocate(a, a.sizes(), a.scalar_type(), format);
    }
  }
  const bool same = b == nullptr || a.strides() == b->strides();
  if (same && a.is_non_overlapping_and_dense()) return allocate_as(a);
  return {};
}

}  // namespace

at::Tensor allocate_like(const at::Tensor& a) {
  at::Tensor out = allocate_dense(a, nullptr);
  if (out.defined()) return out;
  return at::TensorIterator::unary_op(out, a).output();
}

at::Tensor allocate_like(const at::Tensor& a, const at::Tensor& b) {
  at::Tensor out = allocate_dense(a, &b);
  if (out.defined()) return out;
  return at::TensorIterator::binary_op(out, a, b).output();
}

}  // namespace polyops::torch_binding
