// All gradients of images whose channels lie next to each other, by filters of 3x3 at stride 2, in
// one pass, where strips are whole ones; how they come together is in spread_gradients.h. Bound:
// memory, input and gradient of the results read once, gradient of the input written once.
#ifndef POLYOPS_GPU_CONVOLUTION_SPREAD_LAST_GRADIENTS_H_
#define POLYOPS_GPU_CONVOLUTION_SPREAD_LAST_GRADIENTS_H_

#include "last_sums.h"
#include "spread_gradients.h"

namespace polyops::gpu {
namespace {

using SpreadWindow = Window<3, 3, 2>;

// Of 2 channels. Taps and their sums are in registers.
template <class T>
struct SpreadLast : SpreadGradients<SpreadWindow, 2, sizeof(T)> {
  static constexpr int kElements = 2, kAhead = sizeof(T) == 2 ? 3 : 2;
  static constexpr int kThreads = 256, kBlocks = 2;
  static constexpr int kLanes = 64;
  static constexpr int kSums = 10, kPass = kSums;
};

template <class T>
struct SpreadLastCall {
  Shape shape;
  SlideGrid grid;
  const T* grad;
  const T* src;
  T* dst;
  Taps<T> taps;
  Sums<T> sums;
};

// Some neighbouring pixels, or gradients, of a thread's channels.
template <class T, int kCount>
struct LastFew {
  Few<T, 2> few[kCount];

  GPU_DEVICE void load(const T* first, int32_t channels) {
#pragma unroll
    for (int j = 0; j < kCount; ++j) few[j].load(ahead(first, channels, j));
  }
  // Gradients: those around the thread's own, from the first one before them.
  template <class Own>
  GPU_DEVICE void load_around(const T* own, int32_t channels, bool has_left, bool has_right) {
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      const int of = j - Own::kBack;
      if ((of < 0 && !has_left) || (of >= Own::kResults && !has_right)) continue;
      few[j].load(ahead(own, channels, of));
    }
  }
  GPU_DEVICE void clear() {
    for (auto& one : few) one.clear();
  }
  GPU_DEVICE void get(float (&x)[kCount][2]) const {
#pragma unroll
    for (int j = 0; j < kCount; ++j) few[j].get(x[j]);
  }
};

struct SpreadLastSums {
  float w[9][2], sums[10][2];
};

// As spread_row().
template <class Own, int kRow>
GPU_DEVICE void spread_last_row(const float (&grads)[Own::kColumns][2], int m, bool has_left,
                                bool has_right, const float (&pixels)[Own::kPixels][2],
                                SpreadLastSums* own, float (&to)[Own::kPixels][2]) {
  const int row = kRow + 1 - 2 * (m - Own::kBack);
  if (row < 0 || row >= 3) return;
#pragma unroll
  for (int c = 0; c < Own::kPixels; ++c) {
#pragma unroll
    for (int n = -Own::kBack; n <= Own::kAfter; ++n) {
      const int column = c % 2 + 1 - 2 * n, of = c / 2 + n;
      if (column < 0 || column >= 3) continue;
      if ((of < 0 && !has_left) || (of >= Own::kResults && !has_right)) continue;
      const int tap = row * 3 + column;
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const float grad = grads[of + Own::kBack][e];
        to[c][e] = fmaf(grad, own->w[tap][e], to[c][e]);
        own->sums[tap][e] = fmaf(pixels[c][e], grad, own->sums[tap][e]);
      }
    }
  }
}

// Slides down one strip, as slide_spread(). channel: the thread's first.
template <class T>
GPU_DEVICE void slide_spread_last(const SpreadLastCall<T>& call,
                                  const SlideStrip<SpreadLast<T>>& strip, int32_t channel,
                                  SpreadLastSums* own) {
  using Own = SpreadLast<T>;
  const Shape& s = call.shape;
  const bool has_left = strip.column > 0, has_right = strip.column + Own::kResults < s.w.out;
  const int32_t end = strip.row + strip.rows, pitch = s.w.in * s.channels;
  const int64_t of_image = int64_t{strip.n} * s.out() + strip.column;
  RowWalk<T> walk(call.grad + (of_image * s.channels + channel), strip.row - Own::kBack,
                  Tile::least(end + Own::kAfter, s.h.out), s.w.out * s.channels);
  const int64_t first = strip.in(s, 2 * strip.row, 2 * strip.column) + channel;
  const T* src = call.src + first;
  T* to = call.dst + first;
  LastFew<T, Own::kColumns> before[Own::kBefore], next[Own::kAhead];
  LastFew<T, Own::kPixels> next_pixels[Own::kAhead][2];
  const auto load_grads = [&](LastFew<T, Own::kColumns>* few) {
    few->template load_around<Own>(walk.row, s.channels, has_left, has_right);
    walk.advance();
  };
  const auto load = [&](int i, int32_t at) {
    load_grads(&next[i]);
    next_pixels[i][0].load(src, s.channels);
    next_pixels[i][1].load(ahead(src, pitch, 1), s.channels);
    if (at + 1 < end) src = ahead(src, pitch, 2);
  };
#pragma unroll
  for (int i = 0; i < Own::kBefore; ++i) {
    before[i].clear();
    load_grads(&before[i]);
  }
#pragma unroll
  for (int i = 0; i < Own::kAhead; ++i) {
    next[i].clear();
    load(i, strip.row + i);
  }
  float grads[Own::kRows][Own::kColumns][2];
#pragma unroll
  for (int i = 0; i < Own::kBefore; ++i) before[i].get(grads[i + 1]);
#pragma unroll 1
  for (int32_t base = strip.row; base < end; base += Own::kAhead) {
#pragma unroll
    for (int i = 0; i < Own::kAhead; ++i) {
      const int32_t row = base + i;
#pragma unroll
      for (int m = 0; m < Own::kBefore; ++m) {
#pragma unroll
        for (int j = 0; j < Own::kColumns; ++j) {
          grads[m][j][0] = grads[m + 1][j][0];
          grads[m][j][1] = grads[m + 1][j][1];
        }
      }
      next[i].get(grads[Own::kBefore]);
      float pixels[2][Own::kPixels][2];
      next_pixels[i][0].get(pixels[0]);
      next_pixels[i][1].get(pixels[1]);
      if (row >= end) break;
#pragma unroll
      for (int j = 0; j < Own::kResults; ++j) {
#pragma unroll
        for (int e = 0; e < 2; ++e) own->sums[9][e] += grads[Own::kBack][Own::kBack + j][e];
      }
      const auto pass = [&]<int kRow>() {
        float sums[Own::kPixels][2] = {};
#pragma unroll
        for (int m = 0; m < Own::kRows; ++m) {
          if (m < Own::kBack && row == 0) continue;
          if (m > Own::kBack && row + 1 >= s.h.out) continue;
          spread_last_row<Own, kRow>(grads[m], m, has_left, has_right, pixels[kRow], own, sums);
        }
#pragma unroll
        for (int c = 0; c < Own::kPixels; ++c) {
          Few<T, 2> few;
          few.set(sums[c]);
          few.store(ahead(to, s.channels, c));
        }
        to = ahead(to, pitch, 1);
      };
      pass.template operator()<0>();
      pass.template operator()<1>();
      load(i, row + Own::kAhead);
    }
  }
}

template <class T>
GPU_KERNEL(SpreadLast<T>::kThreads, SpreadLast<T>::kBlocks)
gradients_of_spread_last(SpreadLastCall<T> call) {
  using Own = SpreadLast<T>;
  GPU_SHARED(float, shared, Own::kPass* Own::kThreads* Own::kElements);
  const Shape& s = call.shape;
  const SlideGrid& g = call.grid;
  const SlideLane<Own> lane(s, g);
  SpreadLastSums own = {};
  if (lane.has) {
    const int32_t channel = lane.channel + lane.own;
#pragma unroll
    for (int i = 0; i < 9; ++i) {
#pragma unroll
      for (int e = 0; e < 2; ++e) own.w[i][e] = call.taps.at(channel + e, i / 3, i % 3);
    }
    const int32_t first = lane.block * g.turns * g.lines + lane.line;
#pragma unroll 1
    for (int32_t turn = 0; turn < g.turns; ++turn) {
      const int32_t index = first + turn * g.lines;
      if (index >= g.strips) break;
      slide_spread_last(call, SlideStrip<Own>(index, s, g), channel, &own);
    }
  }
  add_lines<Own>(s, g, lane, own.sums, call.sums, shared);
}

inline bool has_spread_last(const Shape& s) {
  if (s.h.taps != 3 || s.w.taps != 3 || s.w.out % 2 != 0) return false;
  for (const Axis* axis : {&s.h, &s.w}) {
    if (axis->stride != 2 || axis->padding != 1 || axis->in != axis->out * 2) return false;
  }
  return true;
}
// Of any type: that decides nothing here.
inline int32_t spread_last_splits(const Shape& s) {
  if (!has_spread_last(s)) return 0;
  return splits_of(slide_grid<SpreadLast<float>>(s, kSumMultiprocessors));
}

template <class T>
int launch_spread_last_gradients(const BackwardArgs& a, const Shape& s,
                                 const polyops_context* ctx) {
  using Own = SpreadLast<T>;
  const SlideGrid grid = slide_grid<Own>(s, kSumMultiprocessors);
  const SpreadLastCall<T> call = {s,
                                  grid,
                                  static_cast<const T*>(a.grad_dst.data),
                                  static_cast<const T*>(a.src.data),
                                  static_cast<T*>(a.grad_src.data),
                                  taps_of<T>(a.weight),
                                  sums_of<T>(a, splits_of(grid), ctx)};
  const LaunchShape shape = {int64_t{grid.columns} * splits_of(grid), Own::kThreads};
  const int status = launch(gradients_of_spread_last<T>, shape, ctx, call);
  return launch_add_parts(status, s, call.sums, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_SPREAD_LAST_GRADIENTS_H_
