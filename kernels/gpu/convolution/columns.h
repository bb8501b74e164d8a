// Depthwise convolution of images that are planes of rows of whole groups of 4 or 2 elements, by a
// filter whose results lie where its middle does. With the filter turned, the gradient of the input at stride
// 1. Bound: memory, 2 elements moved per result.
//
// A thread has a group of results of a row and slides down the plane as in slide.h. It reads the
// groups that are its own, and its neighbours' from the cache: nothing is staged, so no warp waits for
// another.
#ifndef POLYOPS_GPU_CONVOLUTION_COLUMNS_H_
#define POLYOPS_GPU_CONVOLUTION_COLUMNS_H_

#include "slide.h"
#include "sliding_sums.h"

namespace polyops::gpu {
namespace {

// Results of a thread are kWide, 4 or 2, as many as a group of pixels.
template <class W, int kWide>
struct ColumnSlide {
  static constexpr int kElements = 1, kResults = kWide;
  static constexpr int kPixels = (kResults - 1) * W::kS + W::kW;
  static constexpr int kBefore = (W::kH - 1) / W::kS;
  static constexpr int kPadding = (W::kW - 1) / 2;
  // Groups before and behind its own.
  static constexpr int kLeft = (kPadding + kWide - 1) / kWide;
  static constexpr int kRight = (kPixels - kPadding - W::kS * kWide + kWide - 1) / kWide;
  static constexpr int kGroups = kLeft + W::kS + kRight;
  static constexpr int kAhead = W::kS == 1 && W::kTaps < 49 ? 2 : 1;  // steps whose rows come
  static constexpr int kThreads = 128;
  // Of a multiprocessor, by its registers.
  static constexpr int kBlocks = W::kTaps == 9                  ? (W::kS == 1 ? 8 : 6)
                                 : W::kTaps == 25 && W::kS == 1 ? 5
                                                                : 4;
};

template <class T>
struct ColumnsCall {
  Shape shape;
  const T* src;
  T* dst;
  Taps<T> taps;
  Bias<T> bias;
  Division across, down;  // strips of a row, stretches of a plane
  int32_t rows;           // of a stretch
  int64_t strips;         // in all
};

// What a strip reads of a row: its own groups and those around them, 0 where there is none.
template <class Own, class T>
struct ColumnRow {
  static constexpr int kWide = Own::kResults;
  Few<T, kWide> groups[Own::kGroups];

  // first: of the strip's own, which begin at a column of so many.
  GPU_DEVICE void load(const T* first, int32_t column, int32_t columns, bool has) {
#pragma unroll
    for (int i = 0; i < Own::kGroups; ++i) {
      const int ahead = (i - Own::kLeft) * kWide;
      const bool inside = static_cast<uint32_t>(column + ahead) < static_cast<uint32_t>(columns);
      groups[i].clear();
      if (has && inside) groups[i].load(first + ahead);
    }
  }
  GPU_DEVICE void get(float (&x)[Own::kPixels][1]) const {
    float all[Own::kGroups][kWide];
#pragma unroll
    for (int i = 0; i < Own::kGroups; ++i) groups[i].get(all[i]);
#pragma unroll
    for (int j = 0; j < Own::kPixels; ++j) {
      const int at = j + Own::kLeft * kWide - Own::kPadding;
      x[j][0] = all[at / kWide][at % kWide];
    }
  }
};

template <class W, class Own, class T>
GPU_KERNEL(Own::kThreads, Own::kBlocks)
convolve_columns(ColumnsCall<T> call) {
  const Shape& s = call.shape;
  const int64_t index = block_id() * Own::kThreads + thread_id();
  if (index >= call.strips) return;
  auto rest = static_cast<uint32_t>(index);
  const auto column = static_cast<int32_t>(take_remainder(call.across, &rest)) * Own::kResults;
  const auto first = static_cast<int32_t>(take_remainder(call.down, &rest)) * call.rows;
  const auto plane = static_cast<int32_t>(rest), channel = plane % s.channels;
  const int32_t rows = s.h.out - first < call.rows ? s.h.out - first : call.rows;
  const int32_t steps = rows + Own::kBefore;
  int32_t y = first * W::kS - Own::kPadding;
  const int32_t stop = y + steps * W::kS, end = stop < s.h.in ? stop : s.h.in;
  const T* row = call.src + (int64_t{plane} * s.in() + int64_t{y} * s.w.in + column * W::kS);
  T* to = call.dst + (int64_t{plane} * s.out() + first * s.w.out + column);
  ColumnRow<Own, T> next[Own::kAhead][W::kS];
  const auto load = [&](ColumnRow<Own, T>(&of_step)[W::kS]) {
#pragma unroll
    for (int i = 0; i < W::kS; ++i) {
      const bool has = static_cast<uint32_t>(y + i) < static_cast<uint32_t>(end);
      of_step[i].load(row + i * s.w.in, column * W::kS, s.w.in, has);
    }
    y += W::kS;
    row += W::kS * s.w.in;
  };
#pragma unroll
  for (int i = 0; i < Own::kAhead; ++i) load(next[i]);
  float w[W::kTaps][1];
#pragma unroll
  for (int i = 0; i < W::kTaps; ++i) w[i][0] = call.taps.at(channel, i / W::kW, i % W::kW);
  const float bias[1] = {call.bias.at(channel)};
  SlidingSums<W, Own> sums;
#pragma unroll 1
  for (int32_t base = 0; base < steps; base += Own::kAhead) {
#pragma unroll
    for (int i = 0; i < Own::kAhead; ++i) {
      const int32_t step = base + i;
      float values[W::kS][Own::kPixels][1];
#pragma unroll
      for (int k = 0; k < W::kS; ++k) next[i][k].get(values[k]);
      load(next[i]);
      sums.add_step(step, rows, values, w, bias);
      // The last one may be beyond the stretch: that costs less than another end of the loop.
      if (step < Own::kBefore || step >= steps) continue;
      Few<T, Own::kResults> few;
      float done[Own::kResults];
#pragma unroll
      for (int c = 0; c < Own::kResults; ++c) done[c] = sums.done[c][0];
      few.set(done);
      few.store(to);
      to += s.w.out;
    }
  }
}

// Whether rows are whole groups, each as long as its results need. Windows of 7 of narrow images are
// quicker by tiles: 16 us and 21 (bfloat16 32x384x14x14, H200).
inline bool has_columns(const Shape& s) {
  for (const Axis* axis : {&s.h, &s.w}) {
    if (axis->padding != (axis->taps - 1) / 2 || axis->in != axis->out * axis->stride) return false;
  }
  return s.w.out % 2 == 0 && s.h.taps > 1 && (s.w.taps < 7 || s.w.out >= 28);
}

// Calls f.operator()<W, Own>().
template <class F>
int with_columns(const Shape& s, F f) {
  return with_square(s, POLYOPS_DECLINED, [&]<class W>() {
    if (s.w.out % 4 == 0) return f.template operator()<W, ColumnSlide<W, 4>>();
    return f.template operator()<W, ColumnSlide<W, 2>>();
  });
}

template <class T>
int launch_columns(const Shape& s, const T* src, T* dst, const Taps<T>& taps, const Bias<T>& bias,
                   const polyops_context* ctx) {
  return with_columns(s, [&]<class W, class Own>() {
    const int64_t across = s.w.out / Own::kResults;
    const Stretches stretches =
        stretches_of(s.h.out, kMore<Own>, int64_t{s.batch} * s.channels * across,
                     int64_t{multiprocessors(ctx)} * Own::kBlocks * Own::kThreads);
    const ColumnsCall<T> call = {s,
                                 src,
                                 dst,
                                 taps,
                                 bias,
                                 Division(static_cast<uint32_t>(across)),
                                 Division(static_cast<uint32_t>(ceil_div(s.h.out, stretches.rows))),
                                 stretches.rows,
                                 stretches.count};
    return launch(convolve_columns<W, Own, T>,
                  {ceil_div(call.strips, Own::kThreads), Own::kThreads}, ctx, call);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_COLUMNS_H_
