// All gradients of images whose channels lie next to each other, by filters of 3x3 at stride 2, in
// one pass (spread_walk.h), where strips are whole ones. Bound: memory, input and gradient of the
// results read once, gradient of the input written once.
#ifndef POLYOPS_GPU_CONVOLUTION_SPREAD_LAST_GRADIENTS_H_
#define POLYOPS_GPU_CONVOLUTION_SPREAD_LAST_GRADIENTS_H_

#include "last_sums.h"
#include "spread_walk.h"

namespace polyops::gpu {
namespace {

using SpreadWindow = Window<3, 3, 2>;

// Some neighbouring gradients of 2 channels: those around the thread's own.
template <class Own, class T>
struct SpreadLastGrads {
  Few<T, 2> few[Own::kColumns];

  GPU_DEVICE void clear() {
    for (auto& one : few) one.clear();
  }
  GPU_DEVICE void load(const T* own, int32_t channels, bool has_left, bool has_right) {
#pragma unroll
    for (int j = 0; j < Own::kColumns; ++j) {
      const int of = j - Own::kBack;
      if ((of < 0 && !has_left) || (of >= Own::kResults && !has_right)) continue;
      few[j].load(ahead(own, channels, of));
    }
  }
  GPU_DEVICE void get(float (&x)[Own::kColumns][2]) const {
#pragma unroll
    for (int j = 0; j < Own::kColumns; ++j) few[j].get(x[j]);
  }
};

template <class Own, class T>
struct SpreadLastPixels {
  Few<T, 2> few[Own::kPixels];

  GPU_DEVICE void load(const T* first, int32_t channels) {
#pragma unroll
    for (int j = 0; j < Own::kPixels; ++j) few[j].load(ahead(first, channels, j));
  }
  GPU_DEVICE void get(float (&x)[Own::kPixels][2]) const {
#pragma unroll
    for (int j = 0; j < Own::kPixels; ++j) few[j].get(x[j]);
  }
  GPU_DEVICE static void store(const float (&x)[Own::kPixels][2], T* p, int32_t channels) {
#pragma unroll
    for (int j = 0; j < Own::kPixels; ++j) {
      Few<T, 2> one;
      one.set(x[j]);
      one.store(ahead(p, channels, j));
    }
  }
};

// Taps and their sums are in registers.
template <class T>
struct SpreadLast : SpreadWalk<SpreadWindow, 2> {
  static constexpr int kElements = 2, kAhead = sizeof(T) == 2 ? 3 : 2;
  static constexpr int kThreads = 256, kBlocks = 2;
  static constexpr int kLanes = 64;
  static constexpr int kSums = SpreadWindow::kTaps + 1, kPass = kSums;
  using Grads = SpreadLastGrads<SpreadLast, T>;
  using Pixels = SpreadLastPixels<SpreadLast, T>;
  GPU_DEVICE static int32_t step(const Shape& s) { return s.channels; }
};

template <class T>
struct SpreadLastCall {
  Shape shape;
  SlideGrid grid;
  const T* grad;
  const T* src;
  T* dst;
  Taps<T> taps;
  Sums<T> sums;
};

template <class T>
GPU_KERNEL(SpreadLast<T>::kThreads, SpreadLast<T>::kBlocks)
gradients_of_spread_last(SpreadLastCall<T> call) {
  using Own = SpreadLast<T>;
  GPU_SHARED(float, shared, Own::kPass* Own::kThreads* Own::kElements);
  const Shape& s = call.shape;
  const SlideGrid& g = call.grid;
  const SlideLane<Own> lane(s, g);
  SpreadSums<SpreadWindow, Own> own = {};
  if (lane.has) {
    const int32_t channel = lane.channel + lane.own;
#pragma unroll
    for (int i = 0; i < SpreadWindow::kTaps; ++i) {
#pragma unroll
      for (int e = 0; e < 2; ++e) own.w[i][e] = call.taps.at(channel + e, i / 3, i % 3);
    }
    const int32_t begin = lane.block * g.turns * g.lines + lane.line;
#pragma unroll 1
    for (int32_t turn = 0; turn < g.turns; ++turn) {
      const int32_t index = begin + turn * g.lines;
      if (index >= g.strips) break;
      const SlideStrip<Own> strip(index, s, g);
      const int64_t of_image = int64_t{strip.n} * s.out() + strip.column;
      const int64_t first = strip.in(s, 2 * strip.row, 2 * strip.column) + channel;
      const SpreadStrip<T> its = {call.grad + (of_image * s.channels + channel),
                                  call.src + first,
                                  call.dst + first,
                                  strip.row,
                                  strip.rows,
                                  strip.column > 0,
                                  strip.column + Own::kResults < s.w.out};
      slide_spread<SpreadWindow, Own, T>(s, its, &own);
    }
  }
  add_lines<Own>(s, g, lane, own.sums, call.sums, shared);
}

inline bool has_spread_last(const Shape& s) {
  if (s.h.taps != 3 || s.w.taps != 3 || s.w.out % 2 != 0) return false;
  for (const Axis* axis : {&s.h, &s.w}) {
    if (axis->stride != 2 || axis->padding != 1 || axis->in != axis->out * 2) return false;
  }
  return true;
}
// Of any type: that decides nothing here.
inline int32_t spread_last_splits(const Shape& s) {
  if (!has_spread_last(s)) return 0;
  return splits_of(slide_grid<SpreadLast<float>>(s, kSumMultiprocessors));
}

template <class T>
int launch_spread_last_gradients(const BackwardArgs& a, const Shape& s,
                                 const polyops_context* ctx) {
  using Own = SpreadLast<T>;
  const SlideGrid grid = slide_grid<Own>(s, kSumMultiprocessors);
  const SpreadLastCall<T> call = {s,
                                  grid,
                                  static_cast<const T*>(a.grad_dst.data),
                                  static_cast<const T*>(a.src.data),
                                  static_cast<T*>(a.grad_src.data),
                                  taps_of<T>(a.weight),
                                  sums_of<T>(a, splits_of(grid), ctx)};
  const LaunchShape shape = {int64_t{grid.columns} * splits_of(grid), Own::kThreads};
  const int status = launch(gradients_of_spread_last<T>, shape, ctx, call);
  return launch_add_parts(status, s, call.sums, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_SPREAD_LAST_GRADIENTS_H_
