// All gradients of such images as columns.h takes, at stride 1, in one pass. Bound: memory, input and
// gradient of the results read once, gradient of the input written once.
//
// The input's is the convolution of the results' by the filter turned. What that reads for a pixel of the
// input are the factors that this pixel has in the sums for the filter's taps, turned as well: a thread
// slides down the plane as in columns.h and has both sums of what it reads.
#ifndef POLYOPS_GPU_CONVOLUTION_COLUMNS_GRADIENTS_H_
#define POLYOPS_GPU_CONVOLUTION_COLUMNS_GRADIENTS_H_

#include "columns.h"
#include "columns_sums.h"
#include "reduce.h"
#include "strip_sums.h"

namespace polyops::gpu {
namespace {

template <class W, int kWide>
struct ColumnGradients : ColumnSlide<W, kWide> {
  static constexpr int kAhead = W::kTaps == 9 ? 4 : 2;
  static constexpr int kThreads = 64;
  static constexpr int kBlocks = W::kTaps == 9 ? 10 : 8;
};

template <class T>
struct ColumnsGradientsCall {
  Shape shape;  // turned: it reads gradients and results in pixels of the input
  const T* grad;
  const T* src;
  T* dst;
  Taps<T> taps;  // turned
  Sums<T> sums;
  Division across, down;  // strips of a row, stretches of a plane
  int32_t rows;           // of a stretch
  int32_t strips, turns;  // of a channel, of a thread
};

// What a strip reads of a row: its own group, and of its neighbours' what the filter reaches; 0 where
// there is none.
template <class Own, class T>
struct NearRow {
  static constexpr int kWide = Own::kResults, kPadding = Own::kPadding;
  static constexpr int kLeast = 4 / static_cast<int>(sizeof(T));
  static constexpr int kReach = kPadding == 1 ? 1 : kPadding == 2 ? 2 : 4;
  static constexpr int kNear = kReach < kLeast ? kLeast : kReach;
  static_assert(kNear <= kWide);
  Few<T, kNear> left, right;
  Few<T, kWide> own;

  GPU_DEVICE void load(const T* first, bool has, bool has_left, bool has_right) {
    left.clear();
    own.clear();
    right.clear();
    if (has && has_left) left.load(first - kNear);
    if (has) own.load(first);
    if (has && has_right) right.load(first + kWide);
  }
  GPU_DEVICE void get(float (&x)[Own::kPixels][1]) const {
    float before[kNear], mine[kWide], behind[kNear];
    left.get(before);
    own.get(mine);
    right.get(behind);
#pragma unroll
    for (int j = 0; j < kPadding; ++j) {
      x[j][0] = before[kNear - kPadding + j];
      x[kPadding + kWide + j][0] = behind[j];
    }
#pragma unroll
    for (int j = 0; j < kWide; ++j) x[kPadding + j][0] = mine[j];
  }
};

// A strip's place: its first result is at `column` of row `first` of `plane`.
struct ColumnStrip {
  int32_t column, first, rows;
  int64_t plane;
};

// A strip's results, and what it adds to the sums.
template <class W, class Own, class T>
GPU_DEVICE void slide_gradients(const ColumnsGradientsCall<T>& call, const ColumnStrip& strip,
                                const float (&w)[W::kTaps][1], StripSums<W, Own>* sums) {
  const Shape& s = call.shape;
  const int32_t columns = s.w.in, rows = strip.rows, steps = rows + Own::kBefore;
  const bool has_left = strip.column > 0, has_right = strip.column + Own::kResults < columns;
  const int64_t at = strip.plane * s.in() + strip.first * columns + strip.column;
  const T* grad = call.grad + (at - Own::kPadding * columns);
  const T* src = call.src + at;
  T* to = call.dst + at;
  const int32_t y = strip.first - Own::kPadding;  // of the first step
  const auto has_row = [&](int32_t step) {
    return step < steps && static_cast<uint32_t>(y + step) < static_cast<uint32_t>(s.h.in);
  };
  // Pixels left of the image are such of the first group alone, and so on the right.
  const auto has_pixel = [&](int j) {
    return (j >= Own::kPadding || has_left) &&
           (j < Own::kPadding + Own::kResults || has_right);
  };
  NearRow<Own, T> next[Own::kAhead];
  Few<T, Own::kResults> next_own[Own::kAhead];
  const auto load = [&](int i, int32_t step) {
    next[i].load(grad, has_row(step), has_left, has_right);
    if (step < rows) next_own[i].load(src);
    grad += columns;
    src += columns;
  };
#pragma unroll
  for (int i = 0; i < Own::kAhead; ++i) {
    next_own[i].clear();
    load(i, i);
  }
  const float none[1] = {0};
  SlidingSums<W, Own> results;
#pragma unroll 1
  for (int32_t base = 0; base < steps; base += Own::kAhead) {
#pragma unroll
    for (int i = 0; i < Own::kAhead; ++i) {
      const int32_t step = base + i;
      float values[1][Own::kPixels][1], own[Own::kResults];
      next[i].get(values[0]);
      next_own[i].get(own);
      load(i, step + Own::kAhead);
      results.add_step(step, rows, values, w, none);
      sums->shift();
#pragma unroll
      for (int c = 0; c < Own::kResults; ++c) sums->grads[0][c][0] = own[c];
      if (has_row(step)) sums->add_step(step, rows, Own::kResults, values, has_pixel);
      if (static_cast<uint32_t>(step - Own::kPadding) < static_cast<uint32_t>(rows)) {
#pragma unroll
        for (int c = 0; c < Own::kResults; ++c) {
          sums->sums[W::kTaps][0] += values[0][Own::kPadding + c][0];
        }
      }
      if (step < Own::kBefore || step >= steps) continue;
      Few<T, Own::kResults> few;
      float done[Own::kResults];
#pragma unroll
      for (int c = 0; c < Own::kResults; ++c) done[c] = results.done[c][0];
      few.set(done);
      few.store(to);
      to += columns;
    }
  }
}

template <class W, class Own, class T>
GPU_KERNEL(Own::kThreads, Own::kBlocks)
gradients_of_columns(ColumnsGradientsCall<T> call) {
  GPU_SHARED(float, shared, (W::kTaps + 1) * kMostWaves);
  const Shape& s = call.shape;
  const auto [split, channel] = SplitOfChannel(s);
  float w[W::kTaps][1];
#pragma unroll
  for (int i = 0; i < W::kTaps; ++i) w[i][0] = call.taps.at(channel, i / W::kW, i % W::kW);
  StripSums<W, Own> sums;
#pragma unroll 1
  for (int32_t turn = 0; turn < call.turns; ++turn) {
    const int32_t index = (split * call.turns + turn) * Own::kThreads + thread_id();
    if (index >= call.strips) break;
    auto rest = static_cast<uint32_t>(index);
    ColumnStrip strip;
    strip.column = static_cast<int32_t>(take_remainder(call.across, &rest)) * Own::kResults;
    strip.first = static_cast<int32_t>(take_remainder(call.down, &rest)) * call.rows;
    strip.rows = Tile::least(call.rows, s.h.out - strip.first);
    strip.plane = int64_t{rest} * s.channels + channel;
    slide_gradients<W, Own, T>(call, strip, w, &sums);
  }
  float all[W::kTaps + 1];
#pragma unroll
  for (int i = 0; i <= W::kTaps; ++i) {
    all[i] = sums.sums[i == W::kTaps ? i : W::kTaps - 1 - i][0];
  }
  sum_team(all, Own::kThreads, shared);
  if (thread_id() != 0) return;
#pragma unroll
  for (int i = 0; i <= W::kTaps; ++i) *call.sums.part(s, split, channel, i) = all[i];
}

// Filters of 7 have no registers for it.
inline bool has_columns_gradients(const Shape& s) {
  return has_columns(s) && s.w.stride == 1 && s.w.taps <= 5;
}

// Calls f.operator()<W, Own>().
template <class F>
int with_columns_gradients(const Shape& s, F f) {
  const auto with_wide = [&]<class W>() -> int {
    if (s.w.out % 4 == 0) return f.template operator()<W, ColumnGradients<W, 4>>();
    return f.template operator()<W, ColumnGradients<W, 2>>();
  };
  return s.w.taps == 3 ? with_wide.template operator()<Window<3, 3, 1>>()
                       : with_wide.template operator()<Window<5, 5, 1>>();
}

inline int64_t columns_gradients_splits(const Shape& s) {
  int64_t splits = 0;
  if (!has_columns_gradients(s)) return splits;
  with_columns_gradients(s, [&]<class W, class Own>() {
    splits = splits_of<Own>(columns_sums_grid<Own>(s));
    return POLYOPS_OK;
  });
  return splits;
}

template <class T>
int launch_columns_gradients(const BackwardArgs& a, const Shape& s, const polyops_context* ctx) {
  return with_columns_gradients(s, [&]<class W, class Own>() {
    const Stretches g = columns_sums_grid<Own>(s);
    const int64_t splits = splits_of<Own>(g);
    const ColumnsGradientsCall<T> call = {
        turned(s),
        static_cast<const T*>(a.grad_dst.data),
        static_cast<const T*>(a.src.data),
        static_cast<T*>(a.grad_src.data),
        turned(taps_of<T>(a.weight), s),
        sums_of<T>(a, splits, ctx),
        Division(static_cast<uint32_t>(s.w.out / Own::kResults)),
        Division(static_cast<uint32_t>(ceil_div(s.h.out, g.rows))),
        g.rows,
        static_cast<int32_t>(g.count),
        static_cast<int32_t>(g.turns)};
    const int status =
        launch(gradients_of_columns<W, Own, T>, {splits * s.channels, Own::kThreads}, ctx, call);
    return status == POLYOPS_OK ? launch_add_parts(s, call.sums, ctx) : status;
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_COLUMNS_GRADIENTS_H_
