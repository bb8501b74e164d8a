// Depthwise convolution of images that are planes of rows of whole groups of 4 or 2 elements, by a
// filter whose results lie where its middle does. With the filter turned, the gradient of the input
// at stride 1. Bound: memory, 2 elements moved per result.
//
// A thread has a group of results of a row and slides down the plane as in slide.h. It reads the
// groups that are its own, and its neighbours' from the cache: nothing is staged, so no warp waits
// for another.
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
  static constexpr int kThreads = 128;
  // Of a multiprocessor, by its registers.
  static constexpr int kBlocks = W::kTaps == 9                  ? (W::kS == 1 ? 8 : 6)
                                 : W::kTaps == 25 && W::kS == 1 ? 5
                                                                : 4;
};

// Steps whose rows come: as many as there are registers for.
template <class W, class T>
inline constexpr int kColumnsAhead = W::kTaps == 49                    ? 1
                                     : W::kTaps == 9 && sizeof(T) == 2 ? (W::kS == 1 ? 4 : 2)
                                     : W::kS == 1 || sizeof(T) == 2    ? 2
                                                                       : 1;

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

// The rows of a plane that a strip reads, one after the other, from y on, which may be above it.
// Those above it are its first one and those from end on the last before that: loads depend on no
// comparison, or the compiler would choose between what they bring and 0 at once, and so wait for
// it.
template <class T>
struct RowWalk {
  const T* row;
  int32_t y, end, pitch;

  // plane: the strip's column of row 0.
  GPU_DEVICE RowWalk(const T* plane, int32_t first, int32_t stop, int32_t columns)
      : row(plane + int64_t{first < 0 ? 0 : first} * columns),
        y(first),
        end(stop),
        pitch(columns) {}
  GPU_DEVICE void advance() {
    if (y >= 0 && y + 1 < end) row += pitch;
    ++y;
  }
};

// What a strip reads of a row: its own groups and, of those around them, what the filter reaches.
template <class W, class Own, class T>
struct ColumnRow {
  static constexpr int kWide = Own::kResults, kPadding = Own::kPadding;
  // Elements of a load, of so many at most that are needed. None has a whole word that is not: its
  // register would be another's at once, which then waits for the load.
  static constexpr int near(int reach) {
    const int least = 4 / static_cast<int>(sizeof(T));
    const int wanted = reach == 1 || (reach == 3 && least == 1) ? 1 : reach == 2 ? 2 : 4;
    return wanted < least ? least : wanted < kWide ? wanted : kWide;
  }
  static constexpr int kReach = Own::kPixels - kPadding - W::kS * kWide;  // behind its own
  static constexpr int kLeft = near(kPadding), kRight = near(kReach);
  static constexpr int kLefts = (kPadding + kLeft - 1) / kLeft;
  static constexpr int kRights = (kReach + kRight - 1) / kRight;
  Few<T, kLeft> left[kLefts];  // the nearest first
  Few<T, kWide> own[W::kS];
  Few<T, kRight> right[kRights > 0 ? kRights : 1];

  // Before the first load(): what the rows have not is never loaded.
  GPU_DEVICE void clear() {
    for (auto& few : left) few.clear();
    for (auto& few : right) few.clear();
  }
  // first: of the strip's own, which begin at a column of so many.
  GPU_DEVICE void load(const T* first, int32_t column, int32_t columns) {
#pragma unroll
    for (int i = 0; i < kLefts; ++i) {
      if (column > i * kLeft) left[i].load(first - (i + 1) * kLeft);
    }
#pragma unroll
    for (int i = 0; i < W::kS; ++i) own[i].load(first + i * kWide);
#pragma unroll
    for (int i = 0; i < kRights; ++i) {
      const int ahead = W::kS * kWide + i * kRight;
      if (column + ahead < columns) right[i].load(first + ahead);
    }
  }
  // 0, if the plane does not have the row.
  GPU_DEVICE void get(bool has, float (&x)[Own::kPixels][1]) const {
#pragma unroll
    for (int i = 0; i < kLefts; ++i) place(left[i], has, kPadding - (i + 1) * kLeft, x);
#pragma unroll
    for (int i = 0; i < W::kS; ++i) place(own[i], has, kPadding + i * kWide, x);
#pragma unroll
    for (int i = 0; i < kRights; ++i) {
      place(right[i], has, kPadding + W::kS * kWide + i * kRight, x);
    }
  }
  // As the pixels from `at` on, as far as there are such.
  template <int kCount>
  GPU_DEVICE static void place(Few<T, kCount> few, bool has, int at, float (&x)[Own::kPixels][1]) {
    float values[kCount];
    if (!has) few.clear();
    few.get(values);
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      if (at + j >= 0 && at + j < Own::kPixels) x[at + j][0] = values[j];
    }
  }
};

template <class W, class Own, class T>
GPU_KERNEL(Own::kThreads, Own::kBlocks)
convolve_columns(ColumnsCall<T> call) {
  await_earlier();
  constexpr int kAhead = kColumnsAhead<W, T>;
  const Shape& s = call.shape;
  const int64_t index = block_id() * Own::kThreads + thread_id();
  if (index >= call.strips) return;
  auto rest = static_cast<uint32_t>(index);
  const auto column = static_cast<int32_t>(take_remainder(call.across, &rest)) * Own::kResults;
  const auto first = static_cast<int32_t>(take_remainder(call.down, &rest)) * call.rows;
  const auto plane = static_cast<int32_t>(rest), channel = plane % s.channels;
  const int32_t rows = s.h.out - first < call.rows ? s.h.out - first : call.rows;
  const int32_t steps = rows + Own::kBefore;
  const int32_t y = first * W::kS - Own::kPadding;
  const int32_t end = Tile::least(y + steps * W::kS, s.h.in);
  RowWalk<T> walk(call.src + (int64_t{plane} * s.in() + column * W::kS), y, end, s.w.in);
  T* to = call.dst + (int64_t{plane} * s.out() + first * s.w.out + column);
  ColumnRow<W, Own, T> next[kAhead][W::kS];
  const auto load = [&](ColumnRow<W, Own, T>(&of_step)[W::kS]) {
#pragma unroll
    for (int i = 0; i < W::kS; ++i) {
      of_step[i].load(walk.row, column * W::kS, s.w.in);
      walk.advance();
    }
  };
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    for (auto& row : next[i]) row.clear();
    load(next[i]);
  }
  float w[W::kTaps][1];
#pragma unroll
  for (int i = 0; i < W::kTaps; ++i) w[i][0] = call.taps.at(channel, i / W::kW, i % W::kW);
  const float bias[1] = {call.bias.at(channel)};
  SlidingSums<W, Own> sums;
#pragma unroll 1
  for (int32_t base = 0; base < steps; base += kAhead) {
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const int32_t step = base + i;
      if (i == 2 && step >= steps) break;
      float values[W::kS][Own::kPixels][1];
#pragma unroll
      for (int k = 0; k < W::kS; ++k) {
        const int32_t at = y + step * W::kS + k;
        next[i][k].get(static_cast<uint32_t>(at) < static_cast<uint32_t>(end), values[k]);
      }
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

// Whether rows are whole groups, each as long as its results need; by windows of 7 of 4. These are
// quicker by tiles in narrow images: 16 us and 21 (bfloat16 32x384x14x14, H200).
inline bool has_columns(const Shape& s) {
  for (const Axis* axis : {&s.h, &s.w}) {
    if (axis->padding != (axis->taps - 1) / 2 || axis->in != axis->out * axis->stride) return false;
  }
  if (s.w.taps == 7) return s.h.taps > 1 && s.w.out % 4 == 0 && s.w.out >= 28;
  return s.h.taps > 1 && s.w.out % 2 == 0;
}

// Calls f.operator()<W, Own>(). 7x7 taps of 32 bits are those of columns_waves.h.
template <class T, class F>
int with_columns(const Shape& s, F f) {
  return with_square(s, POLYOPS_DECLINED, [&]<class W>() -> int {
    if constexpr (W::kTaps == 49 && sizeof(T) == 4) {
      return POLYOPS_DECLINED;
    } else {
      if constexpr (W::kTaps < 49) {
        if (s.w.out % 4 != 0) return f.template operator()<W, ColumnSlide<W, 2>>();
      }
      return f.template operator()<W, ColumnSlide<W, 4>>();
    }
  });
}

template <class T>
int launch_columns(const Shape& s, const T* src, T* dst, const Taps<T>& taps, const Bias<T>& bias,
                   const polyops_context* ctx) {
  return with_columns<T>(s, [&]<class W, class Own>() {
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
