// Depthwise convolution at stride 2 of images whose channels lie next to each other, as many as a
// block may have, by rows in a ring in shared memory (last_ring.h): of 5x5 taps, and of 3x3 in 16
// bits. Bound: memory, 5 elements moved per result, the 4 pixels of its square and itself.
#ifndef POLYOPS_GPU_CONVOLUTION_LAST_RING_FORWARD_H_
#define POLYOPS_GPU_CONVOLUTION_LAST_RING_FORWARD_H_

#include "last.h"
#include "last_ring_feed.h"

namespace polyops::gpu {
namespace {

template <class W, class T>
struct RingResults : LastSlide<W, T> {
  static constexpr int kThreads = 256, kBlocks = 2;
  static constexpr int kMostPacks = kRingPacks<T>;
};

// On an H200, by last.h and by the ring: at stride 2 of 5x5 taps 45.5 and 39.6 us (bfloat16
// 64x144x56x56; float32 57.6, 48.0), of 3x3 ones 36.5 and 30.7 (bfloat16 32x96x112x112), but 53.1
// and 55.6 in float32; at stride 1 of 3x3 taps 23.9 and 25.1 (bfloat16 32x144x56x56), of 7x7 54.0
// and 54.8 (32x96x56x56).
template <class W, class T>
inline constexpr bool kHasRingResults = W::kS == 2 && (W::kTaps == 25 || sizeof(T) == 2);

template <class T>
struct RingForwardCall : RingTask {
  const T* src;
  T* dst;
  Taps<T> taps;
  Bias<T> bias;
};

// A step has the next W::kS rows of pixels, with those beside the block's own, as far as the image
// has them.
template <class W, class Own, class T>
struct PixelsFeed {
  const RingForwardCall<T>& call;
  int32_t channel;  // the block's first
  RingRuns<T> how;
  RingRows<T> pixels;

  GPU_DEVICE PixelsFeed(const RingForwardCall<T>& of, const SlideLane<Own>& lane)
      : call(of), channel(lane.channel), how(lane.channels) {}
  GPU_DEVICE int32_t begin(const RingStrip& strip) {
    const Shape& s = call.shape;
    const int32_t all = (call.grid.lines * Own::kResults - 1) * W::kS + W::kW;
    const int32_t x = strip.column * W::kS - s.w.padding;
    pixels = RingRows<T>(call.src, strip.n, s.h.in, s.w.in, strip.row * W::kS - s.h.padding, x,
                         s.channels, channel);
    pixels.begin = x < 0 ? -x : 0;
    pixels.end = Tile::least(all, s.w.in - x);
    return strip.rows + Own::kBefore;
  }
  GPU_DEVICE void expect(Arrival* arrival) const {
    int32_t rows = 0;
#pragma unroll
    for (int k = 0; k < W::kS; ++k) rows += pixels.has(k) ? 1 : 0;
    how.expect(arrival, rows * pixels.count());
  }
  GPU_DEVICE void copy(Arrival* arrival, T* to) {
#pragma unroll
    for (int k = 0; k < W::kS; ++k) {
      if (pixels.has()) how.copy(call, pixels, arrival, to + k * call.slot.pixels);
      pixels.advance();
    }
  }
};

// What all waves but the last do.
template <class W, class Own, class T, class Walk>
GPU_DEVICE void slide_ring(const RingForwardCall<T>& call, const SlideLane<Own>& lane, Walk* walk) {
  const Shape& s = call.shape;
  float w[W::kTaps][Own::kElements], bias[Own::kElements];
#pragma unroll
  for (int e = 0; e < Own::kElements; ++e) {
    const int32_t channel = lane.channel + lane.own + e;
    bias[e] = lane.has ? call.bias.at(channel) : 0.0f;
#pragma unroll
    for (int i = 0; i < W::kTaps; ++i) {
      w[i][e] = lane.has ? call.taps.at(channel, i / W::kW, i % W::kW) : 0.0f;
    }
  }
  const int32_t pitch = call.slot.pitch;
  const int32_t own = lane.line * Own::kResults * W::kS * pitch + lane.own;  // in a row of pixels
  for_ring<Own>(call, lane.block, [&](const RingStrip& strip) {
    const int32_t column = strip.column + lane.line * Own::kResults;
    const bool has = lane.has && column < s.w.out;
    const int64_t first = int64_t{strip.n} * s.out() + strip.row * s.w.out + column;
    T* to = call.dst + (first * s.channels + lane.channel + lane.own);
    const int32_t x = column * W::kS - s.w.padding;
    int32_t y = strip.row * W::kS - s.h.padding;
    SlidingSums<W, Own> sums;
#pragma unroll 1
    for (int32_t step = 0; step < strip.rows + Own::kBefore; ++step) {
      const T* const here = walk->arrive() + own;
      if (has) {
        float values[W::kS][Own::kPixels][Own::kElements];
#pragma unroll
        for (int i = 0; i < W::kS; ++i) {
          PixelRow<T, Own::kElements, Own::kPixels> row;
          row.load(here + i * call.slot.pixels, pitch, x, s.w.in, y + i, s.h.in);
          row.get(values[i]);
        }
        sums.add_step(step, strip.rows, values, w, bias);
        if (step >= Own::kBefore) {
          store_pixels<Own>(sums.done, to, s.channels, s.w.out - column);
          to = ahead(to, s.w.out * s.channels, 1);
        }
      }
      y += W::kS;
      walk->leave();
    }
  });
}

template <class W, class Own, class T>
GPU_KERNEL(Own::kThreads, Own::kBlocks)
convolve_last_ring(RingForwardCall<T> call) {
  await_earlier();
  if constexpr (!kHasClusters) return;
  GPU_SHARED(LastRingDesk, desk, 1);
  GPU_DYNAMIC_SHARED(Words, words);
  T* const memory = reinterpret_cast<T*>(words);
  const SlideLane<Own> lane(call.shape, call.grid);
  desk->open(block_threads() - wave_size());
  if (is_ring_wave()) {
    feed_runs<Own>(call, lane.block, PixelsFeed<W, Own, T>(call, lane), memory, desk);
    return;
  }
  RingWalk</*kIsRuns=*/true, T> walk(call, memory, desk);
  slide_ring<W, Own, T>(call, lane, &walk);
}

// POLYOPS_DECLINED: of such images last.h is as quick or quicker; a block has some of the channels,
// or may not have so much memory; waves of 64.
template <class T>
int launch_last_ring_forward(const Shape& s, const T* src, T* dst, const Taps<T>& taps,
                             const Bias<T>& bias, const polyops_context* ctx) {
  return with_square(s, POLYOPS_DECLINED, [&]<class W>() -> int {
    if constexpr (!kHasRingResults<W, T>) {
      return POLYOPS_DECLINED;
    } else {
      using Own = RingResults<W, T>;
      const RingGrid g = ring_grid<Own, T>(s, multiprocessors(ctx));
      if (g.columns != 1 || !has_runs(ctx)) return POLYOPS_DECLINED;
      RingSlot slot;
      slot.pitch = g.width * Own::kElements;
      slot.grads = 0;
      slot.pixels = ((g.lines * Own::kResults - 1) * W::kS + W::kW) * slot.pitch;
      slot.all = W::kS * slot.pixels;
      const int64_t threads = ring_threads(g, wave_lanes(ctx));
      const int64_t bytes = kRingSlots * slot.all * static_cast<int64_t>(sizeof(T));
      if (threads > Own::kThreads || bytes > most_shared(ctx)) return POLYOPS_DECLINED;
      const RingForwardCall<T> call = {{s, g, slot}, src, dst, taps, bias};
      return launch(convolve_last_ring<W, Own, T>,
                    {ring_splits(g), static_cast<int>(threads), static_cast<size_t>(bytes)}, ctx,
                    call);
    }
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_LAST_RING_FORWARD_H_
