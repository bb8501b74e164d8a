// All gradients of such images as last.h takes, by filters of 3x3 at stride 1, in one pass; how
// they come together is in columns_gradients.h. Bound: memory, input and gradient of the results
// read once, gradient of the input written once.
#ifndef POLYOPS_GPU_CONVOLUTION_LAST_GRADIENTS_H_
#define POLYOPS_GPU_CONVOLUTION_LAST_GRADIENTS_H_

#include "last.h"
#include "last_sums.h"

namespace polyops::gpu {
namespace {

using GradientsWindow = Window<3, 3, 1>;

// Taps and their sums in registers leave a thread 2 channels.
template <class T>
struct LastGradients {
  static constexpr int kElements = 2, kResults = 2;
  static constexpr int kPixels = kResults - 1 + GradientsWindow::kW;
  static constexpr int kBefore = GradientsWindow::kH - 1;
  static constexpr int kAhead = sizeof(T) == 2 ? 4 : 2;
  static constexpr int kThreads = 256, kBlocks = 2;
  static constexpr int kLanes = 64;
  static constexpr int kSums = GradientsWindow::kTaps + 1, kPass = kSums;
};

template <class T>
struct LastGradientsCall {
  Shape shape;  // turned: it reads gradients and results in pixels of the input
  SlideGrid grid;
  const T* grad;
  const T* src;
  T* dst;
  Taps<T> taps;  // turned
  Sums<T> sums;
};

template <class T>
using LastGradientSums = StripSums<GradientsWindow, LastGradients<T>>;

// Slides down one strip. Tensors: of the thread's channels.
template <class T>
GPU_DEVICE void slide_last_gradients(const LastGradientsCall<T>& call,
                                     const SlideStrip<LastGradients<T>>& strip, int32_t channel,
                                     const float (&w)[GradientsWindow::kTaps][2],
                                     LastGradientSums<T>* sums) {
  using Own = LastGradients<T>;
  const Shape& s = call.shape;
  const int32_t rows = strip.rows, steps = rows + Own::kBefore;
  const int32_t y = strip.row - s.h.padding, x = strip.column - s.w.padding;
  const int32_t in_pitch = s.w.in * s.channels, pitch = s.w.out * s.channels;
  const T* grad = call.grad + (strip.in(s, y, x) + channel);
  const T* src = call.src + (strip.out(s) + channel);
  T* to = call.dst + (strip.out(s) + channel);
  const bool inside =
      x >= 0 && x + Own::kPixels <= s.w.in && strip.column + Own::kResults <= s.w.out;
  const auto has_pixel = [&](int j) {
    return static_cast<uint32_t>(x + j) < static_cast<uint32_t>(s.w.in);
  };
  PixelRow<T, 2, Own::kPixels> next[Own::kAhead];
  PixelRow<T, 2, Own::kResults> next_own[Own::kAhead];
  const auto load = [&](int i, int32_t step) {
    if (step >= steps) return;
    next[i].load(grad, s.channels, x, s.w.in, y + step, s.h.in);
    if (step < rows) next_own[i].load(src, s.channels, strip.column, s.w.out, 0, 1);
    grad = ahead(grad, in_pitch, 1);
    src = ahead(src, pitch, 1);
  };
#pragma unroll
  for (int i = 0; i < Own::kAhead; ++i) load(i, i);
  const float none[2] = {0, 0};
  SlidingSums<GradientsWindow, Own> results;
#pragma unroll 1
  for (int32_t base = 0; base < steps; base += Own::kAhead) {
#pragma unroll
    for (int i = 0; i < Own::kAhead; ++i) {
      const int32_t step = base + i;
      if (step >= steps) break;
      float values[1][Own::kPixels][2];
      next[i].get(values[0]);
      sums->shift();
      if (step < rows) next_own[i].get(sums->grads[0]);
      load(i, step + Own::kAhead);
      results.add_step(step, rows, values, w, none);
      if (inside && step >= Own::kBefore && step < rows) {
#pragma unroll
        for (int m = 0; m <= Own::kBefore; ++m) {
          sums->add(m, Own::kResults, values, [](int) { return true; });
        }
      } else if (static_cast<uint32_t>(y + step) < static_cast<uint32_t>(s.h.in)) {
        sums->add_any(step, rows, strip.results, values, has_pixel);
      }
      // Each gradient once, whose place is that of an own pixel.
      if (static_cast<uint32_t>(step - 1) < static_cast<uint32_t>(rows)) {
#pragma unroll
        for (int c = 0; c < Own::kResults; ++c) {
#pragma unroll
          for (int e = 0; e < 2; ++e) sums->sums[GradientsWindow::kTaps][e] += values[0][c + 1][e];
        }
      }
      if (step < Own::kBefore) continue;
      store_pixels<Own>(results.done, to, s.channels, strip.results);
      to = ahead(to, pitch, 1);
    }
  }
}

template <class T>
GPU_KERNEL(LastGradients<T>::kThreads, LastGradients<T>::kBlocks)
gradients_of_last_channels(LastGradientsCall<T> call) {
  using Own = LastGradients<T>;
  constexpr int kTaps = GradientsWindow::kTaps;
  GPU_SHARED(float, shared, Own::kPass* Own::kThreads* Own::kElements);
  const Shape& s = call.shape;
  const SlideGrid& g = call.grid;
  const SlideLane<Own> lane(s, g);
  LastGradientSums<T> sums;
  if (lane.has) {
    const int32_t channel = lane.channel + lane.own;
    float w[kTaps][2];
#pragma unroll
    for (int i = 0; i < kTaps; ++i) {
#pragma unroll
      for (int e = 0; e < 2; ++e) w[i][e] = call.taps.at(channel + e, i / 3, i % 3);
    }
    const int32_t first = lane.block * g.turns * g.lines + lane.line;
#pragma unroll 1
    for (int32_t turn = 0; turn < g.turns; ++turn) {
      const int32_t index = first + turn * g.lines;
      if (index >= g.strips) break;
      slide_last_gradients(call, SlideStrip<Own>(index, s, g), channel, w, &sums);
    }
  }
  float all[Own::kSums][2];
#pragma unroll
  for (int i = 0; i <= kTaps; ++i) {
#pragma unroll
    for (int e = 0; e < 2; ++e) all[i][e] = sums.sums[i == kTaps ? i : kTaps - 1 - i][e];
  }
  add_lines<Own>(s, g, lane, all, call.sums, shared);
}

inline bool has_last_gradients(const Shape& s) {
  return s.h.taps == 3 && s.w.taps == 3 && s.h.stride == 1 && s.w.stride == 1 && s.h.padding == 1 &&
         s.w.padding == 1;
}
// Of any type: that decides nothing here.
inline int32_t last_gradients_splits(const Shape& s) {
  if (!has_last_gradients(s)) return 0;
  return splits_of(slide_grid<LastGradients<float>>(s, kSumMultiprocessors));
}

template <class T>
int launch_last_gradients(const BackwardArgs& a, const Shape& s, const polyops_context* ctx) {
  using Own = LastGradients<T>;
  const SlideGrid grid = slide_grid<Own>(s, kSumMultiprocessors);
  const LastGradientsCall<T> call = {turned(s),
                                     grid,
                                     static_cast<const T*>(a.grad_dst.data),
                                     static_cast<const T*>(a.src.data),
                                     static_cast<T*>(a.grad_src.data),
                                     turned(taps_of<T>(a.weight), s),
                                     sums_of<T>(a, splits_of(grid), ctx)};
  const LaunchShape shape = {int64_t{grid.columns} * splits_of(grid), Own::kThreads};
  const int status = launch(gradients_of_last_channels<T>, shape, ctx, call);
  return launch_add_parts(status, s, call.sums, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_LAST_GRADIENTS_H_
