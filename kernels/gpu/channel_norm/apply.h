// A line per channel over a run of elements: y = (x - center) scale + shift, or backward, of the
// gradient g as well, y = g factor + (x - center) scale + shift. What gives the lines is the op's.
#ifndef POLYOPS_GPU_CHANNEL_NORM_APPLY_H_
#define POLYOPS_GPU_CHANNEL_NORM_APPLY_H_

#include "layer_norm/layout.h"
#include "runs.h"

namespace polyops::gpu {
namespace {

// An element of each input.
template <int kInputs>
struct Operands {
  float x[kInputs];
};

template <int kInputs, int kCount>
GPU_DEVICE Operands<kInputs> operands(const float (&x)[kInputs][kCount], int j) {
  Operands<kInputs> of;
#pragma unroll
  for (int i = 0; i < kInputs; ++i) of.x[i] = x[i][j];
  return of;
}

struct Line {
  float center, scale, shift;
  GPU_DEVICE float operator()(const Operands<1>& of) const {
    return fmaf(of.x[0] - center, scale, shift);
  }
};

struct GradientLine {
  float factor, center, scale, shift;
  GPU_DEVICE float operator()(const Operands<2>& of) const {
    return fmaf(of.x[0], factor, fmaf(of.x[1] - center, scale, shift));
  }
};

// Lines that an earlier kernel left in the workspace, [channels][...], 16 bytes each.
constexpr int kLineFloats = 4, kGradientLineFloats = 4;

struct StoredLines {
  const float* lines;
  GPU_DEVICE Line operator()(int32_t channel) const {
    float of[4];
    unpack<float>(load_words(lines + int64_t{channel} * kLineFloats), of);
    return {of[0], of[1], of[2]};
  }
};

struct StoredGradientLines {
  const float* lines;
  GPU_DEVICE GradientLine operator()(int32_t channel) const {
    float of[4];
    unpack<float>(load_words(lines + int64_t{channel} * kGradientLineFloats), of);
    return {of[0], of[1], of[2], of[3]};
  }
};

// Where a run begins in each tensor.
template <class T, int kInputs>
struct RunPointers {
  const T* in[kInputs];
  T* out;
};

// One pack, whose first element is the at-th of the slice. channels: Channels or OneChannel;
// line(c): of the slice's c-th channel. False: nothing was computed, since there may be more than
// two channels in it.
template <class T, int kInputs, class Where, class Lines>
GPU_DEVICE bool map_pack(const Words (&words)[kInputs], int32_t at, const Where& channels,
                         const Lines& line, float (&y)[kPack<T>]) {
  if (channels.inner < kPack<T>) return false;
  float x[kInputs][kPack<T>];
#pragma unroll
  for (int i = 0; i < kInputs; ++i) unpack<T>(words[i], x[i]);
  int32_t place;
  const int32_t channel = channels.of(at, &place);
  const auto f = line(channel);
  if (place + kPack<T> <= channels.inner) {
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) y[j] = f(operands(x, j));
    return true;
  }
  const auto next = line(channel + 1);
#pragma unroll
  for (int j = 0; j < kPack<T>; ++j) {
    y[j] = place + j < channels.inner ? f(operands(x, j)) : next(operands(x, j));
  }
  return true;
}

// One element of a run, which begins at the at-th of the slice.
template <int kInputs, class T, class Where, class Lines>
GPU_DEVICE void map_one(const RunPointers<T, kInputs>& p, int32_t at, int32_t i,
                        const Where& channels, const Lines& line) {
  Operands<kInputs> of;
#pragma unroll
  for (int k = 0; k < kInputs; ++k) of.x[k] = widen(p.in[k][i]);
  int32_t place;
  p.out[i] = narrow<T>(line(channels.of(at + i, &place))(of));
}

// The pack of elements i, i + 1, ... of a run, which came from memory as `words`.
template <int kInputs, class T, class Where, class Lines>
GPU_DEVICE void store_mapped(const RunPointers<T, kInputs>& p, const Words (&words)[kInputs],
                             int32_t at, int32_t i, const Where& channels, const Lines& line) {
  float y[kPack<T>];
  if (map_pack<T>(words, at + i, channels, line, y)) {
    store_words(p.out + i, gpu::pack<T>(y));
    return;
  }
  const int32_t first = forgotten(i);
#pragma unroll 1
  for (int j = 0; j < kPack<T>; ++j) map_one(p, at, first + j, channels, line);
}

// The run's n elements, the first the at-th of the slice, by `lanes` lanes. Lost: loads that
// leave the caches first, to make room for results (ld.cs, 2 to 5 % slower on an H200).
template <int kInputs, class T, class Where, class Lines>
GPU_DEVICE void map_run(const RunPointers<T, kInputs>& p, int32_t at, int32_t n, int lane,
                        int lanes, const Where& channels, const Lines& line) {
  constexpr int kPacks = kRunPacks / kInputs;
  const Cut<T> cut(p.in[0], n);
  if (!cut.fits(p.in[kInputs - 1]) || !cut.fits(p.out)) {
#pragma unroll 1
    for (int32_t i = lane; i < n; i += lanes) map_one(p, at, i, channels, line);
    return;
  }
  for (int32_t first = lane; first < cut.whole; first += kPacks * lanes) {
    Words x[kInputs][kPacks];
#pragma unroll
    for (int i = 0; i < kInputs; ++i) {
      load_fitting(cut, p.in[i], first, lanes, x[i]);
    }
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      const int32_t pack = first + k * lanes;
      if (pack >= cut.whole) break;
      Words words[kInputs];
#pragma unroll
      for (int i = 0; i < kInputs; ++i) words[i] = x[i][k];
      store_mapped(p, words, at, cut.of_pack(pack), channels, line);
    }
  }
  for_each_end<kMostEnds<T>>(cut, lane, lanes,
                             [&](int, int i) { map_one(p, at, i, channels, line); });
}

// The line of every channel, where there is one alone.
template <class Made>
struct SameLine {
  Made line;
  GPU_DEVICE Made operator()(int32_t) const { return line; }
};

// map_run() of a slice of several channels: a run that lies in one of them has its line made once.
template <int kInputs, class T, class Lines>
GPU_DEVICE void map_span(const RunPointers<T, kInputs>& p, int32_t at, int32_t n, int lane,
                         int lanes, const Channels& channels, const Lines& line) {
  int32_t place;
  const int32_t channel = channels.of(at, &place);
  if (n > channels.inner - place) {
    map_run<kInputs, T>(p, at, n, lane, lanes, channels, line);
    return;
  }
  const auto made = line(channel);
  map_run<kInputs, T>(p, 0, n, lane, lanes, OneChannel{}, SameLine<decltype(line(channel))>{made});
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CHANNEL_NORM_APPLY_H_
