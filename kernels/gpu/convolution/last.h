// Depthwise convolution of images whose channels lie next to each other, in whole packs; small filters
// without dilation. With the filter turned, the gradient of the input at stride 1. Bound: memory, 2
// elements moved per result.
//
// A block has up to 8 packs of channels (128 bytes of each pixel), whose filters it keeps in shared
// memory as float32, and many strips of kLastResults neighbouring results in a row. A thread has one
// pack of channels: it reads a strip's row of pixels once per row of the filter, from the cache where
// a neighbour was first.
#ifndef POLYOPS_GPU_CONVOLUTION_LAST_H_
#define POLYOPS_GPU_CONVOLUTION_LAST_H_

#include "planes.h"

namespace polyops::gpu {
namespace {

constexpr int kLastThreads = 256;
constexpr int kLastResults = 4;  // of a strip
constexpr int kLastPacks = 8;
constexpr int kLastTurns = 4;  // strips of a thread

// How channels and strips fall to blocks.
struct LastGrid {
  int32_t packs, columns;  // packs of a pixel; columns of blocks
  int32_t width;           // packs of a column, the last one's may be fewer
  int32_t across, strips;  // strips of a row and of all
  int32_t lines;           // threads of a block that share a pack
  int32_t per_block;       // strips
};

// width, results: of a row, and those of it in a strip.
inline LastGrid last_grid(const Shape& s, int per_pack, int32_t width, int results) {
  LastGrid g;
  g.packs = s.channels / per_pack;
  g.columns = static_cast<int32_t>(ceil_div(g.packs, kLastPacks));
  g.width = static_cast<int32_t>(ceil_div(g.packs, g.columns));
  g.across = static_cast<int32_t>(ceil_div(width, results));
  g.strips = s.batch * s.h.out * g.across;
  g.lines = kLastThreads / g.width;
  g.per_block = g.lines * kLastTurns;
  return g;
}
inline LastGrid last_grid(const Shape& s, int per_pack) {
  return last_grid(s, per_pack, s.w.out, kLastResults);
}

template <class T>
struct LastCall {
  Shape shape;
  LastGrid grid;
  const T* src;
  T* dst;
  Taps<T> taps;
  Bias<T> bias;
};

// Of a strip's result 0 in dst, and the input's row and column where its window begins.
struct LastStrip {
  int32_t n, row, column;
  GPU_DEVICE LastStrip(int32_t index, const Shape& s, const LastGrid& g,
                       int results = kLastResults) {
    const auto line = static_cast<uint32_t>(index) / static_cast<uint32_t>(g.across);
    column = (index - static_cast<int32_t>(line) * g.across) * results;
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

// The strip's sums. src: the pack's channels of the first pixel of the image; w: its taps.
template <class W, class T>
GPU_DEVICE void convolve_last(const Shape& s, const T* src, int32_t y, int32_t x, const float* w,
                              int32_t stride, float (&sums)[kLastResults][kPack<T>]) {
  constexpr int kPixels = (kLastResults - 1) * W::kS + W::kW;
#pragma unroll
  for (int i = 0; i < W::kH; ++i) {
    if (static_cast<uint32_t>(y + i) >= static_cast<uint32_t>(s.h.in)) continue;
    const T* const row = src + int64_t{y + i} * s.w.in * s.channels;
    Words words[kPixels];
#pragma unroll
    for (int j = 0; j < kPixels; ++j) {
      const bool inside = static_cast<uint32_t>(x + j) < static_cast<uint32_t>(s.w.in);
      words[j] = {{0, 0, 0, 0}};
      if (inside) words[j] = load_words(row + int64_t{x + j} * s.channels);
    }
    float taps[W::kW][kPack<T>];
#pragma unroll
    for (int j = 0; j < W::kW; ++j) {
      load_floats(w + (i * W::kW + j) * stride, taps[j]);
    }
#pragma unroll
    for (int j = 0; j < kPixels; ++j) {
      float values[kPack<T>];
      unpack<T>(words[j], values);
#pragma unroll
      for (int r = 0; r < kLastResults; ++r) {
        const int tap = j - r * W::kS;
        if (tap < 0 || tap >= W::kW) continue;
#pragma unroll
        for (int e = 0; e < kPack<T>; ++e) sums[r][e] = fmaf(values[e], taps[tap][e], sums[r][e]);
      }
    }
  }
}

// A block's channels, and its first strip.
template <class T>
struct LastBlock {
  int32_t channel, channels, first;

  GPU_DEVICE LastBlock(const Shape& s, const LastGrid& g) {
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
GPU_DEVICE void stage_taps(const LastCall<T>& call, const LastBlock<T>& block, float* taps) {
  constexpr int kStride = kLastPacks * kPack<T>;
  const int32_t c = thread_id() % kStride, channel = block.channel + c;
  if (c >= block.channels) return;
  for (int i = thread_id() / kStride; i <= W::kTaps; i += kLastThreads / kStride) {
    taps[i * kStride + c] =
        i == W::kTaps ? call.bias.at(channel) : call.taps.at(channel, i / W::kW, i % W::kW);
  }
}

template <class W, class T>
GPU_KERNEL(kLastThreads)
convolve_last_channels(LastCall<T> call) {
  constexpr int kStride = kLastPacks * kPack<T>;
  GPU_SHARED(Words, memory, (W::kTaps + 1) * kStride / kPack<float>);
  auto* const taps = reinterpret_cast<float*>(memory);
  const Shape& s = call.shape;
  const LastGrid& g = call.grid;
  const LastBlock<T> block(s, g);
  stage_taps<W>(call, block, taps);
  barrier();
  const int32_t line = thread_id() / g.width, own = thread_id() % g.width * kPack<T>;
  if (line >= g.lines || own >= block.channels) return;
  const int32_t end = block.first + g.per_block < g.strips ? block.first + g.per_block : g.strips;
  for (int32_t index = block.first + line; index < end; index += g.lines) {
    const LastStrip strip(index, s, g);
    float sums[kLastResults][kPack<T>];
#pragma unroll
    for (int r = 0; r < kLastResults; ++r) load_floats(taps + W::kTaps * kStride + own, sums[r]);
    convolve_last<W>(s, call.src + int64_t{strip.n} * s.in() * s.channels + block.channel + own,
                     strip.row * W::kS - s.h.padding, strip.column * W::kS - s.w.padding,
                     taps + own, kStride, sums);
    const int64_t pixel = int64_t{strip.n} * s.out() + strip.row * s.w.out + strip.column;
    T* const to = call.dst + pixel * s.channels + block.channel + own;
#pragma unroll
    for (int r = 0; r < kLastResults; ++r) {
      if (strip.column + r < s.w.out) store_words(to + int64_t{r} * s.channels, pack<T>(sums[r]));
    }
  }
}

template <class T>
int launch_last(const Shape& s, const T* src, T* dst, const Taps<T>& taps, const Bias<T>& bias,
                const polyops_context* ctx) {
  const LastGrid grid = last_grid(s, kPack<T>);
  const LastCall<T> call = {s, grid, src, dst, taps, bias};
  const LaunchShape shape = {ceil_div(grid.strips, grid.per_block) * grid.columns, kLastThreads};
  return with_square(s, POLYOPS_DECLINED, [&]<class W>() {
    return launch(convolve_last_channels<W, T>, shape, ctx, call);
  });
}

// From the host: packs of it are where 16 aligned bytes are.
inline bool is_aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_LAST_H_
