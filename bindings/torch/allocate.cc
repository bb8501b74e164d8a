#include "torch/allocate.h"

#include <ATen/EmptyTensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_cpu_dispatch.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/empty_strided_cpu_dispatch.h>

#include <optional>

#include "torch/named_stock.h"

namespace polyops::torch_binding {
namespace {

using c10::IntArrayRef;
using c10::MemoryFormat;
using c10::ScalarType;
using OptionalDevice = std::optional<c10::Device>;

using Empty = at::Tensor(IntArrayRef, std::optional<ScalarType>, std::optional<c10::Layout>,
                         OptionalDevice, std::optional<bool>, std::optional<MemoryFormat>);
using EmptyStrided = at::Tensor(IntArrayRef, IntArrayRef, std::optional<ScalarType>,
                                std::optional<c10::Layout>, OptionalDevice, std::optional<bool>);

// NULL if torch has none by that name.
template <class Function>
Function* on_cuda(Function* of_cpu) {
  auto* const found = reinterpret_cast<Function*>(
      function_on(c10::DeviceType::CUDA, reinterpret_cast<void*>(of_cpu)));
  return found == of_cpu ? nullptr : found;
}

}  // namespace

at::Tensor allocate(const at::Tensor& like, IntArrayRef sizes, ScalarType type,
                    MemoryFormat format) {
  if (like.is_cpu()) {
    return at::Tensor(at::detail::empty_cpu(sizes, type, /*pin_memory=*/false, format));
  }
  if (like.is_cuda()) {
    static Empty* const empty = on_cuda<Empty>(at::cpu::empty);
    if (empty != nullptr) {
      return empty(sizes, type, c10::kStrided, like.device(), std::nullopt, format);
    }
  }
  return at::empty(sizes, like.options().dtype(type).memory_format(format));
}

at::Tensor allocate_strided(const at::Tensor& like, IntArrayRef sizes, IntArrayRef strides,
                            ScalarType type) {
  if (like.is_cpu()) return at::Tensor(at::detail::empty_strided_cpu(sizes, strides, type));
  if (like.is_cuda()) {
    static EmptyStrided* const empty = on_cuda<EmptyStrided>(at::cpu::empty_strided);
    if (empty != nullptr) {
      return empty(sizes, strides, type, c10::kStrided, like.device(), std::nullopt);
    }
  }
  return at::empty_strided(sizes, strides, like.options().dtype(type));
}

at::Tensor allocate_as(const at::Tensor& like) {
  if (!like.is_non_overlapping_and_dense()) return at::empty_like(like);
  return allocate_strided(like, like.sizes(), like.strides(), like.scalar_type());
}

}  // namespace polyops::torch_binding
