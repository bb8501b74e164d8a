// All gradients of such images as columns.h takes, at stride 2, and of 3x3 taps at stride 1, in one
// pass (spread_walk.h). Bound: memory, input and gradient of the results read once, gradient of the
// input written once. On an H200, before and since: bfloat16 64x144x56x56 5x5 at stride 2 116 and
// 55 us, 32x96x112x112 3x3 at stride 2 91 and 59, in float32 131 and 107.
#ifndef POLYOPS_GPU_CONVOLUTION_SPREAD_GRADIENTS_H_
#define POLYOPS_GPU_CONVOLUTION_SPREAD_GRADIENTS_H_

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
  // Of 5x5 taps, 58.7 and 55.2 us; of 3x3 ones it takes longer.
  static constexpr bool kAsksFirst = W::kTaps == 25 && sizeof(T) == 2;
  static constexpr int kAhead = kAsksFirst ? 2 : SpreadWalk<W, kWide>::kAhead;
  static constexpr int kElements = 1;
  static constexpr int kThreads = 64;
  static constexpr int kBlocks = W::kS == 2 && W::kTaps == 9 && sizeof(T) == 2 ? 10 : 8;
  using Grads = SpreadPlaneGrads<SpreadPlanes, T>;
  using Pixels = SpreadPlanePixels<SpreadPlanes, T>;
  GPU_DEVICE static int32_t step(const Shape&) { return 1; }
};

template <class W, class Own, class T>
GPU_KERNEL(Own::kThreads, Own::kBlocks)
gradients_of_spread(PlaneGradientsCall<T> call) {
  GPU_SHARED(float, shared, (W::kTaps + 1) * kMostWaves);
  const Shape& s = call.shape;
  const SplitOfChannel place(s.channels);
  SpreadSums<W, Own> own = {};
#pragma unroll
  for (int i = 0; i < W::kTaps; ++i) {
    own.w[i][0] = call.taps.at(place.channel, i / W::kW, i % W::kW);
  }
  for_strips<Own>(call, place, [&](const ColumnStrip& strip) {
    const int64_t first = strip.plane * s.in() + W::kS * (strip.first * s.w.in + strip.column);
    const SpreadStrip<T> its = {call.grad + (strip.plane * s.out() + strip.column),
                                call.src + first,
                                call.dst + first,
                                strip.first,
                                strip.rows,
                                strip.column > 0,
                                strip.column + Own::kResults < s.w.out};
    slide_spread<W, Own, T>(s, its, &own);
  });
  float all[W::kTaps + 1];
#pragma unroll
  for (int i = 0; i <= W::kTaps; ++i) all[i] = own.sums[i][0];
  put_sums(all, s, place, call.sums, shared);
}

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

template <class T>
int64_t spread_gradients_splits(const Shape& s) {
  int64_t splits = 0;
  if (!has_spread_gradients(s, sizeof(T))) return splits;
  with_spread_gradients<T>(s, [&]<class W, class Own>() {
    splits = splits_of<Own>(plane_stretches<Own>(s, 0));
    return POLYOPS_OK;
  });
  return splits;
}

template <class T>
int launch_spread_gradients(const BackwardArgs& a, const Shape& s, const polyops_context* ctx) {
  return with_spread_gradients<T>(s, [&]<class W, class Own>() {
    return launch_plane_gradients<Own>(gradients_of_spread<W, Own, T>, a, s, taps_of<T>(a.weight),
                                       plane_stretches<Own>(s, 0), ctx);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_SPREAD_GRADIENTS_H_
