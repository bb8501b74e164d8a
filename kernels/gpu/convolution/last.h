// Depthwise convolution of images whose channels lie next to each other; small filters without
// dilation. With the filter turned, the gradient of the input at stride 1. Bound: memory, 2
// elements moved per result. As a thread slides down the image (slide.h), taps and unfinished sums
// stay in registers, and the next row is on its way while one is multiplied. Most of those at
// stride 2 are last_ring_forward.h's.
#ifndef POLYOPS_GPU_CONVOLUTION_LAST_H_
#define POLYOPS_GPU_CONVOLUTION_LAST_H_

#include "slide.h"
#include "sliding_sums.h"

namespace polyops::gpu {
namespace {

// What a thread has; a step finishes a row of results. Taps in registers leave 7x7 2 channels.
template <class W, class T>
struct LastSlide {
  static constexpr int kElements = W::kTaps > 9 || sizeof(T) == 4 ? 2 : 4;  // channels
  static constexpr int kResults = W::kS == 1 ? 4 : 2;                       // of a row
  static constexpr int kPixels = (kResults - 1) * W::kS + W::kW;
  static constexpr int kBefore = (W::kH - 1) / W::kS;
  // So many threads of a multiprocessor have registers.
  static constexpr int kThreads = W::kTaps == 25 ? 192 : 256;
  static constexpr int kBlocks = W::kTaps == 49 ? 1 : kElements * W::kTaps == 18 ? 3 : 2;
  static constexpr int kLanes = 64;                       // of a block with other channels, at most
  static constexpr int kStride = kLanes * kElements + 4;  // of taps in shared memory
};

template <class T>
struct LastCall {
  Shape shape;
  SlideGrid grid;
  const T* src;
  T* dst;
  Taps<T> taps;
  Bias<T> bias;
};

// The block's filters as [tap][channel], then its bias. Reads run along memory where filters are
// contiguous. A barrier follows.
template <class W, class T>
GPU_DEVICE void stage_taps(const LastCall<T>& call, const SlideLane<LastSlide<W, T>>& lane,
                           float* taps) {
  for (int32_t i = thread_id(); i < lane.channels * W::kTaps; i += LastSlide<W, T>::kThreads) {
    const int32_t c = i / W::kTaps, tap = i - c * W::kTaps;
    taps[tap * LastSlide<W, T>::kStride + c] =
        call.taps.at(lane.channel + c, tap / W::kW, tap % W::kW);
  }
  for (int32_t c = thread_id(); c < lane.channels; c += LastSlide<W, T>::kThreads) {
    taps[W::kTaps * LastSlide<W, T>::kStride + c] = call.bias.at(lane.channel + c);
  }
}

// done: of the thread's channels, as to is, of the first of so many results.
template <class Own, class T>
GPU_DEVICE void store_pixels(const float (&done)[Own::kResults][Own::kElements], T* to,
                             int32_t channels, int32_t results) {
  Few<T, Own::kElements> few[Own::kResults];
#pragma unroll
  for (int c = 0; c < Own::kResults; ++c) few[c].set(done[c]);
  if (results >= Own::kResults) {
#pragma unroll
    for (int c = 0; c < Own::kResults; ++c) few[c].store(ahead(to, channels, c));
    return;
  }
#pragma unroll
  for (int c = 0; c < Own::kResults - 1; ++c) {
    if (c < results) few[c].store(ahead(to, channels, c));
  }
}
template <class W, class T>
GPU_KERNEL(LastSlide<W, T>::kThreads, LastSlide<W, T>::kBlocks)
convolve_last_channels(LastCall<T> call) {
  await_earlier();
  using Own = LastSlide<W, T>;
  GPU_SHARED(Words, memory, (W::kTaps + 1) * Own::kStride / kPack<float>);
  auto* const taps = reinterpret_cast<float*>(memory);
  const Shape& s = call.shape;
  const SlideLane<Own> lane(s, call.grid);
  const int32_t index = lane.block * call.grid.lines + lane.line;
  const bool has = lane.has && index < call.grid.strips;
  const SlideStrip<Own> strip(index, s, call.grid);
  int32_t y = strip.row * W::kS - s.h.padding;
  const int32_t x = strip.column * W::kS - s.w.padding, pitch = s.w.in * s.channels;
  const T* row = call.src + (strip.in(s, y, x) + lane.channel + lane.own);
  PixelRow<T, Own::kElements, Own::kPixels> next[W::kS];
  if (has) {
#pragma unroll
    for (int i = 0; i < W::kS; ++i) {
      next[i].load(ahead(row, pitch, i), s.channels, x, s.w.in, y + i, s.h.in);
    }
  }
  stage_taps<W>(call, lane, taps);
  barrier();
  if (!has) return;
  float w[W::kTaps][Own::kElements], bias[Own::kElements];
#pragma unroll
  for (int i = 0; i < W::kTaps; ++i) load_few(taps + i * Own::kStride + lane.own, w[i]);
  load_few(taps + W::kTaps * Own::kStride + lane.own, bias);
  T* to = call.dst + (strip.out(s) + lane.channel + lane.own);
  SlidingSums<W, Own> sums;
#pragma unroll 1
  for (int32_t step = 0; step < strip.rows + Own::kBefore; ++step) {
    float values[W::kS][Own::kPixels][Own::kElements];
#pragma unroll
    for (int i = 0; i < W::kS; ++i) next[i].get(values[i]);
    y += W::kS;
    row = ahead(row, pitch, W::kS);
    if (step + 1 < strip.rows + Own::kBefore) {
#pragma unroll
      for (int i = 0; i < W::kS; ++i) {
        next[i].load(ahead(row, pitch, i), s.channels, x, s.w.in, y + i, s.h.in);
      }
    }
    sums.add_step(step, strip.rows, values, w, bias);
    if (step < Own::kBefore) continue;
    store_pixels<Own>(sums.done, to, s.channels, strip.results);
    to = ahead(to, s.w.out * s.channels, 1);
  }
}

template <class T>
int launch_last(const Shape& s, const T* src, T* dst, const Taps<T>& taps, const Bias<T>& bias,
                const polyops_context* ctx) {
  return with_square(s, POLYOPS_DECLINED, [&]<class W>() {
    using Own = LastSlide<W, T>;
    const SlideGrid grid = slide_grid<Own>(s, multiprocessors(ctx));
    const LastCall<T> call = {s, grid, src, dst, taps, bias};
    const LaunchShape shape = {ceil_div(grid.strips, grid.lines) * grid.columns, Own::kThreads};
    return launch(convolve_last_channels<W, T>, shape, ctx, call);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_LAST_H_
