// Numbers of rows, int32 or int64, as kernels read them.
#ifndef POLYOPS_GPU_INDICES_H_
#define POLYOPS_GPU_INDICES_H_

#include <cstdint>

#include "gpu.h"
#include "polyops/tensor_view.h"

namespace polyops::gpu {
namespace {

struct Indices {
  const void* data;
  int64_t step;
  uint32_t rows;  // of what they name
  int32_t is_short;

  // Halts if it is no row, and gives 0 then.
  GPU_DEVICE uint32_t at(uint32_t i) const {
    const int64_t place = i * step;
    const int64_t index = is_short != 0 ? static_cast<const int32_t*>(data)[place]
                                        : static_cast<const int64_t*>(data)[place];
    const bool inside = index >= 0 && index < rows;
    halt_unless(inside);
    return inside ? static_cast<uint32_t>(index) : 0;
  }
};

inline bool are_indices(const polyops_tensor& t) {
  return t.dtype == POLYOPS_INT64 || t.dtype == POLYOPS_INT32;
}

inline Indices indices_of(const polyops_tensor& t, int64_t rows) {
  return {t.data, t.strides[0], static_cast<uint32_t>(rows), t.dtype == POLYOPS_INT32};
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_INDICES_H_
