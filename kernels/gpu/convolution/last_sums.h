// Gradients of weight and bias of images whose channels lie next to each other. Bound: memory, input
// and gradient once. A thread has 4 bytes of channels, so that the sums of all taps, 49 of a 7x7
// filter, stay in registers; a block has 128 bytes of channels and some strips of results, of which
// its threads add up their own, then each other's.
#ifndef POLYOPS_GPU_CONVOLUTION_LAST_SUMS_H_
#define POLYOPS_GPU_CONVOLUTION_LAST_SUMS_H_

#include "last.h"
#include "sums.h"

namespace polyops::gpu {
namespace {

constexpr int kSumsLanes = 32;                         // threads next to each other, of a pixel
constexpr int kSumsLines = kLastThreads / kSumsLanes;  // of one lane's channels
constexpr int64_t kLastSumBlocks = 132 * 8;
constexpr int64_t kLeastStrips = 8 * kSumsLines;  // of a block

template <class T>
inline constexpr int kWordElements = 4 / static_cast<int>(sizeof(T));
template <class T>
inline constexpr int kSumsChannels = kSumsLanes * kWordElements<T>;

struct LastSumsGrid {
  int32_t columns, splits, per_split;
};

// strips: of all results; channels: of a block.
inline LastSumsGrid last_sums_grid(const Shape& s, int strips, int channels) {
  LastSumsGrid g;
  g.columns = static_cast<int32_t>(ceil_div(s.channels, channels));
  const int64_t splits = ceil_div(kLastSumBlocks, g.columns);
  const int64_t most = ceil_div(strips, kLeastStrips);
  g.per_split = static_cast<int32_t>(ceil_div(strips, splits < most ? splits : most));
  g.splits = static_cast<int32_t>(ceil_div(strips, g.per_split));
  return g;
}

template <class T>
struct LastSumsCall {
  Shape shape;
  LastGrid strips;
  LastSumsGrid grid;
  const T* grad;
  const T* src;
  Sums<T> sums;
};

// 4 bytes at p, or 0.
template <class T>
GPU_DEVICE void load_word(const T* p, bool has, float (&x)[kWordElements<T>]) {
  const uint32_t word = has ? reinterpret_cast<const Word*>(p)->w : 0;
  if constexpr (sizeof(T) == 4) {
    x[0] = float_of_bits(word);
  } else {
    widen2<T>(word, &x[0], &x[1]);
  }
}

template <class W, class T>
using LastSums = float[W::kTaps + 1][kWordElements<T>];

// Adds a strip's products. src, grad: of the thread's channels, of the image's first pixel and of the
// strip's first result.
template <class W, class T>
GPU_DEVICE void sum_last_strip(const Shape& s, const LastStrip& strip, const T* src, const T* grad,
                               LastSums<W, T>& sums) {
  constexpr int kElements = kWordElements<T>, kPixels = (kLastResults - 1) * W::kS + W::kW;
  const int32_t y = strip.row * W::kS - s.h.padding, x = strip.column * W::kS - s.w.padding;
  float grads[kLastResults][kElements];
#pragma unroll
  for (int r = 0; r < kLastResults; ++r) {
    load_word(grad + int64_t{r} * s.channels, strip.column + r < s.w.out, grads[r]);
#pragma unroll
    for (int e = 0; e < kElements; ++e) sums[W::kTaps][e] += grads[r][e];
  }
#pragma unroll
  for (int i = 0; i < W::kH; ++i) {
    if (static_cast<uint32_t>(y + i) >= static_cast<uint32_t>(s.h.in)) continue;
    const T* const row = src + int64_t{y + i} * s.w.in * s.channels;
    float values[kPixels][kElements];
#pragma unroll
    for (int j = 0; j < kPixels; ++j) {
      const bool inside = static_cast<uint32_t>(x + j) < static_cast<uint32_t>(s.w.in);
      load_word(row + int64_t{x + j} * s.channels, inside, values[j]);
    }
#pragma unroll
    for (int r = 0; r < kLastResults; ++r) {
      if (strip.column + r >= s.w.out) break;  // 0 times infinity is not 0
#pragma unroll
      for (int j = 0; j < W::kW; ++j) {
#pragma unroll
        for (int e = 0; e < kElements; ++e) {
          float& sum = sums[i * W::kW + j][e];
          sum = fmaf(values[r * W::kS + j][e], grads[r][e], sum);
        }
      }
    }
  }
}

template <class W, class T>
GPU_KERNEL(kLastThreads)
sum_last_channels(LastSumsCall<T> call) {
  constexpr int kElements = kWordElements<T>, kChannels = kSumsChannels<T>;
  GPU_SHARED(float, shared, kLastThreads* kElements);
  const Shape& s = call.shape;
  const LastSumsGrid& g = call.grid;
  const auto block = static_cast<uint32_t>(block_id());
  const auto split = static_cast<int32_t>(block / static_cast<uint32_t>(g.columns));
  const int32_t first = static_cast<int32_t>(block % static_cast<uint32_t>(g.columns)) * kChannels;
  const int32_t lane = thread_id() % kSumsLanes, line = thread_id() / kSumsLanes;
  const int32_t channel = first + lane * kElements;
  const int32_t stop = (split + 1) * g.per_split;
  int32_t end = stop < call.strips.strips ? stop : call.strips.strips;
  if (channel >= s.channels) end = 0;
  LastSums<W, T> sums;
#pragma unroll
  for (int i = 0; i <= W::kTaps; ++i) {
#pragma unroll
    for (int e = 0; e < kElements; ++e) sums[i][e] = 0;
  }
  for (int32_t index = split * g.per_split + line; index < end; index += kSumsLines) {
    const LastStrip strip(index, s, call.strips);
    const int64_t pixel = int64_t{strip.n} * s.out() + strip.row * s.w.out + strip.column;
    sum_last_strip<W, T>(s, strip, call.src + int64_t{strip.n} * s.in() * s.channels + channel,
                         call.grad + pixel * s.channels + channel, sums);
  }
#pragma unroll
  for (int i = 0; i <= W::kTaps; ++i) {
#pragma unroll
    for (int e = 0; e < kElements; ++e) {
      shared[line * kChannels + lane * kElements + e] = sums[i][e];
    }
    barrier();
    if (thread_id() < kChannels && first + thread_id() < s.channels) {
      float sum = 0;
#pragma unroll
      for (int k = 0; k < kSumsLines; ++k) sum += shared[k * kChannels + thread_id()];
      *call.sums.part(s, split, first + thread_id(), i) = sum;
    }
    barrier();
  }
}

template <class T>
int launch_last_sums(const BackwardArgs& a, const Shape& s, const polyops_context* ctx) {
  const LastGrid strips = last_grid(s, kPack<T>);
  const LastSumsGrid grid = last_sums_grid(s, strips.strips, kSumsChannels<T>);
  const LastSumsCall<T> call = {s,
                                strips,
                                grid,
                                static_cast<const T*>(a.grad_dst.data),
                                static_cast<const T*>(a.src.data),
                                sums_of<T>(a, grid.splits, ctx)};
  const LaunchShape shape = {int64_t{grid.columns} * grid.splits, kLastThreads};
  const int status = with_square(s, POLYOPS_DECLINED, [&]<class W>() {
    return launch(sum_last_channels<W, T>, shape, ctx, call);
  });
  return status == POLYOPS_OK ? launch_add_parts(s, call.sums, ctx) : status;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_LAST_SUMS_H_
