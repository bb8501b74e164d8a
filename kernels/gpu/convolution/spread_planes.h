// What a thread has of the planes of rows that spread_gradients.h takes (spread_walk.h), and which
// images are such.
#ifndef POLYOPS_GPU_CONVOLUTION_SPREAD_PLANES_H_
#define POLYOPS_GPU_CONVOLUTION_SPREAD_PLANES_H_

#include "plane_gradients.h"
#include "spread_walk.h"

namespace polyops::gpu {
namespace {

// Gradients of a row: a thread's own, and its neighbours' nearest, a word of them each.
template <class Own, class T>
struct SpreadPlaneGrads {
  static constexpr int kNear = 4 / static_cast<int>(sizeof(T));
  Few<T, kNear> left, right;
  Few<T, Own::kResults> own;

  GPU_DEVICE void clear() {
    left.clear();
    right.clear();
  }
  // first: of the thread's own.
  GPU_DEVICE void load(const T* first, int32_t, bool has_left, bool has_right) {
    if (Own::kBack > 0 && has_left) left.load(first - kNear);
    own.load(first);
    if (has_right) right.load(first + Own::kResults);
  }
  GPU_DEVICE void get(float (&x)[Own::kColumns][1]) const {
    float near[kNear], mine[Own::kResults];
    if constexpr (Own::kBack > 0) {
      left.get(near);
      x[0][0] = near[kNear - 1];
    }
    own.get(mine);
#pragma unroll
    for (int j = 0; j < Own::kResults; ++j) x[Own::kBack + j][0] = mine[j];
    right.get(near);
    x[Own::kBack + Own::kResults][0] = near[0];
  }
};

// Pixels of a row.
template <class Own, class T>
struct SpreadPlanePixels {
  static constexpr int kMost = 16 / static_cast<int>(sizeof(T));
  static constexpr int kEach = Own::kPixels < kMost ? Own::kPixels : kMost;
  static constexpr int kCount = Own::kPixels / kEach;
  Few<T, kEach> few[kCount];

  GPU_DEVICE void load(const T* p, int32_t) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) few[i].load(p + i * kEach);
  }
  GPU_DEVICE void get(float (&x)[Own::kPixels][1]) const {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      float part[kEach];
      few[i].get(part);
#pragma unroll
      for (int j = 0; j < kEach; ++j) x[i * kEach + j][0] = part[j];
    }
  }
  GPU_DEVICE static void store(const float (&x)[Own::kPixels][1], T* p, int32_t) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      float part[kEach];
#pragma unroll
      for (int j = 0; j < kEach; ++j) part[j] = x[i * kEach + j][0];
      Few<T, kEach> all;
      all.set(part);
      all.store(p + i * kEach);
    }
  }
};

template <class W, int kWide, class T>
struct SpreadPlanes : SpreadWalk<W, kWide> {
  // Of 5x5 taps (bfloat16 64x144x56x56: 55.2 us, otherwise 58.7); of 3x3 ones it takes longer.
  static constexpr bool kAsksFirst = W::kTaps == 25 && sizeof(T) == 2;
  static constexpr int kAhead = kAsksFirst ? 2 : SpreadWalk<W, kWide>::kAhead;
  static constexpr int kElements = 1;
  static constexpr int kThreads = 64;
  static constexpr int kBlocks = W::kS == 2 && W::kTaps == 9 && sizeof(T) == 2 ? 10 : 8;
  using Grads = SpreadPlaneGrads<SpreadPlanes, T>;
  using Pixels = SpreadPlanePixels<SpreadPlanes, T>;
  GPU_DEVICE static int32_t step(const Shape&) { return 1; }
};

inline bool has_spread_gradients(const Shape& s, int element_bytes) {
  if (!has_columns(s)) return false;
  return s.w.stride == 2 || (s.w.taps == 3 && s.w.out % (16 / element_bytes) == 0);
}

// Calls f.operator()<W, Own>(). Of a thread, a row of pixels is one pack, if rows are whole ones.
template <class T, class F>
int with_spread_gradients(const Shape& s, F f) {
  if (s.w.stride == 1) {
    using W = Window<3, 3, 1>;
    return f.template operator()<W, SpreadPlanes<W, kPack<T>, T>>();
  }
  const auto with_wide = [&]<class W>() -> int {
    if constexpr (sizeof(T) == 2) {
      if (s.w.out % 4 == 0) return f.template operator()<W, SpreadPlanes<W, 4, T>>();
    }
    return f.template operator()<W, SpreadPlanes<W, 2, T>>();
  };
  if (s.w.taps == 3) return with_wide.template operator()<Window<3, 3, 2>>();
  return with_wide.template operator()<Window<5, 5, 2>>();
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_SPREAD_PLANES_H_
