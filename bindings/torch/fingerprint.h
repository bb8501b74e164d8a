// A call in 64 bits: its tensors' kind, sizes and strides and its other arguments, never data. Two
// calls that differ share one by a chance of 2^-64 only, so what rests on it may cost time then,
// but must not be wrong.
#ifndef POLYOPS_BINDINGS_TORCH_FINGERPRINT_H_
#define POLYOPS_BINDINGS_TORCH_FINGERPRINT_H_

#include <ATen/core/IListRef.h>
#include <ATen/core/List.h>
#include <ATen/core/Tensor.h>
#include <c10/core/Scalar.h>
#include <c10/core/SymInt.h>

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>

namespace polyops::torch_binding {

class Fingerprint {
 public:
  template <class... Args>
  explicit Fingerprint(const Args&... args) {
    (add(args), ...);
  }

  uint64_t value() const { return value_; }

  template <class T>
    requires std::is_integral_v<T> || std::is_enum_v<T>
  void add(T value) {
    add_word(static_cast<uint64_t>(value));
  }
  void add(const void* address) { add_word(reinterpret_cast<uintptr_t>(address)); }
  void add(double value) { add_word(std::bit_cast<uint64_t>(value)); }
  void add(const c10::Scalar& value) {
    add(value.type());
    add(value.isComplex() ? 0 : value.toDouble());
  }
  void add(const c10::SymInt& value) { add(value.maybe_as_int()); }
  void add(std::string_view text) {
    for (const char c : text) add(c);
  }
  void add(c10::IntArrayRef values) {
    add(values.size());
    for (const int64_t v : values) add(v);
  }
  template <size_t n>
  void add(const std::array<bool, n>& values) {
    for (const bool v : values) add(v);
  }
  template <class T>
  void add(const std::optional<T>& value) {
    add(value.has_value());
    if (value.has_value()) add(*value);
  }
  void add(const at::OptionalIntArrayRef& values) {
    add(values.has_value());
    if (values.has_value()) add(*values);
  }
  void add(const at::ITensorListRef& tensors) {
    add(tensors.size());
    for (const at::Tensor& tensor : tensors) add(tensor);
  }
  void add(const c10::List<std::optional<at::Tensor>>& tensors) {
    add(tensors.size());
    for (const std::optional<at::Tensor>& tensor : tensors) add(tensor);
  }
  void add(const at::Tensor& tensor) {
    if (!tensor.defined()) return add(false);
    add(tensor.key_set().raw_repr());
    add(tensor.scalar_type());
    const auto sizes = tensor.sizes(), strides = tensor.strides();
    add(sizes.size());
    // A dimension in one step: they make a chain, of some 15 for a product.
    for (size_t d = 0; d < sizes.size(); ++d) {
      add_word(static_cast<uint64_t>(sizes[d]) * kOther + static_cast<uint64_t>(strides[d]));
    }
  }

 private:
  static constexpr uint64_t kOdd = 0x9e3779b97f4a7c15, kOther = 0xd6e8feb86659fd93;

  void add_word(uint64_t word) { value_ = (value_ ^ word) * kOdd; }

  uint64_t value_ = kOther;
};

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_TORCH_FINGERPRINT_H_
