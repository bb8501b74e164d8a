#include "torch/elementwise.h"

#include <ATen/EmptyTensor.h>
#include <ATen/TensorIterator.h>
#include <ATen/ops/empty_like.h>

#include "torch/view.h"

namespace polyops::torch_binding {
namespace {

at::Tensor allocate_strided(const at::Tensor& like) {
  if (like.is_cpu()) {
    return at::Tensor(
        at::detail::empty_strided_cpu(like.sizes(), like.strides(), like.scalar_type()));
  }
  return at::empty_like(like);
}

// TensorIterator's own shortcuts, in its order; what is left goes to TensorIterator itself.
at::Tensor allocate_dense(const at::Tensor& a, const at::Tensor* b) {
  for (const auto format : {c10::MemoryFormat::Contiguous, c10::MemoryFormat::ChannelsLast}) {
    if (a.is_contiguous(format) && (b == nullptr || b->is_contiguous(format))) {
      return allocate(a, a.sizes(), a.scalar_type(), format);
    }
  }
  const bool same = b == nullptr || a.strides() == b->strides();
  if (same && a.is_non_overlapping_and_dense()) return allocate_strided(a);
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

at::Tensor empty_like(const at::Tensor& a) { return at::empty_like(a); }

}  // namespace polyops::torch_binding
