#include "torch/view.h"

#include <ATen/MemoryOverlap.h>
#include <c10/util/SmallVector.h>

#include <algorithm>
#include <utility>

namespace polyops::torch_binding {
namespace {

// What is not, or not only, in the tensor's memory.
constexpr c10::DispatchKeySet kLazy({c10::DispatchKey::Negative, c10::DispatchKey::Conjugate,
                                     c10::DispatchKey::ZeroTensor});

// torch 2.13 has no named tensors any more; older ones do.
template <class T>
bool has_names(const T& tensor) {
  if constexpr (requires { tensor.has_names(); }) {
    return tensor.has_names();
  } else {
    return false;
  }
}

// at::has_internal_overlap gives up on anything with gaps. Exact for slices of a dense tensor in
// any order of dimensions; true, which is the safe answer, for what interleaves without overlap.
bool may_overlap_itself(const at::Tensor& tensor) {
  switch (at::has_internal_overlap(tensor)) {
    case at::MemOverlap::No:
      return false;
    case at::MemOverlap::Yes:
      return true;
    case at::MemOverlap::TooHard:
      break;
  }
  c10::SmallVector<std::pair<int64_t, int64_t>, POLYOPS_MAX_RANK> dims;  // stride, size
  for (int64_t d = 0; d < tensor.dim(); ++d) {
    if (tensor.size(d) > 1) dims.emplace_back(tensor.stride(d), tensor.size(d));
  }
  std::sort(dims.begin(), dims.end());
  int64_t last = 0;  // offset of the last element of the dimensions so far
  for (const auto& [stride, size] : dims) {
    if (stride <= last) return true;
    last += (size - 1) * stride;
  }
  return false;
}

}  // namespace

int32_t dtype_of(c10::ScalarType type) {
  switch (type) {
    case c10::ScalarType::Float:
      return POLYOPS_FLOAT32;
    case c10::ScalarType::Double:
      return POLYOPS_FLOAT64;
    case c10::ScalarType::BFloat16:
      return POLYOPS_BFLOAT16;
    case c10::ScalarType::Half:
      return POLYOPS_FLOAT16;
    default:
      return POLYOPS_INVALID_DTYPE;
  }
}

int32_t dtype_of_bits(c10::ScalarType type) {
  const int32_t known = dtype_of(type);
  if (known != POLYOPS_INVALID_DTYPE) return known;
  // Others, of less than a byte or of bits alone, are types that stock itself does little with.
  if (!c10::isIntegralType(type, /*includeBool=*/true) && !c10::isFloat8Type(type) &&
      !c10::isComplexType(type)) {
    return POLYOPS_INVALID_DTYPE;
  }
  switch (c10::elementSize(type)) {
    case 1:
      return POLYOPS_UINT8;
    case 2:
      return POLYOPS_FLOAT16;
    case 4:
      return POLYOPS_FLOAT32;
    case 8:
      return POLYOPS_FLOAT64;
    default:
      return POLYOPS_INVALID_DTYPE;
  }
}

const char* describe(const at::Tensor& tensor, polyops_tensor* view) {
  if (!tensor.defined()) return "undefined tensor";
  return describe_as(tensor, dtype_of(tensor.scalar_type()), view);
}

const char* describe_as(const at::Tensor& tensor, int32_t dtype, polyops_tensor* view) {
  if (dtype == POLYOPS_INVALID_DTYPE) return "dtype";
  const auto rank = tensor.dim();
  if (rank > POLYOPS_MAX_RANK) return "rank";
  if (tensor.layout() != c10::kStrided) return "layout";
  if (tensor.key_set().has_any(kLazy)) return "lazy negation, conjugation or zeros";
  if (has_names(tensor)) return "named tensor";
  const auto sizes = tensor.sizes(), strides = tensor.strides();
  view->data = nullptr;
  view->dtype = dtype;
  view->rank = static_cast<int32_t>(rank);
  for (int64_t d = 0; d < rank; ++d) {
    if (sizes[d] == 0) return "empty";
    view->sizes[d] = sizes[d];
    view->strides[d] = strides[d];
  }
  return nullptr;
}

const char* describe_indices(const at::Tensor& tensor, polyops_tensor* view) {
  if (!tensor.defined()) return "undefined tensor";
  const bool right = tensor.scalar_type() == c10::ScalarType::Long;
  return describe_as(tensor, right ? POLYOPS_INT64 : POLYOPS_INVALID_DTYPE, view);
}

const char* describe_rows(const at::Tensor& tensor, polyops_tensor* view) {
  if (!tensor.defined()) return "undefined tensor";
  if (tensor.scalar_type() != c10::ScalarType::Int) return describe_indices(tensor, view);
  return describe_as(tensor, POLYOPS_INT32, view);
}

void describe_contiguous(c10::IntArrayRef sizes, c10::ScalarType type, polyops_tensor* view) {
  view->data = nullptr;
  view->dtype = dtype_of(type);
  view->rank = static_cast<int32_t>(sizes.size());
  int64_t stride = 1;
  for (int32_t d = view->rank - 1; d >= 0; --d) {
    view->sizes[d] = sizes[d];
    view->strides[d] = stride;
    stride *= sizes[d];
  }
}

void copy_strides(const at::Tensor& tensor, polyops_tensor* view) {
  const auto strides = tensor.strides();
  for (int32_t d = 0; d < view->rank; ++d) view->strides[d] = strides[d];
}

polyops_tensor absent() {
  polyops_tensor view;
  view.data = nullptr;
  view.dtype = POLYOPS_INVALID_DTYPE;
  view.rank = -1;
  return view;
}

void prepend_dimension(polyops_tensor* view) {
  for (int32_t d = view->rank; d > 0; --d) {
    view->sizes[d] = view->sizes[d - 1];
    view->strides[d] = view->strides[d - 1];
  }
  view->sizes[0] = 1;
  view->strides[0] = 0;
  ++view->rank;
}

void append_dimension(polyops_tensor* view) {
  view->sizes[view->rank] = 1;
  view->strides[view->rank] = 1;
  ++view->rank;
}

bool expand(polyops_tensor* view, c10::IntArrayRef sizes) {
  const auto rank = static_cast<int32_t>(sizes.size());
  if (view->rank > rank) return false;
  while (view->rank < rank) prepend_dimension(view);
  for (int32_t d = 0; d < rank; ++d) {
    if (view->sizes[d] == sizes[d]) continue;
    if (view->sizes[d] != 1) return false;
    view->sizes[d] = sizes[d];
    view->strides[d] = 0;
  }
  return true;
}

bool shares_storage(const at::Tensor& a, const at::Tensor& b) {
  return a.defined() && b.defined() && a.is_alias_of(b);
}

bool same_view(const at::Tensor& a, const at::Tensor& b) {
  return a.is_same(b) || (a.const_data_ptr() == b.const_data_ptr() && a.sizes() == b.sizes() &&
                          a.strides() == b.strides());
}

const char* check_out(const at::Tensor& out, c10::IntArrayRef sizes, const at::Tensor& like,
                      c10::ScalarType type) {
  if (!out.defined() || out.sizes() != sizes) return "out must be resized";
  if (out.scalar_type() != type || out.device() != like.device()) {
    return "out of another dtype or device";
  }
  if (may_overlap_itself(out)) return "out overlaps itself";
  return nullptr;
}

}  // namespace polyops::torch_binding
