// A pack of the input's elements as results of another type: half a pack of those, one, or two.
#ifndef POLYOPS_GPU_STORE_H_
#define POLYOPS_GPU_STORE_H_

#include <cstdint>

#include "gpu.h"

namespace polyops::gpu {
namespace {

// The alignment that store_elements() wants of that many.
template <class U, int kCount>
inline constexpr int kStoreAlignment = kCount * sizeof(U) < 16 ? kCount * sizeof(U) : 16;

struct alignas(8) HalfPack {
  uint32_t w[2];
} __attribute__((may_alias));
struct OneWord {
  uint32_t w;
} __attribute__((may_alias));

// In one access, which nvcc makes two of where a HalfPack is stored.
GPU_DEVICE void store_half_pack(void* p, uint32_t low, uint32_t high) {
  struct Both {
    uint64_t w;
  } __attribute__((may_alias));
  static_cast<Both*>(p)->w = low | static_cast<uint64_t>(high) << 32;
}

template <class U, int kCount>
GPU_DEVICE void store_elements(U* p, const float (&x)[kCount]) {
  if constexpr (kCount == kPack<U>) {
    store_words(p, pack<U>(x));
  } else if constexpr (kCount > kPack<U>) {
#pragma unroll
    for (int k = 0; k < kCount; k += kPack<U>) {
      float part[kPack<U>];
#pragma unroll
      for (int j = 0; j < kPack<U>; ++j) part[j] = x[k + j];
      store_words(p + k, pack<U>(part));
    }
  } else {
    static_assert(kCount == 4 && kPack<U> == 8);
    store_half_pack(p, narrow2<U>(x[0], x[1]), narrow2<U>(x[2], x[3]));
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_STORE_H_
