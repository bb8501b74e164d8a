// Gradients of weight and bias of images whose channels lie next to each other. Bound: memory,
// input and gradient once. As in slide.h a thread has a few channels of some neighbouring results
// and slides down the image: it keeps the sums of all taps, and the gradients of the rows of
// results that still read pixels. A block's threads have some strips each, add up their own and
// then each other's.
#ifndef POLYOPS_GPU_CONVOLUTION_LAST_SUMS_H_
#define POLYOPS_GPU_CONVOLUTION_LAST_SUMS_H_

#include "slide.h"
#include "strip_sums.h"

namespace polyops::gpu {
namespace {

template <class W, class T>
struct SumSlide {
  static constexpr bool kIsLarge = W::kTaps > 9;
  static constexpr int kElements = kIsLarge || sizeof(T) == 4 ? 2 : 4;
  static constexpr int kResults = W::kS == 1 ? 4 : 2;
  static constexpr int kPixels = (kResults - 1) * W::kS + W::kW;
  static constexpr int kBefore = (W::kH - 1) / W::kS;
  // So many threads of a multiprocessor have registers.
  static constexpr int kThreads = W::kTaps == 49 || kElements * W::kTaps == 18 ? 256 : 192;
  static constexpr int kBlocks = W::kTaps == 49 ? 1 : 2;
  static constexpr int kLanes = 64;
  static constexpr int kSums = W::kTaps + 1;
  // That threads add up at a time: all, or what 48 KB hold.
  static constexpr int kPass = !kIsLarge ? kSums : W::kTaps == 25 ? kSums / 2 : (kSums + 2) / 3;
};

// Blocks of the same channels.
inline int32_t splits_of(const SlideGrid& g) {
  return static_cast<int32_t>(ceil_div(g.strips, int64_t{g.lines} * g.turns));
}

template <class T>
struct LastSumsCall {
  Shape shape;
  SlideGrid grid;
  const T* grad;
  const T* src;
  Sums<T> sums;
};

// Slides down one strip. src, grad: of the thread's channels.
template <class W, class T>
GPU_DEVICE void sum_strip(const Shape& s, const SlideStrip<SumSlide<W, T>>& strip, const T* src,
                          const T* grad, StripSums<W, SumSlide<W, T>>* sums) {
  using Own = SumSlide<W, T>;
  int32_t y = strip.row * W::kS - s.h.padding;
  const int32_t x = strip.column * W::kS - s.w.padding, pitch = s.w.in * s.channels;
  const T* row = src + strip.in(s, y, x);
  const T* of = grad + strip.out(s);
  const int32_t out_pitch = s.w.out * s.channels;
  PixelRow<T, Own::kElements, Own::kPixels> next[W::kS];
  PixelRow<T, Own::kElements, Own::kResults> next_grads;
#pragma unroll
  for (int i = 0; i < W::kS; ++i) {
    next[i].load(ahead(row, pitch, i), s.channels, x, s.w.in, y + i, s.h.in);
  }
  next_grads.load(of, s.channels, strip.column, s.w.out, strip.row, s.h.out);
#pragma unroll 1
  for (int32_t step = 0; step < strip.rows + Own::kBefore; ++step) {
    float values[W::kS][Own::kPixels][Own::kElements];
#pragma unroll
    for (int i = 0; i < W::kS; ++i) next[i].get(values[i]);
    sums->shift();
    if (step < strip.rows) {
      next_grads.get(sums->grads[0]);
      sums->add_grads();
    }
    y += W::kS;
    row = ahead(row, pitch, W::kS);
    of = ahead(of, out_pitch, 1);
    if (step + 1 < strip.rows + Own::kBefore) {
#pragma unroll
      for (int i = 0; i < W::kS; ++i) {
        next[i].load(ahead(row, pitch, i), s.channels, x, s.w.in, y + i, s.h.in);
      }
      if (step + 1 < strip.rows) {
        next_grads.load(of, s.channels, strip.column, s.w.out, 0, 1);
      }
    }
    sums->add_step(step, strip.rows, strip.results, values);
  }
}

// A block's sum of one tap once more, of the results whose tap lies inside of the image alone: the
// product of an infinite gradient and of padding, which sum_strip() adds, is NaN. Slow, but rare.
template <class W, class T>
GPU_DEVICE float sum_inside(const LastSumsCall<T>& call, int32_t block, int32_t channel,
                            int32_t tap) {
  using Own = SumSlide<W, T>;
  const Shape& s = call.shape;
  const SlideGrid& g = call.grid;
  const int32_t end = Tile::least((block + 1) * g.turns * g.lines, g.strips);
  const int32_t down = tap / W::kW - s.h.padding, right = tap % W::kW - s.w.padding;
  float sum = 0;
#pragma unroll 1
  for (int32_t index = block * g.turns * g.lines; index < end; ++index) {
    const SlideStrip<Own> strip(index, s, g);
    const int32_t columns = Tile::least(strip.column + Own::kResults, s.w.out);
    const T* const src = call.src + (int64_t{strip.n} * s.in() * s.channels + channel);
    const T* const grads = call.grad + (int64_t{strip.n} * s.out() * s.channels + channel);
#pragma unroll 1
    for (int32_t r = strip.row; r < strip.row + strip.rows; ++r) {
      const int32_t y = r * W::kS + down;
      if (y < 0 || y >= s.h.in) continue;
#pragma unroll 4
      for (int32_t c = strip.column; c < columns; ++c) {
        const int32_t x = c * W::kS + right;
        if (x < 0 || x >= s.w.in) continue;
        const int64_t pixel = y * s.w.in + x, result = r * s.w.out + c;
        sum = fmaf(widen(src[pixel * s.channels]), widen(grads[result * s.channels]), sum);
      }
    }
  }
  return sum;
}

// Adds up the block's lines. shared: of a pass, by line. mend: what to put, of a sum, its channel
// and tap.
template <class Own, class T, class Mend = AsItIs>
GPU_DEVICE void add_lines(const Shape& s, const SlideLanes& g, const SlideLane<Own>& lane,
                          const float (&all)[Own::kSums][Own::kElements], const Sums<T>& sums,
                          float* shared, Mend mend = {}) {
  const int32_t width = g.width * Own::kElements;
#pragma unroll
  for (int from = 0; from < Own::kSums; from += Own::kPass) {
    if (from > 0) barrier();
#pragma unroll
    for (int i = 0; i < Own::kPass && from + i < Own::kSums; ++i) {
#pragma unroll
      for (int e = 0; e < Own::kElements; ++e) {
        if (!lane.has) continue;
        shared[(i * g.lines + lane.line) * width + lane.own + e] = all[from + i][e];
      }
    }
    barrier();
    const int32_t count = Own::kSums - from < Own::kPass ? Own::kSums - from : Own::kPass;
    for (int32_t at = thread_id(); at < count * lane.channels; at += block_threads()) {
      const int32_t i = at / lane.channels, c = at - i * lane.channels;
      float sum = 0;
      for (int32_t line = 0; line < g.lines; ++line) {
        sum += shared[(i * g.lines + line) * width + c];
      }
      const int32_t channel = lane.channel + c, tap = from + i;
      sums.put(s, lane.block, channel, tap, mend(sum, channel, tap));
    }
  }
}

template <class W, class T>
GPU_KERNEL(SumSlide<W, T>::kThreads, SumSlide<W, T>::kBlocks)
sum_last_channels(LastSumsCall<T> call) {
  await_earlier();
  using Own = SumSlide<W, T>;
  GPU_SHARED(float, shared, Own::kPass* Own::kThreads* Own::kElements);
  const Shape& s = call.shape;
  const SlideGrid& g = call.grid;
  const SlideLane<Own> lane(s, g);
  StripSums<W, SumSlide<W, T>> sums;
  if (lane.has) {
    const int32_t first = lane.block * g.turns * g.lines + lane.line;
    for (int32_t turn = 0; turn < g.turns; ++turn) {
      const int32_t index = first + turn * g.lines;
      if (index >= g.strips) break;
      sum_strip<W, T>(s, SlideStrip<Own>(index, s, g), call.src + lane.channel + lane.own,
                      call.grad + lane.channel + lane.own, &sums);
    }
  }
  const auto mend = [&](float sum, int32_t channel, int32_t tap) {
    const bool is_spoilt = tap < W::kTaps && sum != sum;
    return is_spoilt ? sum_inside<W>(call, lane.block, channel, tap) : sum;
  };
  add_lines<Own>(s, g, lane, sums.sums, call.sums, shared, mend);
}

inline int32_t last_splits(const Shape& s, int32_t dtype) {
  int32_t splits = 0;
  with_type(dtype, [&]<class T>() {
    return with_square(s, 0, [&]<class W>() {
      splits = splits_of(slide_grid<SumSlide<W, T>>(s, kSumMultiprocessors));
      return 0;
    });
  });
  return splits;
}

template <class T>
int launch_last_sums(const BackwardArgs& a, const Shape& s, const polyops_context* ctx) {
  return with_square(s, POLYOPS_DECLINED, [&]<class W>() {
    using Own = SumSlide<W, T>;
    const SlideGrid grid = slide_grid<Own>(s, kSumMultiprocessors);
    const LastSumsCall<T> call = {s, grid, static_cast<const T*>(a.grad_dst.data),
                                  static_cast<const T*>(a.src.data),
                                  sums_of<T>(a, splits_of(grid), ctx)};
    const LaunchShape shape = {int64_t{grid.columns} * splits_of(grid), Own::kThreads};
    const int status = launch(sum_last_channels<W, T>, shape, ctx, call);
    return launch_add_parts(status, s, call.sums, ctx);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_LAST_SUMS_H_
