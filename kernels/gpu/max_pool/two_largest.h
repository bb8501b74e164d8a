// The largest of elements of 16 bits, two to a word that are looked for side by side, and where
// they are, by numbers of 16 bits: of equal ones the first. Of a NaN it is known only that there is
// one.
#ifndef POLYOPS_GPU_MAX_POOL_TWO_LARGEST_H_
#define POLYOPS_GPU_MAX_POOL_TWO_LARGEST_H_

#include <cstdint>
#include <type_traits>

#include "gpu.h"

namespace polyops::gpu {
namespace {

constexpr uint32_t kEach = 0x00010001;  // 1 in both halves

struct OneHalf {
  uint16_t w;
} __attribute__((may_alias));

template <class T>
GPU_DEVICE uint32_t two_at(const T* low, const T* high) {
  const uint32_t x = reinterpret_cast<const OneHalf*>(low)->w;
  return x | static_cast<uint32_t>(reinterpret_cast<const OneHalf*>(high)->w) << 16;
}

// The largest elements of two windows, or of two halves of one, and how far behind the first one of
// each they are.
template <class T>
struct TwoLargest {
  uint32_t value, beyond;

  // What comes behind, by so much.
  GPU_DEVICE void take(uint32_t x, uint32_t x_beyond) {
    const uint32_t larger = larger2<T>(x, value);
    value = max2<T>(value, x);
    beyond = (x_beyond & larger) | (beyond & ~larger);
  }
  GPU_DEVICE void take(const TwoLargest& row, int by) {
    take(row.value, row.beyond + static_cast<uint32_t>(by) * kEach);
  }
  // Which have a NaN, by their upper bits: max2()'s is positive, and the only one that gets there.
  GPU_DEVICE uint32_t nans() const {
    const uint32_t behind_infinity = std::is_same_v<T, bf16> ? 0x007f007f : 0x03ff03ff;
    return ((value & 0x7fff7fff) + behind_infinity) & 0x80008000;
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_MAX_POOL_TWO_LARGEST_H_
