// All gradients by a ring of rows (last_ring.h): which rows a step has, and what a thread makes of
// them, of 2 channels of SpreadWalk's neighbouring columns. Bound: memory.
#ifndef POLYOPS_GPU_CONVOLUTION_LAST_RING_SLIDE_H_
#define POLYOPS_GPU_CONVOLUTION_LAST_RING_SLIDE_H_

#include "last_ring_feed.h"
#include "last_spread.h"
#include "last_sums.h"

namespace polyops::gpu {
namespace {

// A block has at most kMostPacks packs of channels.
template <class W, int kWide, class T, int kMost, int kInBlock>
struct RingGradients : SpreadWalk<W, kWide> {
  static constexpr int kElements = 2;
  static constexpr int kMostPacks = kMost;
  // Of other widths and at stride 2 runs win nothing (bfloat16 32x96x112x112: by packs 55.0 us, by
  // runs 55.9).
  static constexpr bool kHasRuns = W::kS == 1 && kWide == 4;
  static constexpr int kThreads = kInBlock, kBlocks = kInBlock <= 256 && kWide <= 2 ? 3 : 2;
  static constexpr int kSums = W::kTaps + 1, kPass = kSums;
  using Grads = SpreadLastGrads<RingGradients, T>;
  using Pixels = SpreadLastPixels<RingGradients, T>;
};

// Now: behind a branch they would be widened again.
template <int kCount, int kElements>
GPU_DEVICE void keep(float (&x)[kCount][kElements]) {
#pragma unroll
  for (auto& of : x) {
#pragma unroll
    for (float& value : of) {
      uint32_t bits = float_bits(value);
      forget_bits(&bits);
      value = float_of_bits(bits);
    }
  }
}

template <class T>
struct RingGradientsCall : RingTask {
  const T* grad;
  const T* src;
  T* dst;
  Taps<T> taps;
  Sums<T> sums;
};

// A step has the next row of gradients, with those beside the block's own, and the rows of pixels
// that the one before it is spread to.
template <class Own, class T, class Copy>
struct GradientsFeed {
  const RingGradientsCall<T>& call;
  int32_t channel;  // the block's first
  Copy how;
  RingRows<T> grads, pixels;
  int32_t step;

  GPU_DEVICE GradientsFeed(const RingGradientsCall<T>& of, const SlideLane<Own>& lane)
      : call(of), channel(lane.channel), how(lane.channels) {}
  GPU_DEVICE int32_t begin(const RingStrip& strip) {
    const Shape& s = call.shape;
    const int32_t columns = call.grid.lines * Own::kResults;
    const int32_t most = s.w.out - strip.column;  // columns of the image, from the strip's on
    grads = RingRows<T>(call.grad, strip.n, s.h.out, s.w.out, strip.row - Own::kBack,
                        strip.column - Own::kBack, s.channels, channel);
    grads.begin = strip.column == 0 ? Own::kBack : 0;
    grads.end = Tile::least(columns + Own::kAfter, most) + Own::kBack;
    pixels = RingRows<T>(call.src, strip.n, s.h.in, s.w.in, Own::kSquare * strip.row,
                         Own::kSquare * strip.column, s.channels, channel);
    pixels.begin = 0;
    pixels.end = Own::kSquare * Tile::least(columns, most);
    step = 0;
    return strip.rows + Own::kBefore;
  }
  GPU_DEVICE void expect(Arrival* arrival) const {
    how.expect(arrival, (grads.has() ? grads.count() : 0) +
                            (step >= Own::kBefore ? Own::kSquare * pixels.count() : 0));
  }
  GPU_DEVICE void copy(Arrival* arrival, T* to) {
    if (grads.has()) how.copy(call, grads, arrival, to);
    grads.advance();
    if (step++ < Own::kBefore) return;
#pragma unroll
    for (int k = 0; k < Own::kSquare; ++k) {
      how.copy(call, pixels, arrival, to + (call.slot.grads + k * call.slot.pixels));
      pixels.advance();
    }
  }
};

// What all waves but the last do.
template <class W, class Own, class T, bool kIsRuns>
class RingSlide {
 public:
  GPU_DEVICE RingSlide(const RingGradientsCall<T>& call, const SlideLane<Own>& lane,
                       const T* memory, LastRingDesk* desk, SpreadSums<W, Own>* own)
      : call_(call), lane_(lane), walk_(call, memory, desk), own_(own) {
    const int32_t pitch = call.slot.pitch;
    of_grads_ = (lane.line * Own::kResults + Own::kBack) * pitch + lane.own;
    of_pixels_ = call.slot.grads + lane.line * Own::kPixels * pitch + lane.own;
    if (!lane.has) return;
#pragma unroll
    for (int i = 0; i < W::kTaps; ++i) {
#pragma unroll
      for (int e = 0; e < Own::kElements; ++e) {
        own->w[i][e] = call.taps.at(lane.channel + lane.own + e, i / W::kW, i % W::kW);
      }
    }
  }

  GPU_DEVICE void slide(const RingStrip& strip) {
    const Shape& s = call_.shape;
    const int32_t column = strip.column + lane_.line * Own::kResults;
    const bool has = lane_.has && column < s.w.out;
    has_left_ = column > 0;
    has_right_ = column + Own::kResults < s.w.out;
    const int64_t pixel = int64_t{strip.n} * s.in() + Own::kSquare * (strip.row * s.w.in + column);
    to_ = call_.dst + (pixel * s.channels + lane_.channel + lane_.own);
    float grads[Own::kRows][Own::kColumns][Own::kElements];
#pragma unroll
    for (int i = 0; i < Own::kBefore; ++i) {
      const T* const here = walk_.arrive();
      if (has) get_grads(here, grads[i]);
      walk_.leave();
    }
#pragma unroll 1
    for (int32_t base = 0; base < strip.rows; base += Own::kRows) {
#pragma unroll
      for (int i = 0; i < Own::kRows; ++i) {
        if (base + i >= strip.rows) break;
        const T* const here = walk_.arrive();
        if (has) {
          get_grads(here, grads[(i + Own::kBefore) % Own::kRows]);
          step(here, i, strip.row + base + i, grads);
        }
        walk_.leave();
      }
    }
  }

 private:
  GPU_DEVICE void get_grads(const T* here, float (&to)[Own::kColumns][Own::kElements]) const {
    typename Own::Grads few;
    few.load(here + of_grads_, call_.slot.pitch, true, true);
    few.get(to);
    keep(to);
  }
  // first: which of grads is that of kBack rows before.
  GPU_DEVICE void step(const T* here, int first, int32_t row,
                       const float (&grads)[Own::kRows][Own::kColumns][Own::kElements]) {
    if (call_.sums.bias != nullptr) {
#pragma unroll
      for (int j = 0; j < Own::kResults; ++j) {
#pragma unroll
        for (int e = 0; e < Own::kElements; ++e) {
          own_->sums[W::kTaps][e] += grads[(first + Own::kBack) % Own::kRows][Own::kBack + j][e];
        }
      }
    }
    pass<0>(here, first, row, grads);
    if constexpr (W::kS == 2) pass<1>(here, first, row, grads);
  }
  template <int kRow>
  GPU_DEVICE void pass(const T* here, int first, int32_t row,
                       const float (&grads)[Own::kRows][Own::kColumns][Own::kElements]) {
    const Shape& s = call_.shape;
    typename Own::Pixels few;
    few.load(here + (of_pixels_ + kRow * call_.slot.pixels), call_.slot.pitch);
    float pixels[Own::kPixels][Own::kElements], sums[Own::kPixels][Own::kElements] = {};
    few.get(pixels);
    keep(pixels);
#pragma unroll
    for (int m = 0; m < Own::kRows; ++m) {
      if (m < Own::kBack && row == 0) continue;
      if (m > Own::kBack && row + 1 >= s.h.out) continue;
      spread_row<W, Own, kRow>(grads[(first + m) % Own::kRows], m, has_left_, has_right_, pixels,
                               own_, sums);
    }
    Own::Pixels::store(sums, to_, s.channels);
    to_ = ahead(to_, s.w.in * s.channels, 1);
  }

  const RingGradientsCall<T>& call_;
  const SlideLane<Own>& lane_;
  RingWalk<kIsRuns, T> walk_;
  SpreadSums<W, Own>* own_;
  int32_t of_grads_, of_pixels_;  // in a slot
  bool has_left_, has_right_;
  T* to_;
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_LAST_RING_SLIDE_H_
