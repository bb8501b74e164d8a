// The gradient of the input of a depthwise convolution of stride 2, whose images' channels lie next
// to each other: a pack of channels of a pair of places (see spread.h) per thread and turn.
//
// A block has up to 8 packs of channels (128 bytes of each pixel), whose filters it keeps in shared
// memory as float32, and many pairs.
#ifndef POLYOPS_GPU_CONVOLUTION_SPREAD_LAST_H_
#define POLYOPS_GPU_CONVOLUTION_SPREAD_LAST_H_

#include "spread.h"

namespace polyops::gpu {
namespace {

constexpr int kPairThreads = 256;
constexpr int kPairPacks = 8;
constexpr int kPairTurns = 4;  // pairs of a thread

// How channels and strips fall to blocks.
struct PairGrid {
  int32_t packs, columns;  // packs of a pixel; columns of blocks
  int32_t width;           // packs of a column, the last one's may be fewer
  int32_t across, strips;  // pairs of a row and of all
  int32_t lines;           // threads of a block that share a pack
  int32_t per_block;       // pairs
};

// width: of a row, in pairs of places.
inline PairGrid pair_grid(const Shape& s, int per_pack, int32_t width) {
  PairGrid g;
  g.packs = s.channels / per_pack;
  g.columns = static_cast<int32_t>(ceil_div(g.packs, kPairPacks));
  g.width = static_cast<int32_t>(ceil_div(g.packs, g.columns));
  g.across = width;
  g.strips = s.batch * s.h.out * g.across;
  g.lines = kPairThreads / g.width;
  g.per_block = g.lines * kPairTurns;
  return g;
}

template <class T>
struct PairCall {
  Shape shape;
  PairGrid grid;
  const T* src;
  T* dst;
  Taps<T> taps;
  Bias<T> bias;
};

// Of a pair's first place.
struct PairStrip {
  int32_t n, row, column;
  GPU_DEVICE PairStrip(int32_t index, const Shape& s, const PairGrid& g) {
    const auto line = static_cast<uint32_t>(index) / static_cast<uint32_t>(g.across);
    column = (index - static_cast<int32_t>(line) * g.across) * 2;
    n = static_cast<int32_t>(line / static_cast<uint32_t>(s.h.out));
    row = static_cast<int32_t>(line) - n * s.h.out;
  }
};

// kCount at p, which is aligned.
template <int kCount>
GPU_DEVICE void load_floats(const float* p, float (&x)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; i += kPack<float>) {
    float part[kPack<float>];
    unpack<float>(load_words(p + i), part);
#pragma unroll
    for (int j = 0; j < kPack<float>; ++j) x[i + j] = part[j];
  }
}

// A block's channels, and its first pair.
template <class T>
struct PairBlock {
  int32_t channel, channels, first;

  GPU_DEVICE PairBlock(const Shape& s, const PairGrid& g) {
    const auto block = static_cast<uint32_t>(block_id()),
               columns = static_cast<uint32_t>(g.columns);
    first = static_cast<int32_t>(block / columns) * g.per_block;
    channel = static_cast<int32_t>(block % columns) * g.width * kPack<T>;
    const int32_t left = s.channels - channel, all = g.width * kPack<T>;
    channels = left < all ? left : all;
  }
};

// The block's filters as [tap][channel], then its bias. A barrier follows.
template <class W, class T>
GPU_DEVICE void stage_pair_taps(const PairCall<T>& call, const PairBlock<T>& block, float* taps) {
  constexpr int kStride = kPairPacks * kPack<T>;
  const int32_t c = thread_id() % kStride, channel = block.channel + c;
  if (c >= block.channels) return;
  for (int i = thread_id() / kStride; i <= W::kTaps; i += kPairThreads / kStride) {
    taps[i * kStride + c] =
        i == W::kTaps ? call.bias.at(channel) : call.taps.at(channel, i / W::kW, i % W::kW);
  }
}

// Adds to both places of a pair in a row, of the gradients of one row, by that row of the filter.
template <class W, class T>
GPU_DEVICE void spread_pair(const Shape& s, const T* row, int32_t x, const float* w,
                            float (&sums)[2][kPack<T>]) {
  constexpr int kBefore = (W::kW - 1) / 2, kStride = kPairPacks * kPack<T>;
  Words words[kBefore + 1];
#pragma unroll
  for (int j = 0; j <= kBefore; ++j) {
    words[j] = {{0, 0, 0, 0}};
    if (static_cast<uint32_t>(x + j) < static_cast<uint32_t>(s.w.in)) {
      words[j] = load_words(row + int64_t{x + j} * s.channels);
    }
  }
#pragma unroll
  for (int j = 0; j <= kBefore; ++j) {
    float values[kPack<T>];
    unpack<T>(words[j], values);
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      const int tap = c + 2 * (kBefore - j);
      if (tap >= W::kW) continue;
      float taps[kPack<T>];
      load_floats(w + tap * kStride, taps);
#pragma unroll
      for (int e = 0; e < kPack<T>; ++e) sums[c][e] = fmaf(values[e], taps[e], sums[c][e]);
    }
  }
}

template <class W, class T>
GPU_KERNEL(kPairThreads)
spread_last(PairCall<T> call) {
  await_earlier();
  constexpr int kStride = kPairPacks * kPack<T>, kBefore = (W::kH - 1) / 2;
  GPU_SHARED(Words, memory, (W::kTaps + 1) * kStride / kPack<float>);
  auto* const taps = reinterpret_cast<float*>(memory);
  const Shape& s = call.shape;
  const PairGrid& g = call.grid;
  const PairBlock<T> block(s, g);
  stage_pair_taps<W>(call, block, taps);
  barrier();
  const int32_t line = thread_id() / g.width, own = thread_id() % g.width * kPack<T>;
  if (line >= g.lines || own >= block.channels) return;
  const int32_t end = block.first + g.per_block < g.strips ? block.first + g.per_block : g.strips;
  for (int32_t index = block.first + line; index < end; index += g.lines) {
    const PairStrip strip(index, s, g);
    const int32_t column = strip.column - (s.w.padding & 1);
    const int32_t x = (column + s.w.padding) / 2 - kBefore;
    const T* const image = call.src + int64_t{strip.n} * s.in() * s.channels + block.channel + own;
    float sums[2][kPack<T>] = {};
    const int32_t place = strip.row + s.h.padding;
#pragma unroll 1
    for (int i = place & 1; i < W::kH; i += 2) {
      const int32_t y = (place - i) / 2;
      if (place < i || y >= s.h.in) continue;
      spread_pair<W>(s, image + int64_t{y} * s.w.in * s.channels, x,
                     taps + own + i * W::kW * kStride, sums);
    }
    const int64_t pixel = int64_t{strip.n} * s.out() + strip.row * s.w.out + column;
    T* const to = call.dst + pixel * s.channels + block.channel + own;
#pragma unroll
    for (int c = 0; c < 2; ++c) {
      if (static_cast<uint32_t>(column + c) >= static_cast<uint32_t>(s.w.out)) continue;
      store_words(to + int64_t{c} * s.channels, pack<T>(sums[c]));
    }
  }
}

// s: spread().
template <class T>
int launch_spread_last(const Shape& s, const T* grad, T* dst, const Taps<T>& taps,
                       const polyops_context* ctx) {
  const PairGrid grid =
      pair_grid(s, kPack<T>, static_cast<int32_t>(ceil_div(s.w.out + (s.w.padding & 1), 2)));
  const PairCall<T> call = {s, grid, grad, dst, taps, {nullptr, 0}};
  const LaunchShape shape = {ceil_div(grid.strips, grid.per_block) * grid.columns, kPairThreads};
  return with_square(s, POLYOPS_DECLINED, [&]<class W>() -> int {
    if constexpr (W::kS == 2) return launch(spread_last<W, T>, shape, ctx, call);
    return POLYOPS_DECLINED;
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_SPREAD_LAST_H_
