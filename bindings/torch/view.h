// at::Tensor -> polyops_tensor, and the questions that every overload asks of its arguments.
#ifndef POLYOPS_BINDINGS_TORCH_VIEW_H_
#define POLYOPS_BINDINGS_TORCH_VIEW_H_

#include <ATen/core/Tensor.h>

#include <optional>

#include "polyops/tensor_view.h"

namespace polyops::torch_binding {

int32_t dtype_of(c10::ScalarType type);  // POLYOPS_INVALID_DTYPE if the ABI has no name for it
// Of what is copied bit by bit: a type that the ABI has no name for goes as one of its size.
int32_t dtype_of_bits(c10::ScalarType type);

// Metadata only; data stays NULL until inputs() or output() sets it. nullptr if every kernel may
// look at the tensor, else why not: undefined, names, a negative or conjugate view, zeros without
// memory, rank, empty.
const char* describe(const at::Tensor& tensor, polyops_tensor* view);
// The same of a tensor that goes as that dtype, whatever it is to torch.
const char* describe_as(const at::Tensor& tensor, int32_t dtype, polyops_tensor* view);
// The same of indices, which are int64.
const char* describe_indices(const at::Tensor& tensor, polyops_tensor* view);
// The same of numbers of rows, which may be int32, too.
const char* describe_rows(const at::Tensor& tensor, polyops_tensor* view);

// Sizes and strides of a tensor that is not allocated yet.
void describe_contiguous(c10::IntArrayRef sizes, c10::ScalarType type, polyops_tensor* view);
void copy_strides(const at::Tensor& tensor, polyops_tensor* view);

polyops_tensor absent();

// The same view with one dimension of size 1 more: in front, for gemm's batch; behind, for its
// vectors.
void prepend_dimension(polyops_tensor* view);
void append_dimension(polyops_tensor* view);

// As torch.broadcast_to: expands to the sizes, with stride 0. False if it does not fit.
bool expand(polyops_tensor* view, c10::IntArrayRef sizes);

using OptionalTensor = std::optional<at::Tensor>;

// nullptr where there is none.
inline const at::Tensor* present(const OptionalTensor& tensor) {
  return tensor.has_value() && tensor->defined() ? &*tensor : nullptr;
}

// Same dtype and device.
inline bool same_kind(const at::Tensor& a, const at::Tensor& b) {
  return a.defined() && b.defined() && a.scalar_type() == b.scalar_type() &&
         a.device() == b.device();
}

// An out= tensor that can be written as it is: right sizes, dtype and device, no element twice, and
// nothing in common with the inputs. Otherwise the reason.
const char* check_out(const at::Tensor& out, c10::IntArrayRef sizes, const at::Tensor& like,
                      c10::ScalarType type);
inline const char* check_out(const at::Tensor& out, c10::IntArrayRef sizes,
                             const at::Tensor& like) {
  return check_out(out, sizes, like, like.scalar_type());
}
bool shares_storage(const at::Tensor& a, const at::Tensor& b);
bool same_view(const at::Tensor& a, const at::Tensor& b);

// Data pointers. Inputs stay shared if they are copy-on-write.
inline void set_input(polyops_tensor* view, const at::Tensor& tensor) {
  view->data = const_cast<void*>(tensor.const_data_ptr());
}
inline void set_output(polyops_tensor* view, const at::Tensor& tensor) {
  view->data = tensor.mutable_data_ptr();
}

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_TORCH_VIEW_H_
