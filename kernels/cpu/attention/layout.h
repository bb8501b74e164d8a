// Which tensors the kernels of attention take: forward and backward ask the same.
#ifndef POLYOPS_CPU_ATTENTION_LAYOUT_H_
#define POLYOPS_CPU_ATTENTION_LAYOUT_H_

#include <cstddef>
#include <cstdint>

#include "polyops/ops/attention.h"
#include "simd/simd.h"

namespace polyops::cpu {
namespace {

inline bool unit_stride(const polyops_tensor& t) { return t.sizes[3] == 1 || t.strides[3] == 1; }

// operands: all tensors of one dtype, that must have rows.
template <size_t N>
const char* unsupported(const polyops_tensor* const (&operands)[N], const polyops_tensor& mask,
                        const polyops_tensor& logsumexp) {
  const int32_t dtype = operands[0]->dtype;
  if (!has_dtype(dtype)) return "dtype";
  for (const polyops_tensor* t : operands) {
    if (t->dtype != dtype) return "dtype";
  }
  const int32_t wide = dtype == POLYOPS_FLOAT64 ? POLYOPS_FLOAT64 : POLYOPS_FLOAT32;
  if (logsumexp.dtype != wide) return "dtype";
  if (polyops_is_present(&mask) && mask.dtype != dtype && mask.dtype != POLYOPS_FLOAT32) {
    return "dtype";
  }
  for (const polyops_tensor* t : operands) {
    if (!unit_stride(*t)) return "layout";
  }
  return nullptr;
}

inline const char* unsupported(const polyops_attention_args& a) {
  const polyops_tensor* const operands[] = {&a.query, &a.key, &a.value, &a.dst};
  return unsupported(operands, a.mask, a.logsumexp);
}

inline const char* unsupported(const polyops_attention_backward_args& a) {
  const polyops_tensor* const operands[] = {&a.query, &a.grad_dst,   &a.key,      &a.value,
                                            &a.dst,   &a.grad_query, &a.grad_key, &a.grad_value};
  return unsupported(operands, a.mask, a.logsumexp);
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_ATTENTION_LAYOUT_H_
