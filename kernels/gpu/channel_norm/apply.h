// A line per channel over a run of elements: y = (x - center) scale + shift, or backward, of the
// gradient g as well, y = g factor + (x - center) scale + shift. What gives the lines is the op's.
#ifndef POLYOPS_GPU_CHANNEL_NORM_APPLY_H_
#define POLYOPS_GPU_CHANNEL_NORM_APPLY_H_

#include "layer_norm/layout.h"
#include "runs.h"

namespace polyops::gpu {
namespace {

struct Line {
  float center, scale, shift;
  GPU_DEVICE float operator()(const float (&x)[1]) const {
    return fmaf(x[0] - center, scale, shift);
  }
};

struct GradientLine {
  float factor, center, scale, shift;
  GPU_DEVICE float operator()(const float (&x)[2]) const {
    return fmaf(x[0], factor, fmaf(x[1] - center, scale, shift));
  }
};

// Where a run begins in each tensor.
template <class T, int kInputs>
struct RunPointers {
  const T* in[kInputs];
  T* out;
};

// One pack, whose first element is the at-th of the slice. line(c): of the slice's c-th channel.
template <class T, int kInputs, class Lines>
GPU_DEVICE void map_pack(const Words (&words)[kInputs], int32_t at, const Channels& channels,
                         const Lines& line, float (&y)[kPack<T>]) {
  float x[kInputs][kPack<T>];
#pragma unroll
  for (int i = 0; i < kInputs; ++i) unpack<T>(words[i], x[i]);
  int32_t place;
  int32_t channel = channels.of(at, &place);
  auto f = line(channel);
  const bool one = place + kPack<T> <= channels.inner;
#pragma unroll
  for (int j = 0; j < kPack<T>; ++j) {
    if (!one && j > 0 && ++place == channels.inner) {
      place = 0;
      f = line(++channel);
    }
    float operands[kInputs];
#pragma unroll
    for (int i = 0; i < kInputs; ++i) operands[i] = x[i][j];
    y[j] = f(operands);
  }
}

// The run's n elements, the first the at-th of the slice, by `lanes` lanes.
template <int kInputs, class T, class Lines>
GPU_DEVICE void map_run(const RunPointers<T, kInputs>& p, int32_t at, int32_t n, int lane,
                        int lanes, const Channels& channels, const Lines& line) {
  constexpr int kPacks = kRunPacks / kInputs;
  const Cut<T> cut(p.in[0], n);
  const bool fits = cut.fits(p.out);
  for (int32_t first = lane; first < cut.whole; first += kPacks * lanes) {
    Words x[kInputs][kPacks];
#pragma unroll
    for (int i = 0; i < kInputs; ++i) load_row(cut, p.in[i], first, lanes, 0.0f, x[i]);
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      const int32_t pack = first + k * lanes;
      if (pack >= cut.whole) break;
      Words words[kInputs];
#pragma unroll
      for (int i = 0; i < kInputs; ++i) words[i] = x[i][k];
      float y[kPack<T>];
      map_pack<T>(words, at + cut.of_pack(pack), channels, line, y);
      store_pack(cut, p.out, fits, pack, y);
    }
  }
  for_each_end<kMostEnds<T>>(cut, lane, lanes, [&](int, int i) {
    float x[kInputs];
#pragma unroll
    for (int k = 0; k < kInputs; ++k) x[k] = widen(p.in[k][i]);
    int32_t place;
    p.out[i] = narrow<T>(line(channels.of(at + i, &place))(x));
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CHANNEL_NORM_APPLY_H_
