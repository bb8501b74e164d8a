// All gradients of a strip of pixels in one pass, at stride 2, and of 3x3 taps at stride 1, by a
// thread that slides down the image: what spread_gradients.h, plane_ring_gradients.h and
// last_ring_slide.h share.
//
// A pixel's gradient is a sum of gradients by taps, and each of them has that pixel as a factor in
// the sum for the same tap. So a thread that has the gradients around some pixels needs no other
// pixels: at stride 2 it has two rows of them for one of gradients. Which taps read a pixel is
// known to the compiler: those of its row's and column's parity.
//
// An Own type is a SpreadWalk and says: kElements, channels of a thread; step(), elements from a
// pixel to the next, read where it is used: kept it would be of 64 bits; Grads, gradients of a row
// around a thread's own ones, and Pixels, pixels of a row, as they come from memory.
#ifndef POLYOPS_GPU_CONVOLUTION_SPREAD_WALK_H_
#define POLYOPS_GPU_CONVOLUTION_SPREAD_WALK_H_

#include "columns.h"

namespace polyops::gpu {
namespace {

// A thread has kWide gradients of a row and the pixels of as many squares of the stride.
template <class W, int kWide>
struct SpreadWalk {
  static constexpr int kSquare = W::kS;  // rows and columns of pixels to one of gradients
  static constexpr int kResults = kWide, kPixels = kSquare * kWide;
  static constexpr int kPadding = (W::kW - 1) / 2;
  // Rows, or columns, of gradients before a thread's own that its pixels are read by, and behind.
  static constexpr int kBack = kPadding / W::kS, kAfter = (kPadding + W::kS - 1) / W::kS;
  static_assert(kBack <= 1 && kAfter == 1);
  static constexpr int kRows = kBack + 1 + kAfter, kColumns = kBack + kWide + kAfter;
  static constexpr int kBefore = kBack + kAfter;
  static constexpr int kAhead = W::kS == 1 ? 4 : 3;  // steps whose rows come
  // Whether a step asks for the next rows before it multiplies its own, or after.
  static constexpr bool kAsksFirst = false;
  // Whether slide_spread()'s rows come from shared memory, and its code is another: less of it
  // there, but rows in registers would be moved around (bfloat16 32x144x56x56 by 3x3 takes 38.5 us,
  // and by that code 58.0).
  static constexpr bool kSlidesShared = false;

  // The first row of gradients that a strip reads, which begins at row `first` of them.
  GPU_DEVICE static int32_t row_read(int32_t first) { return first > kBack ? first - kBack : 0; }
};

// What a thread has of its channels: the filters and the sums, the last one for the bias.
template <class W, class Own>
struct SpreadSums {
  float w[W::kTaps][Own::kElements], sums[W::kTaps + 1][Own::kElements];
};

// Where a strip is, whose rows are of gradients.
template <class T>
struct SpreadStrip {
  const T* grad;  // in row_read(first)
  const T* src;   // its first pixel
  T* dst;
  int32_t first, rows;
  bool has_left, has_right;  // gradients beside it
};

// Adds one row of pixels, the kRow-th of a step's, to the sums and their gradients to `to`, by
// the m-th row of gradients; see SpreadWalk for which those are. Gradients that the plane has not
// are skipped, not multiplied by: pixels may be infinite.
template <class W, class Own, int kRow>
GPU_DEVICE void spread_row(const float (&grads)[Own::kColumns][Own::kElements], int m,
                           bool has_left, bool has_right,
                           const float (&pixels)[Own::kPixels][Own::kElements],
                           SpreadSums<W, Own>* own, float (&to)[Own::kPixels][Own::kElements]) {
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
#pragma unroll
      for (int e = 0; e < Own::kElements; ++e) {
        const float grad = grads[of + Own::kBack][e];
        to[c][e] = fmaf(grad, own->w[tap][e], to[c][e]);
        own->sums[tap][e] = fmaf(pixels[c][e], grad, own->sums[tap][e]);
      }
    }
  }
}

// Results of a strip, and what it adds to the sums.
template <class W, class Own, class T>
GPU_DEVICE void slide_spread(const Shape& s, const SpreadStrip<T>& strip, SpreadSums<W, Own>* own) {
  // In a turn of the loop: as many as leave each row in its registers.
  constexpr int kSteps = Own::kAhead > 1 ? Own::kAhead : Own::kRows;
  const int32_t end = strip.first + strip.rows, read = Own::row_read(strip.first);
  RowWalk<T> walk(strip.grad, strip.first - Own::kBack - read,
                  Tile::least(end + Own::kAfter, s.h.out) - read, s.w.out * Own::step(s));
  const T* src = strip.src;
  T* to = strip.dst;
  typename Own::Grads before[Own::kBefore], next[Own::kAhead];
  typename Own::Pixels next_pixels[Own::kAhead][W::kS];
  const auto load_grads = [&](typename Own::Grads* few) {
    few->load(walk.row, Own::step(s), strip.has_left, strip.has_right);
    walk.advance();
  };
  // at: the row of gradients, of which the last is read once more where there is none.
  const auto load = [&](int i, int32_t at) {
    load_grads(&next[i]);
#pragma unroll
    for (int k = 0; k < W::kS; ++k)
      next_pixels[i][k].load(ahead(src, s.w.in * Own::step(s), k), Own::step(s));
    if (at + 1 < end) src = ahead(src, s.w.in * Own::step(s), W::kS);
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
  float grads[Own::kRows][Own::kColumns][Own::kElements];
#pragma unroll
  for (int i = 0; i < Own::kBefore; ++i) before[i].get(grads[i + 1]);
#pragma unroll 1
  for (int32_t base = strip.first; base < end; base += kSteps) {
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      const int32_t row = base + i;
#pragma unroll
      for (int m = 0; m < Own::kBefore; ++m) {
#pragma unroll
        for (int j = 0; j < Own::kColumns; ++j) {
#pragma unroll
          for (int e = 0; e < Own::kElements; ++e) grads[m][j][e] = grads[m + 1][j][e];
        }
      }
      next[i % Own::kAhead].get(grads[Own::kBefore]);
      float pixels[W::kS][Own::kPixels][Own::kElements];
#pragma unroll
      for (int k = 0; k < W::kS; ++k) next_pixels[i % Own::kAhead][k].get(pixels[k]);
      if constexpr (Own::kSlidesShared) {
        if (row >= end) return;
      } else {
        if (row >= end) break;
      }
      if constexpr (Own::kAsksFirst) load(i % Own::kAhead, row + Own::kAhead);
#pragma unroll
      for (int j = 0; j < Own::kResults; ++j) {
#pragma unroll
        for (int e = 0; e < Own::kElements; ++e) {
          own->sums[W::kTaps][e] += grads[Own::kBack][Own::kBack + j][e];
        }
      }
      const auto pass = [&]<int kRow>() {
        float sums[Own::kPixels][Own::kElements] = {};
        const auto add = [&](int m) {
          spread_row<W, Own, kRow>(grads[m], m, strip.has_left, strip.has_right, pixels[kRow], own,
                                   sums);
        };
        if constexpr (Own::kSlidesShared) {
          add(Own::kBack);  // the row that there always is, so that no sum needs to be 0 before it
          if (Own::kBack > 0 && row > 0) add(0);
          if (row + 1 < s.h.out) add(Own::kBack + 1);
        } else {
#pragma unroll
          for (int m = 0; m < Own::kRows; ++m) {
            if (m < Own::kBack && row == 0) continue;
            if (m > Own::kBack && row + 1 >= s.h.out) continue;
            add(m);
          }
        }
        Own::Pixels::store(sums, to, Own::step(s));
        to = ahead(to, s.w.in * Own::step(s), 1);
      };
      pass.template operator()<0>();
      if constexpr (W::kS == 2) pass.template operator()<1>();
      if constexpr (!Own::kAsksFirst) load(i % Own::kAhead, row + Own::kAhead);
    }
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_SPREAD_WALK_H_
