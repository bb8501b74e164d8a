// Numbers of rows, int32 or int64, as kernels read them: loaded first, several at a time, and then
// looked at all together, since a branch between two loads makes the second wait for the first.
#ifndef POLYOPS_GPU_INDICES_H_
#define POLYOPS_GPU_INDICES_H_

#include <cstdint>

#include "gpu.h"
#include "polyops/tensor_view.h"

namespace polyops::gpu {
namespace {

// As in memory; of int32 the low half alone.
struct Index {
  uint32_t low, high;
};

struct alignas(4) IndexHalf {
  uint32_t w;
} __attribute__((may_alias));

struct Indices {
  const void* data;
  int64_t step;   // in halves
  uint32_t rows;  // of what they name
  int32_t is_short;

  GPU_DEVICE Index load(uint32_t i) const {
    const IndexHalf* const half = static_cast<const IndexHalf*>(data) + i * step;
    return {half[0].w, is_short != 0 ? 0 : half[1].w};
  }
  // Those that begin so many halves behind.
  GPU_DEVICE Indices from(int64_t halves) const {
    return {static_cast<const IndexHalf*>(data) + halves, step, rows, is_short};
  }
  // With negative ones counted from the end: -1 is the last row.
  GPU_DEVICE Index counted(const Index& index) const {
    const uint64_t all = uint64_t{index.high} << 32 | index.low;
    int64_t value = is_short != 0 ? static_cast<int32_t>(index.low) : static_cast<int64_t>(all);
    if (value < 0) value += rows;
    return {static_cast<uint32_t>(value), static_cast<uint32_t>(value >> 32)};
  }
  // Whether it is a row's: negative ones are large.
  GPU_DEVICE bool names(const Index& index) const { return index.high == 0 && index.low < rows; }
  GPU_DEVICE uint32_t row(const Index& index) const { return names(index) ? index.low : 0; }
};

inline int64_t numel_between(const polyops_tensor& t, int begin, int end) {
  int64_t n = 1;
  for (int d = begin; d < end; ++d) n *= t.sizes[d];
  return n;
}

// Whether the dimensions [begin, end) are as one; what that one's stride is, if it has more than
// one element.
inline bool merges(const polyops_tensor& t, int begin, int end, int64_t* stride) {
  bool any = false;
  int64_t expected = 0;
  for (int d = end - 1; d >= begin; --d) {
    if (t.sizes[d] == 1) continue;
    if (any && t.strides[d] != expected) return false;
    if (!any) *stride = t.strides[d];
    any = true;
    expected = t.strides[d] * t.sizes[d];
  }
  return true;
}

inline bool are_indices(const polyops_tensor& t) {
  return t.dtype == POLYOPS_INT64 || t.dtype == POLYOPS_INT32;
}

inline Indices indices_of(const polyops_tensor& t, int64_t rows) {
  const bool is_short = t.dtype == POLYOPS_INT32;
  return {t.data, is_short ? t.strides[0] : 2 * t.strides[0], static_cast<uint32_t>(rows),
          is_short};
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_INDICES_H_
