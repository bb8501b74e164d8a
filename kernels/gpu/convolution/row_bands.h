// Depthwise convolutions of 16 bits along rows as products of matrices, as bands.h has them of
// images: a row of 8 results is a row of a matrix, 16 such that follow each other are one. Without
// stride and dilation, by filters of Conformer's 31 taps and such. Bound: memory, 2 elements moved
// per result. A wave reads what it multiplies from the device's memory in whole lines, of which
// most are in the first cache.
#ifndef POLYOPS_GPU_CONVOLUTION_ROW_BANDS_H_
#define POLYOPS_GPU_CONVOLUTION_ROW_BANDS_H_

#include "bands.h"

namespace polyops::gpu {
namespace {

constexpr int kRowMatrices = 4;  // of results, of a wave
constexpr int kRowResults = kRowMatrices * kMatrixRows * kUnit;
constexpr int kRowUnits = 5;  // that a row of results reads; one place may be lost to alignment
constexpr int32_t kMostBandTaps = kRowUnits * kUnit - kUnit;

template <class T>
struct RowBandsCall {
  AnywhereCall<T> plain;
  Division waves, channels;  // of a row
  int64_t count;             // of waves
};

// Two neighbouring elements of a row, the first of which is at an even place, at p; 0 beyond its
// ends.
template <class T>
GPU_DEVICE uint32_t word_of_row(const T* p, int32_t place, int32_t columns) {
  uint32_t word = 0;
  if (static_cast<uint32_t>(place) < static_cast<uint32_t>(columns)) {
    word = reinterpret_cast<const Word*>(p)->w;
  }
  return word;
}

// The filter for the units of what a row of results reads, whose first result's first tap is the
// odd-th.
template <class T>
GPU_DEVICE void load_row_filter(const T* taps, int64_t step, int32_t count, int32_t odd,
                                uint32_t (&filter)[kRowUnits]) {
  const BandLane lane;
  const int32_t first = lane.pair - lane.group - odd;
  const T* const p = taps + first * step;
#pragma unroll
  for (int unit = 0; unit < kRowUnits; ++unit) {
    uint32_t halves[2] = {0, 0};
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      const int32_t j = unit * kUnit + k;
      if (static_cast<uint32_t>(first + j) >= static_cast<uint32_t>(count)) continue;
      halves[k] = reinterpret_cast<const HalfWord*>(p + j * step)->w;
    }
    filter[unit] = halves[0] | halves[1] << 16;
  }
}

// Of a lane's results, the first of which is `first`, those that are NaN.
template <class T>
GPU_DEVICE void convolve_row_again(const AnywhereCall<T>& call, int32_t n, int32_t channel, T* row,
                                   int32_t first) {
#pragma unroll 1
  for (int index = 0; index < kRowMatrices * 4; ++index) {
    Element e;
    e.n = n;
    e.c = channel;
    e.h = 0;
    e.w = first + index / 2 * (8 * kUnit) + index % 2;
    if (e.w >= call.shape.w.out) continue;
    const float sum = widen(row[e.w]);
    if (sum != sum) row[e.w] = narrow<T>(convolve_at<1>(call, e));
  }
}

// A matrix of results.
template <class T>
GPU_DEVICE void multiply_row(const uint32_t (&words)[kRowUnits][2],
                             const uint32_t (&filter)[kRowUnits], float (&sums)[4]) {
#pragma unroll
  for (int unit = 0; unit + 1 < kRowUnits; unit += 2) {
    const auto& near = words[unit];
    const auto& far = words[unit + 1];
    multiply_add<T>(sums, {near[0], near[1], far[0], far[1]}, {filter[unit], filter[unit + 1]});
  }
  multiply_add<T>(sums, words[kRowUnits - 1], {filter[kRowUnits - 1]});
}

// Those of a lane from its first one on; spoilt: NaN, if one is that or infinite.
template <class T>
GPU_DEVICE void store_row(const float (&sums)[4], T* row, int32_t first, int32_t columns,
                          float* spoilt) {
#pragma unroll
  for (int h = 0; h < 2; ++h) {
    *spoilt = fmaf(sums[2 * h], 0.0f, fmaf(sums[2 * h + 1], 0.0f, *spoilt));
    const int32_t at = first + h * 8 * kUnit;
    if (at >= columns) continue;
    reinterpret_cast<Word*>(row + at)->w = narrow2<T>(sums[2 * h], sums[2 * h + 1]);
  }
}

template <class T>
GPU_KERNEL(kBandThreads, 5)
convolve_row_bands(RowBandsCall<T> call) {
  const int64_t index = block_id() * kBandWaves + thread_id() / 32;
  if (index >= call.count) return;
  const Axis& w = call.plain.shape.w;
  const BandLane lane;
  auto rest = static_cast<uint32_t>(index);
  const int32_t first = static_cast<int32_t>(take_remainder(call.waves, &rest)) * kRowResults +
                        lane.group * kUnit + lane.pair;
  const auto plane = static_cast<int64_t>(rest);
  const auto channel = static_cast<int32_t>(take_remainder(call.channels, &rest));
  const T* const src = call.plain.src + plane * w.in;
  T* const dst = call.plain.dst + plane * w.out;
  const int32_t odd = w.padding % 2, begin = first - w.padding - odd;
  uint32_t words[kRowMatrices][kRowUnits][2], filter[kRowUnits];
  const T* const row = src + begin;
#pragma unroll
  for (int m = 0; m < kRowMatrices; ++m) {
#pragma unroll
    for (int unit = 0; unit < kRowUnits; ++unit) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        const int ahead = (m * kMatrixRows + h * 8 + unit) * kUnit;
        words[m][unit][h] = word_of_row(row + ahead, begin + ahead, w.in);
      }
    }
  }
  const Taps<T>& taps = call.plain.taps;
  load_row_filter(taps.data + channel * taps.c, taps.w, w.taps, odd, filter);
  const float bias = call.plain.bias.at(channel);
  float spoilt = 0;
#pragma unroll
  for (int m = 0; m < kRowMatrices; ++m) {
    float sums[4] = {bias, bias, bias, bias};
    multiply_row<T>(words[m], filter, sums);
    store_row(sums, dst, first + m * kMatrixRows * kUnit, w.out, &spoilt);
  }
  if (!(spoilt == 0)) {
    convolve_row_again(call.plain, static_cast<int32_t>(rest), channel, dst, first);
  }
}

// Rows of whole words. Filters of few taps are quicker by themselves.
inline bool has_row_bands(const Shape& s) {
  return s.w.taps > 4 && s.w.taps <= kMostBandTaps && s.w.in % 2 == 0 && s.w.out % 2 == 0;
}

template <class T>
int launch_row_bands(const Shape& s, const T* src, T* dst, const Taps<T>& taps, const Bias<T>& bias,
                     const polyops_context* ctx) {
  const int64_t waves = ceil_div(s.w.out, kRowResults);
  const Strides from = {int64_t{s.channels} * s.w.in, s.w.in, 0, 1};
  const RowBandsCall<T> call = {{s, src, dst, from, {}, taps, bias, 0, false},
                                Division(static_cast<uint32_t>(waves)),
                                Division(static_cast<uint32_t>(s.channels)),
                                waves * s.batch * s.channels};
  return launch(convolve_row_bands<T>, {ceil_div(call.count, kBandWaves), kBandThreads}, ctx, call);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_ROW_BANDS_H_
