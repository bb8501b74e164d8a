// Whether any element is true, or all are, that is whether none is false: bits of what was found,
// of elements of floating point, or of four bytes at a time.
#ifndef POLYOPS_GPU_REDUCTION_SEARCH_H_
#define POLYOPS_GPU_REDUCTION_SEARCH_H_

#include <cstdint>

#include "gpu.h"
#include "states.h"

namespace polyops::gpu {
namespace {

// What is true has its high bit set, or its bytes have theirs; other bits say nothing. flip: all
// bits to look for what is false. (With predicates a loop over packs of bfloat16 has 199
// instructions, so 130.)
struct Elements {
  static constexpr uint32_t kBits = 0x80000000u;
  uint32_t flip;
  GPU_DEVICE uint32_t found(float x) const {  // NaN is true
    return ((float_bits(x) & 0x7fffffffu) + 0x7fffffffu) ^ flip;
  }
};

struct Bytes {
  static constexpr uint32_t kBits = 0x80808080u;
  uint32_t flip;
  GPU_DEVICE uint32_t found(float word) const {
    const uint32_t w = float_bits(word);
    return (((w & 0x7f7f7f7fu) + 0x7f7f7f7fu) | w) ^ flip;
  }
};

// What lanes, and chunks, leave each other are words, not numbers.
template <class Of>
struct SearchOf {
  using Numbers = gpu::Numbers<1>;
  struct Finish;

  GPU_DEVICE static Numbers none() { return {{0}}; }
  GPU_DEVICE static Numbers merge(const Numbers& a, const Numbers& b) {
    return {{float_of_bits(float_bits(a.v[0]) | float_bits(b.v[0]))}};
  }

  template <int kWide>
  struct Many {
    Of of;
    uint32_t found[kWide] = {};

    GPU_DEVICE explicit Many(const Finish& to) : of(to.of) {}
    GPU_DEVICE Numbers get(int j) const { return {{float_of_bits(found[j] & Of::kBits)}}; }
    template <int kRows>
    GPU_DEVICE void take(const float (&x)[kRows][kWide]) {
#pragma unroll
      for (int j = 0; j < kWide; ++j) {
#pragma unroll
        for (int i = 0; i < kRows; ++i) found[j] |= of.found(x[i][j]);
      }
    }
  };

  template <int kWide>
  GPU_DEVICE static Many<kWide> begin(const Finish& to) {
    return Many<kWide>(to);
  }

  // Results are bytes, or four of them where those of a word are different results'.
  struct Finish {
    uint8_t* dst;
    Of of;
    bool words;

    GPU_DEVICE uint32_t four(uint32_t found) const { return (found ^ of.flip) >> 7 & 0x01010101u; }
    GPU_DEVICE uint32_t one(uint32_t found) const {
      return ((found & Of::kBits) != 0) != (of.flip != 0) ? 1 : 0;
    }
    GPU_DEVICE void store(int64_t at, const Numbers& x) const {
      const uint32_t found = float_bits(x.v[0]);
      if (words) {
        reinterpret_cast<uint32_t*>(dst)[at] = four(found);
      } else {
        dst[at] = static_cast<uint8_t>(one(found));
      }
    }
    template <int kCount>
    GPU_DEVICE void store_pack(int64_t at, const Many<kCount>& all) const {
      if constexpr (kCount == 4) {
        if (words) {
          const auto& x = all.found;
          store_words(reinterpret_cast<uint32_t*>(dst) + at,
                      {{four(x[0]), four(x[1]), four(x[2]), four(x[3])}});
          return;
        }
      }
#pragma unroll
      for (int k = 0; k < kCount; k += 4) {
        uint32_t bytes = 0;
#pragma unroll
        for (int j = 0; j < 4; ++j) bytes |= one(all.found[k + j]) << 8 * j;
        *reinterpret_cast<uint32_t*>(dst + at + k) = bytes;
      }
    }
    bool aligned() const { return reinterpret_cast<uintptr_t>(dst) % 16 == 0; }
  };
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_REDUCTION_SEARCH_H_
