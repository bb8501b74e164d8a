// All gradients of such images as columns.h takes, at stride 1, in one pass, but those that
// spread_gradients.h takes. Bound: memory, input and gradient of the results read once, gradient of
// the input written once.
//
// The input's is the convolution of the results' by the filter turned. What that reads for a pixel
// of the input are the factors that this pixel has in the sums for the filter's taps, turned as
// well: a thread slides down the plane as in columns.h and has both sums of what it reads.
#ifndef POLYOPS_GPU_CONVOLUTION_COLUMNS_GRADIENTS_H_
#define POLYOPS_GPU_CONVOLUTION_COLUMNS_GRADIENTS_H_

#include "plane_gradients.h"

namespace polyops::gpu {
namespace {

template <class W, int kWide, int kElementBytes>
struct ColumnGradients : ColumnSlide<W, kWide> {
  static constexpr int kAhead = W::kTaps == 49 ? 1 : W::kTaps == 9 && kElementBytes == 2 ? 4 : 2;
  static constexpr int kThreads = 64;
  static constexpr int kBlocks = W::kTaps == 9 ? 10 : W::kTaps == 25 ? 8 : 6;
};

// A strip's results, and what it adds to the sums.
template <class W, class Own, class T>
GPU_DEVICE void slide_gradients(const PlaneGradientsCall<T>& call, const ColumnStrip& strip,
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
gradients_of_columns(PlaneGradientsCall<T> call) {
  await_earlier();
  GPU_SHARED(float, shared, (W::kTaps + 1) * kMostWaves);
  const Shape& s = call.shape;
  const SplitOfChannel own(s.channels);
  float w[W::kTaps][1];
#pragma unroll
  for (int i = 0; i < W::kTaps; ++i) w[i][0] = call.taps.at(own.channel, i / W::kW, i % W::kW);
  StripSums<W, Own> sums;
  for_strips<Own>(call, own, [&](const ColumnStrip& strip) {
    slide_gradients<W, Own, T>(call, strip, w, &sums);
  });
  float all[W::kTaps + 1];
#pragma unroll
  for (int i = 0; i <= W::kTaps; ++i) {
    all[i] = sums.sums[i == W::kTaps ? i : W::kTaps - 1 - i][0];
  }
  put_sums(all, s, own, call.sums, shared);
}

inline bool has_columns_gradients(const Shape& s) { return has_columns(s) && s.w.stride == 1; }

// Calls f.operator()<W, Own>(). 3x3 taps of rows of packs are those of spread_gradients.h.
template <int kElementBytes, class F>
int with_columns_gradients(const Shape& s, F f) {
  const auto with_wide = [&]<class W>() -> int {
    if constexpr (W::kTaps > 9 || kElementBytes == 2) {
      if (s.w.out % 4 == 0) return f.template operator()<W, ColumnGradients<W, 4, kElementBytes>>();
    }
    return f.template operator()<W, ColumnGradients<W, 2, kElementBytes>>();
  };
  if (s.w.taps == 3) return with_wide.template operator()<Window<3, 3, 1>>();
  if (s.w.taps == 5) return with_wide.template operator()<Window<5, 5, 1>>();
  using Large = Window<7, 7, 1>;
  return f.template operator()<Large, ColumnGradients<Large, 4, kElementBytes>>();
}

// A strip takes longer to begin than elsewhere: bfloat16 32x192x28x28 took 18 us on an H200 in
// whole planes, 24 in stretches of 10 rows, two to a thread.
template <class Own>
Stretches column_stretches(const Shape& s) {
  return plane_stretches<Own>(s, kMore<Own> + 4);
}

inline int64_t columns_gradients_splits(const Shape& s) {
  int64_t splits = 0;
  if (!has_columns_gradients(s)) return splits;
  // Others of 32 bits have as many, where they are taken.
  with_columns_gradients<2>(s, [&]<class W, class Own>() {
    splits = splits_of<Own>(column_stretches<Own>(s));
    return POLYOPS_OK;
  });
  return splits;
}

template <class T>
int launch_columns_gradients(const BackwardArgs& a, const Shape& s, const polyops_context* ctx) {
  return with_columns_gradients<sizeof(T)>(s, [&]<class W, class Own>() {
    return launch_plane_gradients<Own>(gradients_of_columns<W, Own, T>, a, turned(s),
                                       turned(taps_of<T>(a.weight), s), column_stretches<Own>(s),
                                       ctx);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_COLUMNS_GRADIENTS_H_
