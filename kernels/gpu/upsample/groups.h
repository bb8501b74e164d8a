// Images that get exactly kTimes as many rows and columns, by centres of pixels: the results
// between the centres of two neighbours in src, a group of kTimes, are made of the same places, by
// weights that are the same in each group. Group q lies behind place q, so the first one, half of
// it, is group -1, and its taps begin at place q + 1 - kTaps / 2.
#ifndef POLYOPS_GPU_UPSAMPLE_GROUPS_H_
#define POLYOPS_GPU_UPSAMPLE_GROUPS_H_

#include "image.h"

namespace polyops::gpu {
namespace {

// Known when a kernel is compiled.
template <class Mode, int kTimes>
struct GroupWeights {
  float of[kTimes][Mode::kTaps];

  GPU_DEVICE GroupWeights() {
#pragma unroll
    for (int f = 0; f < kTimes; ++f) {
      Mode::weights(static_cast<float>(2 * f + 1) / static_cast<float>(2 * kTimes), of[f]);
    }
  }
};

// Where positions are exact, so that they are what axis.h makes of them. The edges of a single
// place are no case of the kernels.
inline bool has_groups(const Axis& axis, int times) {
  return axis.shift == 0.5f && axis.scale == 1.0f / static_cast<float>(times) && axis.from > 1 &&
         axis.to < 1 << 20 && axis.to == axis.from * times;
}
template <class T>
bool has_groups(const Image<T>& image, int times) {
  return has_groups(image.rows, times) && has_groups(image.columns, times) &&
         image.columns.to % kPack<T> == 0 && reinterpret_cast<uintptr_t>(image.in) % 16 == 0 &&
         reinterpret_cast<uintptr_t>(image.out) % 16 == 0;
}

// So many aligned bytes, as words.
template <int kBytes>
struct alignas(kBytes) Unit {
  static constexpr int kWords = kBytes / 4;
  uint32_t w[kWords];

  GPU_DEVICE void load(const void* p) {
    if constexpr (kBytes == 16) {
      load_16(p, w);
    } else {
      *this = *static_cast<const Unit*>(p);
    }
  }
  template <class T>
  GPU_DEVICE void get(float* x) const {
#pragma unroll
    for (int i = 0; i < kWords; ++i) {
      if constexpr (sizeof(T) == 4) {
        x[i] = float_of_bits(w[i]);
      } else {
        widen2<T>(w[i], &x[2 * i], &x[2 * i + 1]);
      }
    }
  }
  template <class T>
  GPU_DEVICE static void store(T* p, const float* x) {
    Unit unit;
#pragma unroll
    for (int i = 0; i < kWords; ++i) {
      if constexpr (sizeof(T) == 4) {
        unit.w[i] = float_bits(x[i]);
      } else {
        unit.w[i] = narrow2<T>(x[2 * i], x[2 * i + 1]);
      }
    }
    *reinterpret_cast<Unit*>(p) = unit;
  }
} __attribute__((may_alias));

// Rows that a thread goes down, of so many, if so many threads do each: the most that leave a
// device nearly full once.
inline int rows_of_thread(int64_t threads, int rows, int most, const polyops_context* ctx) {
  const int64_t enough = enough_threads(ctx) / 4 * 3;
  int count = most;
  while (count > 2 && threads * ((rows + count - 1) / count) < enough) count /= 2;
  return count;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_UPSAMPLE_GROUPS_H_
