// Depthwise convolution along rows by a filter of 2 to 4 taps, without stride and dilation, as
// state space models have it before their scans. With the filter turned, the gradient of the input.
// Bound: memory, 2 elements moved per result.
//
// A thread has a pack of results where 16 aligned bytes are in memory, whatever a row's length.
// What it reads begins anywhere: it takes the aligned packs that this lies in, and shifts.
#ifndef POLYOPS_GPU_CONVOLUTION_ROW_PACKS_H_
#define POLYOPS_GPU_CONVOLUTION_ROW_PACKS_H_

#include "division.h"
#include "planes.h"

namespace polyops::gpu {
namespace {

constexpr int kRowPackThreads = 256;
constexpr int kPacksOfThread = 2;

template <class T>
struct RowPacksCall {
  Shape shape;
  const T* src;
  T* dst;
  Taps<T> taps;
  Bias<T> bias;
  Division packs, channels;  // of a row, of those each thread has one of; the last may be empty
  int64_t count;             // of threads
};

// kCount elements of a row, from any one on; outside of it they are 0.
template <int kCount, class T>
struct AnyRun {
  static constexpr int kPacks = (2 * (kPack<T> - 1) + kCount) / kPack<T>;
  static constexpr int kHalves = sizeof(T) == 4 ? 1 : 2;  // elements of a word
  uint32_t w[4 * kPacks];

  GPU_DEVICE void load(const T* row, int32_t columns, int32_t first) {
    const int32_t begin = first - misplaced(row + first);
#pragma unroll
    for (int i = 0; i < kPacks; ++i) {
      const int32_t at = begin + i * kPack<T>;
      Words words = {{0, 0, 0, 0}};
      if (at > -kPack<T> && at < columns) words = load_words(row + at);
#pragma unroll
      for (int j = 0; j < 4; ++j) w[4 * i + j] = words.w[j];
    }
  }
  // What was loaded.
  GPU_DEVICE void get(const T* row, int32_t columns, int32_t first, float (&x)[kCount]) {
    const int shift = misplaced(row + first);
#pragma unroll
    for (int step = 2; step > 0; --step) {
      const bool moves = (shift / kHalves & step) != 0;
#pragma unroll
      for (int i = 0; i + step < 4 * kPacks; ++i) w[i] = moves ? w[i + step] : w[i];
    }
#pragma unroll
    for (int i = 0; i < kCount; i += kHalves) {
      if constexpr (kHalves == 1) {
        x[i] = float_of_bits(w[i]);
      } else {
        float low, high;
        widen2<T>(funnel_right(w[i / 2], w[i / 2 + 1], shift % 2 * 16), &low, &high);
        x[i] = low;
        if (i + 1 < kCount) x[i + 1] = high;
      }
    }
    if (first >= 0 && first + kCount <= columns) return;
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      if (static_cast<uint32_t>(first + i) >= static_cast<uint32_t>(columns)) x[i] = 0;
    }
  }
};

// Of the row's results those of a pack that lie in the row.
template <class T>
GPU_DEVICE void store_any(T* row, int32_t columns, int32_t first, const float (&x)[kPack<T>]) {
  if (first >= 0 && first + kPack<T> <= columns) {
    store_words(row + first, pack<T>(x));
    return;
  }
#pragma unroll
  for (int r = 0; r < kPack<T>; ++r) {
    if (static_cast<uint32_t>(first + r) < static_cast<uint32_t>(columns)) {
      row[first + r] = narrow<T>(x[r]);
    }
  }
}

template <class W, class T>
GPU_KERNEL(kRowPackThreads)
convolve_row_packs(RowPacksCall<T> call) {
  await_earlier();
  const int64_t index = block_id() * kRowPackThreads + thread_id();
  if (index >= call.count) return;
  const Shape& s = call.shape;
  auto rest = static_cast<uint32_t>(index);
  const auto pack_of_row = static_cast<int32_t>(take_remainder(call.packs, &rest));
  const auto plane = static_cast<int64_t>(rest);
  const auto channel = static_cast<int32_t>(take_remainder(call.channels, &rest));
  const T* const src = call.src + plane * s.w.in;
  T* const dst = call.dst + plane * s.w.out;
  const int32_t first = pack_of_row * kPack<T> - misplaced(dst);
  const auto step = static_cast<int32_t>(call.packs.divisor) * kPack<T>;
  AnyRun<kPack<T> + W::kW - 1, T> runs[kPacksOfThread];
#pragma unroll
  for (int i = 0; i < kPacksOfThread; ++i) {
    runs[i].load(src, s.w.in, first + i * step - s.w.padding);
  }
  float w[W::kTaps];
  load_taps<W>(call.taps, channel, w);
  const float bias = call.bias.at(channel);
#pragma unroll
  for (int i = 0; i < kPacksOfThread; ++i) {
    float values[kPack<T> + W::kW - 1], sums[kPack<T>];
    runs[i].get(src, s.w.in, first + i * step - s.w.padding, values);
#pragma unroll
    for (int r = 0; r < kPack<T>; ++r) {
      sums[r] = bias;
#pragma unroll
      for (int j = 0; j < W::kW; ++j) sums[r] = fmaf(values[r + j], w[j], sums[r]);
    }
    store_any(dst, s.w.out, first + i * step, sums);
  }
}

template <class T>
int launch_row_packs(const Shape& s, const T* src, T* dst, const Taps<T>& taps, const Bias<T>& bias,
                     const polyops_context* ctx) {
  const int64_t packs = ceil_div(int64_t{s.w.out} + kPack<T> - 1, kPack<T> * kPacksOfThread);
  const RowPacksCall<T> call = {s,
                                src,
                                dst,
                                taps,
                                bias,
                                Division(static_cast<uint32_t>(packs)),
                                Division(static_cast<uint32_t>(s.channels)),
                                packs * s.batch * s.channels};
  const LaunchShape shape = {ceil_div(call.count, kRowPackThreads), kRowPackThreads};
  return with_window(s, POLYOPS_DECLINED, [&]<class W>() -> int {
    if constexpr (W::kH == 1) return launch(convolve_row_packs<W, T>, shape, ctx, call);
    return POLYOPS_DECLINED;
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_ROW_PACKS_H_
