// All gradients of such images as columns.h takes, at stride 2, and of 3x3 taps at stride 1, in one
// pass. Bound: memory, input and gradient of the results read once, gradient of the input written
// once. On an H200, before and since: bfloat16 64x144x56x56 5x5 at stride 2 116 and 63 us,
// 32x96x112x112 3x3 at stride 2 91 and 59, in float32 131 and 107.
//
// A pixel's gradient is a sum of gradients by taps, and each of them has that pixel as a factor in
// the sum for the same tap. So a thread that has the gradients around some pixels needs no other
// pixels: it slides down the plane, at stride 2 two rows of them for one of gradients. Which taps
// read a pixel is known to the compiler: those of its row's and column's parity.
#ifndef POLYOPS_GPU_CONVOLUTION_SPREAD_GRADIENTS_H_
#define POLYOPS_GPU_CONVOLUTION_SPREAD_GRADIENTS_H_

#include "columns_gradients.h"

namespace polyops::gpu {
namespace {

// A thread has kWide gradients of a row and the pixels of as many squares of the stride.
template <class W, int kWide, int kElementBytes>
struct SpreadGradients {
  static constexpr int kResults = kWide, kPixels = W::kS * kWide;
  static constexpr int kPadding = (W::kW - 1) / 2;
  // Rows, or columns, of gradients before a thread's own that its pixels are read by, and behind.
  static constexpr int kBack = kPadding / W::kS, kAfter = (kPadding + W::kS - 1) / W::kS;
  static_assert(kBack <= 1 && kAfter == 1);
  static constexpr int kRows = kBack + 1 + kAfter, kColumns = kBack + kWide + kAfter;
  static constexpr int kBefore = kBack + kAfter;
  static constexpr int kAhead = W::kS == 1 ? 4 : 3;  // steps whose rows come
  static constexpr int kThreads = 64;
  static constexpr int kBlocks = W::kS == 2 && W::kTaps == 9 ? 10 : 8;
};

// Gradients of a row: a thread's own, and its neighbours' nearest, a word of them each.
template <class Own, class T>
struct SpreadRow {
  static constexpr int kNear = 4 / static_cast<int>(sizeof(T));
  Few<T, kNear> left, right;
  Few<T, Own::kResults> own;

  GPU_DEVICE void clear() {
    left.clear();
    right.clear();
  }
  // first: of the thread's own.
  GPU_DEVICE void load(const T* first, bool has_left, bool has_right) {
    if (Own::kBack > 0 && has_left) left.load(first - kNear);
    own.load(first);
    if (has_right) right.load(first + Own::kResults);
  }
  GPU_DEVICE void get(float (&x)[Own::kColumns]) const {
    float near[kNear], mine[Own::kResults];
    if constexpr (Own::kBack > 0) {
      left.get(near);
      x[0] = near[kNear - 1];
    }
    own.get(mine);
#pragma unroll
    for (int j = 0; j < Own::kResults; ++j) x[Own::kBack + j] = mine[j];
    right.get(near);
    x[Own::kBack + Own::kResults] = near[0];
  }
};

// Pixels of a row.
template <class Own, class T>
struct SpreadPixels {
  static constexpr int kMost = 16 / static_cast<int>(sizeof(T));
  static constexpr int kEach = Own::kPixels < kMost ? Own::kPixels : kMost;
  static constexpr int kCount = Own::kPixels / kEach;
  Few<T, kEach> few[kCount];

  GPU_DEVICE void load(const T* p) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) few[i].load(p + i * kEach);
  }
  GPU_DEVICE void get(float (&x)[Own::kPixels]) const {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      float part[kEach];
      few[i].get(part);
#pragma unroll
      for (int j = 0; j < kEach; ++j) x[i * kEach + j] = part[j];
    }
  }
  GPU_DEVICE static void store(const float (&x)[Own::kPixels], T* p) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      float part[kEach];
#pragma unroll
      for (int j = 0; j < kEach; ++j) part[j] = x[i * kEach + j];
      Few<T, kEach> all;
      all.set(part);
      all.store(p + i * kEach);
    }
  }
};

template <class T>
struct SpreadGradientsCall {
  Shape shape;
  const T* grad;
  const T* src;
  T* dst;
  Taps<T> taps;
  Sums<T> sums;
  Division across, down;  // strips of a row, stretches of a plane
  int32_t rows;           // of gradients in a stretch
  int32_t strips, turns;  // of a channel, of a thread
};

// What a thread has of its channel: the filter and the sums, the last one for the bias.
template <class W>
struct SpreadSums {
  float w[W::kTaps], sums[W::kTaps + 1];
};

// Adds one row of pixels, the kRow-th of a step's, to the sums and their gradients to `to`, by
// the m-th row of gradients; see SpreadGradients for which those are. Gradients that the plane has
// not are skipped, not multiplied by: pixels may be infinite.
template <class W, class Own, int kRow>
GPU_DEVICE void spread_row(const float (&grads)[Own::kColumns], int m, bool has_left,
                           bool has_right, const float (&pixels)[Own::kPixels], SpreadSums<W>* own,
                           float (&to)[Own::kPixels]) {
  const int row = kRow + Own::kPadding - W::kS * (m - Own::kBack);
  if (row < 0 || row >= W::kH) return;
#pragma unroll
  for (int c = 0; c < Own::kPixels; ++c) {
#pragma unroll
    for (int n = -Own::kBack; n <= Own::kAfter; ++n) {
      const int column = c % W::kS + Own::kPadding - W::kS * n, of = c / W::kS + n;
      if (column < 0 || column >= W::kW) continue;
      if ((of < 0 && !has_left) || (of >= Own::kResults && !has_right)) continue;
      const int tap = row * W::kW + column;
      const float grad = grads[of + Own::kBack];
      to[c] = fmaf(grad, own->w[tap], to[c]);
      own->sums[tap] = fmaf(pixels[c], grad, own->sums[tap]);
    }
  }
}

// Results of a strip, whose rows and column are of gradients, and what it adds to the sums.
template <class W, class Own, class T>
GPU_DEVICE void slide_spread(const SpreadGradientsCall<T>& call, const ColumnStrip& strip,
                             SpreadSums<W>* own) {
  const Shape& s = call.shape;
  const bool has_left = strip.column > 0, has_right = strip.column + Own::kResults < s.w.out;
  const int32_t end = strip.first + strip.rows;
  RowWalk<T> walk(call.grad + (strip.plane * s.out() + strip.column), strip.first - Own::kBack,
                  Tile::least(end + Own::kAfter, s.h.out), s.w.out);
  const int64_t first = strip.plane * s.in() + W::kS * (strip.first * s.w.in + strip.column);
  const T* src = call.src + first;
  T* to = call.dst + first;
  SpreadRow<Own, T> before[Own::kBefore], next[Own::kAhead];
  SpreadPixels<Own, T> next_pixels[Own::kAhead][W::kS];
  const auto load_grads = [&](SpreadRow<Own, T>* few) {
    few->load(walk.row, has_left, has_right);
    walk.advance();
  };
  // at: the row of gradients, of which the last is read once more where there is none.
  const auto load = [&](int i, int32_t at) {
    load_grads(&next[i]);
#pragma unroll
    for (int k = 0; k < W::kS; ++k) next_pixels[i][k].load(src + k * s.w.in);
    if (at + 1 < end) src += W::kS * s.w.in;
  };
#pragma unroll
  for (int i = 0; i < Own::kBefore; ++i) {
    before[i].clear();
    load_grads(&before[i]);
  }
#pragma unroll
  for (int i = 0; i < Own::kAhead; ++i) {
    next[i].clear();
    load(i, strip.first + i);
  }
  float grads[Own::kRows][Own::kColumns];
#pragma unroll
  for (int i = 0; i < Own::kBefore; ++i) before[i].get(grads[i + 1]);
#pragma unroll 1
  for (int32_t base = strip.first; base < end; base += Own::kAhead) {
#pragma unroll
    for (int i = 0; i < Own::kAhead; ++i) {
      const int32_t row = base + i;
#pragma unroll
      for (int m = 0; m < Own::kBefore; ++m) {
#pragma unroll
        for (int j = 0; j < Own::kColumns; ++j) grads[m][j] = grads[m + 1][j];
      }
      next[i].get(grads[Own::kBefore]);
      float pixels[W::kS][Own::kPixels];
#pragma unroll
      for (int k = 0; k < W::kS; ++k) next_pixels[i][k].get(pixels[k]);
      if (row >= end) break;
#pragma unroll
      for (int j = 0; j < Own::kResults; ++j) {
        own->sums[W::kTaps] += grads[Own::kBack][Own::kBack + j];
      }
      const auto pass = [&]<int kRow>() {
        float sums[Own::kPixels] = {};
#pragma unroll
        for (int m = 0; m < Own::kRows; ++m) {
          if (m < Own::kBack && row == 0) continue;
          if (m > Own::kBack && row + 1 >= s.h.out) continue;
          spread_row<W, Own, kRow>(grads[m], m, has_left, has_right, pixels[kRow], own, sums);
        }
        SpreadPixels<Own, T>::store(sums, to);
        to += s.w.in;
      };
      pass.template operator()<0>();
      if constexpr (W::kS == 2) pass.template operator()<1>();
      load(i, row + Own::kAhead);
    }
  }
}

template <class W, class Own, class T>
GPU_KERNEL(Own::kThreads, Own::kBlocks)
gradients_of_spread(SpreadGradientsCall<T> call) {
  GPU_SHARED(float, shared, (W::kTaps + 1) * kMostWaves);
  const Shape& s = call.shape;
  const SplitOfChannel place(s.channels);
  SpreadSums<W> own;
#pragma unroll
  for (int i = 0; i < W::kTaps; ++i) {
    own.w[i] = call.taps.at(place.channel, i / W::kW, i % W::kW);
  }
#pragma unroll
  for (float& sum : own.sums) sum = 0;
#pragma unroll 1
  for (int32_t turn = 0; turn < call.turns; ++turn) {
    const int32_t index = (place.split * call.turns + turn) * Own::kThreads + thread_id();
    if (index >= call.strips) break;
    auto rest = static_cast<uint32_t>(index);
    ColumnStrip strip;
    strip.column = static_cast<int32_t>(take_remainder(call.across, &rest)) * Own::kResults;
    strip.first = static_cast<int32_t>(take_remainder(call.down, &rest)) * call.rows;
    strip.rows = Tile::least(call.rows, s.h.out - strip.first);
    strip.plane = int64_t{rest} * s.channels + place.channel;
    slide_spread<W, Own, T>(call, strip, &own);
  }
  put_sums(own.sums, s, place, call.sums, shared);
}

inline bool has_spread_gradients(const Shape& s, int element_bytes) {
  if (!has_columns(s)) return false;
  return s.w.stride == 2 || (s.w.taps == 3 && s.w.out % (16 / element_bytes) == 0);
}

// How a channel's planes are cut, as by stretches_of(), but in any number of stretches.
template <class Own>
Stretches spread_stretches(const Shape& s) {
  const int64_t blocks = kSumMultiprocessors * Own::kBlocks / s.channels;
  const int64_t at_once = (blocks > 1 ? blocks : 1) * Own::kThreads;
  constexpr int kToBegin = 4;
  Stretches best = {s.h.out, 0, 0};
  int64_t least = INT64_MAX;
  for (int32_t parts = 1; parts <= s.h.out && parts <= 64; ++parts) {
    const auto rows = static_cast<int32_t>(ceil_div(s.h.out, parts));
    const int64_t count = int64_t{s.batch} * (s.w.out / Own::kResults) * ceil_div(s.h.out, rows);
    const int64_t turns = ceil_div(count, at_once), time = turns * (rows + kToBegin);
    if (time >= least) continue;
    least = time;
    best = {rows, count, turns};
  }
  return best;
}

// Calls f.operator()<W, Own>(). Of a thread, a row of pixels is one pack, if rows are whole ones.
template <int kElementBytes, class F>
int with_spread_gradients(const Shape& s, F f) {
  if (s.w.stride == 1) {
    using W = Window<3, 3, 1>;
    return f.template operator()<W, SpreadGradients<W, 16 / kElementBytes, kElementBytes>>();
  }
  const auto with_wide = [&]<class W>() -> int {
    if constexpr (kElementBytes == 2) {
      if (s.w.out % 4 == 0) return f.template operator()<W, SpreadGradients<W, 4, 2>>();
    }
    return f.template operator()<W, SpreadGradients<W, 2, kElementBytes>>();
  };
  if (s.w.taps == 3) return with_wide.template operator()<Window<3, 3, 2>>();
  return with_wide.template operator()<Window<5, 5, 2>>();
}

template <int kElementBytes>
int64_t spread_gradients_splits(const Shape& s) {
  int64_t splits = 0;
  if (!has_spread_gradients(s, kElementBytes)) return splits;
  with_spread_gradients<kElementBytes>(s, [&]<class W, class Own>() {
    splits = splits_of<Own>(spread_stretches<Own>(s));
    return POLYOPS_OK;
  });
  return splits;
}

template <class T>
int launch_spread_gradients(const BackwardArgs& a, const Shape& s, const polyops_context* ctx) {
  return with_spread_gradients<sizeof(T)>(s, [&]<class W, class Own>() {
    const Stretches g = spread_stretches<Own>(s);
    const int64_t splits = splits_of<Own>(g);
    const int cluster = splits <= most_cluster(ctx) ? static_cast<int>(splits) : 1;
    const SpreadGradientsCall<T> call = {s,
                                         static_cast<const T*>(a.grad_dst.data),
                                         static_cast<const T*>(a.src.data),
                                         static_cast<T*>(a.grad_src.data),
                                         taps_of<T>(a.weight),
                                         sums_of<T>(a, cluster > 1 ? 1 : splits, ctx),
                                         Division(static_cast<uint32_t>(s.w.out / Own::kResults)),
                                         Division(static_cast<uint32_t>(ceil_div(s.h.out, g.rows))),
                                         g.rows,
                                         static_cast<int32_t>(g.count),
                                         static_cast<int32_t>(g.turns)};
    const int status = launch(gradients_of_spread<W, Own, T>,
                              {splits * s.channels, Own::kThreads, 0, cluster}, ctx, call);
    return launch_add_parts(status, s, call.sums, ctx);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_SPREAD_GRADIENTS_H_
