// All gradients of such images as columns.h takes, at stride 1, in one pass, but those that
// spread_gradients.h takes. Bound: memory, input and gradient of the results read once, gradient of
// the input written once.
//
// The input's is the convolution of the results' by the filter turned. What that reads for a pixel
// of the input are the factors that this pixel has in the sums for the filter's taps, turned as
// well: a thread slides down the plane as in columns.h and has both sums of what it reads.
#ifndef POLYOPS_GPU_CONVOLUTION_COLUMNS_GRADIENTS_H_
#define POLYOPS_GPU_CONVOLUTION_COLUMNS_GRADIENTS_H_

#include "columns.h"
#include "columns_sums.h"
#include "strip_sums.h"

namespace polyops::gpu {
namespace {

template <class W, int kWide, int kElementBytes>
struct ColumnGradients : ColumnSlide<W, kWide> {
  static constexpr int kAhead = W::kTaps == 49 ? 1 : W::kTaps == 9 && kElementBytes == 2 ? 4 : 2;
  static constexpr int kThreads = 64;
  static constexpr int kBlocks = W::kTaps == 9 ? 10 : W::kTaps == 25 ? 8 : 6;
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
  const int64_t at = strip.plane * s.in() + strip.column;
  T* to = call.dst + (at + strip.first * columns);
  const int32_t y = strip.first - Own::kPadding, end = Tile::least(y + steps, s.h.in);
  RowWalk<T> of_grad(call.grad + at, y, end, columns);
  RowWalk<T> of_src(call.src + at, strip.first, strip.first + rows, columns);
  // Pixels left of the image are such of the first group alone, and so on the right.
  const auto has_pixel = [&](int j) {
    return (j >= Own::kPadding || has_left) && (j < Own::kPadding + Own::kResults || has_right);
  };
  ColumnRow<W, Own, T> next[Own::kAhead];
  Few<T, Own::kResults> next_own[Own::kAhead];
  const auto load = [&](int i) {
    next[i].load(of_grad.row, strip.column, columns);
    next_own[i].load(of_src.row);
    of_grad.advance();
    of_src.advance();
  };
#pragma unroll
  for (int i = 0; i < Own::kAhead; ++i) {
    next[i].clear();
    load(i);
  }
  const float none[1] = {0};
  SlidingSums<W, Own> results;
#pragma unroll 1
  for (int32_t base = 0; base < steps; base += Own::kAhead) {
#pragma unroll
    for (int i = 0; i < Own::kAhead; ++i) {
      const int32_t step = base + i;
      float values[1][Own::kPixels][1], own[Own::kResults];
      const bool has = static_cast<uint32_t>(y + step) < static_cast<uint32_t>(end);
      next[i].get(has, values[0]);
      next_own[i].get(own);
      load(i);
      results.add_step(step, rows, values, w, none);
      sums->shift();
#pragma unroll
      for (int c = 0; c < Own::kResults; ++c) sums->grads[0][c][0] = own[c];
      if (has) sums->add_step(step, rows, Own::kResults, values, has_pixel);
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
  const SplitOfChannel own(s.channels);
  const int32_t split = own.split, channel = own.channel;
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
  put_sums(all, s, own, call.sums, shared);
}

// The first group alone reads beyond the row's beginning, the last beyond its end.
inline bool has_columns_gradients(const Shape& s) {
  return has_columns(s) && s.w.stride == 1 && (s.w.taps <= 5 || s.w.out % 4 == 0);
}

// Calls f.operator()<W, Own>().
template <int kElementBytes, class F>
int with_columns_gradients(const Shape& s, F f) {
  const auto with_wide = [&]<class W>() -> int {
    if (s.w.out % 4 == 0) return f.template operator()<W, ColumnGradients<W, 4, kElementBytes>>();
    return f.template operator()<W, ColumnGradients<W, 2, kElementBytes>>();
  };
  if (s.w.taps == 3) return with_wide.template operator()<Window<3, 3, 1>>();
  if (s.w.taps == 5) return with_wide.template operator()<Window<5, 5, 1>>();
  using Large = Window<7, 7, 1>;
  return f.template operator()<Large, ColumnGradients<Large, 4, kElementBytes>>();
}

inline int64_t columns_gradients_splits(const Shape& s) {
  int64_t splits = 0;
  if (!has_columns_gradients(s)) return splits;
  // Of any type: that decides nothing here.
  with_columns_gradients<4>(s, [&]<class W, class Own>() {
    splits = splits_of<Own>(columns_sums_grid<Own>(s));
    return POLYOPS_OK;
  });
  return splits;
}

template <class T>
int launch_columns_gradients(const BackwardArgs& a, const Shape& s, const polyops_context* ctx) {
  return with_columns_gradients<sizeof(T)>(s, [&]<class W, class Own>() {
    const Stretches g = columns_sums_grid<Own>(s);
    const int64_t splits = splits_of<Own>(g);
    const int cluster = cluster_of(splits, ctx);
    const ColumnsGradientsCall<T> call = {
        turned(s),
        static_cast<const T*>(a.grad_dst.data),
        static_cast<const T*>(a.src.data),
        static_cast<T*>(a.grad_src.data),
        turned(taps_of<T>(a.weight), s),
        sums_of<T>(a, cluster > 1 ? 1 : splits, ctx),
        Division(static_cast<uint32_t>(s.w.out / Own::kResults)),
        Division(static_cast<uint32_t>(ceil_div(s.h.out, g.rows))),
        g.rows,
        static_cast<int32_t>(g.count),
        static_cast<int32_t>(g.turns)};
    const int64_t blocks = (cluster > 1 ? cluster : splits) * s.channels;
    const int status =
        launch(gradients_of_columns<W, Own, T>, {blocks, Own::kThreads, 0, cluster}, ctx, call);
    return launch_add_parts(status, s, call.sums, ctx);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_COLUMNS_GRADIENTS_H_
