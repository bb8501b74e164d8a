// Eight elements of a gradient's row whose positions are an eighth of a place apart, aligned packs
// in memory: what they add to three places of src. See backward_eighths.h.
#ifndef POLYOPS_GPU_UPSAMPLE_EIGHTHS_H_
#define POLYOPS_GPU_UPSAMPLE_EIGHTHS_H_

#include "image.h"
#include "span.h"

namespace polyops::gpu {
namespace {

constexpr int kEighthThreads = 320;
constexpr int kEighthTeams = 8;     // rows at a time
constexpr int kEighthColumns = 38;  // of src in a block, by threads, which have two units more
constexpr int kEighthRows = 9;      // of src in a block: with so many columns, one to a thread
constexpr int kEighthTaps = 20;     // rows of the gradient that a row of src is made of

// The first result whose position is that place, or beyond; of an axis of less than 2^18 results.
GPU_DEVICE int reaching(const Axis& axis, int place) {
  if (place <= 0) return 0;
  if (place >= axis.from) return axis.to;
  const float wanted = static_cast<float>(place);
  const float guess = (wanted + axis.shift) * axis.inverse - axis.shift;
  const int i = static_cast<int>(ceilf(guess - 0.25f));
  const int first = position_of(axis, i) < wanted ? i + 1 : i;
  return first < axis.to ? first : axis.to;  // a factor that leaves places of src without a result
}

// The unit of a row whose first element's position lies in cell `cell` of src, and of the rows
// eight, sixteen ... below. There is one to each cell, from two before the first place on; elements
// that the row does not have are none of it.
template <class T>
class EighthUnit {
  static constexpr int kWide = 8, kPacks = kWide / kPack<T>, kPlaces = 3, kAhead = 3;

 public:
  GPU_DEVICE EighthUnit(const Axis& axis, const T* row, int cell) : axis_(axis), cell_(cell) {
    const int lead = misplaced(row);  // elements of the row's first pack that are not the row's
    const int offset = static_cast<int>(floorf(position_of(axis, -lead)));
    column_ = (cell - offset) * kWide - lead;
#pragma unroll
    for (int i = 0; i < kPacks; ++i) {
      const int at = column_ + i * kPack<T>;
      has_[i] = at > -kPack<T> && at < axis.to;
    }
    // Positions are exact, as are weights.
    const float position = position_of(axis, column_), first = static_cast<float>(cell);
    const float last = static_cast<float>(axis.from - 1);
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      float x = fminf(fmaxf(position + 0.125f * static_cast<float>(j), 0.0f), last) - first;
      if (static_cast<unsigned>(column_ + j) >= static_cast<unsigned>(axis.to)) x = kWide;
#pragma unroll
      for (int k = 0; k < kPlaces; ++k) {
        weight_[j][k] = fmaxf(1.0f - fabsf(x - static_cast<float>(k)), 0.0f);
        forget(&weight_[j][k]);  // or it is worked out again for each row
      }
    }
  }

  // So many rows; the three sums of each, of which those at [begin, end) are somebody's, go to
  // to[3 k + k].
  GPU_DEVICE void go(const T* row, int count, float* to, int apart, int begin, int end) const {
    const T* at = row + column_;
    const int64_t step = int64_t{kEighthTeams} * axis_.to;
    Words words[kAhead][kPacks] = {};
    const auto read = [&](int left, Words(&into)[kPacks]) {
#pragma unroll
      for (int i = 0; i < kPacks; ++i) {
        if (left > 0 && has_[i]) into[i] = load_words(at + i * kPack<T>);
      }
      at += step;
    };
#pragma unroll
    for (int a = 0; a < kAhead; ++a) read(count - a, words[a]);
    for (; count > 0; count -= kAhead) {
#pragma unroll
      for (int a = 0; a < kAhead; ++a) {
        if (a >= count) break;
        float x[kWide], sum[kPlaces];
#pragma unroll
        for (int i = 0; i < kPacks; ++i) {
          float part[kPack<T>];
          unpack<T>(words[a][i], part);
#pragma unroll
          for (int j = 0; j < kPack<T>; ++j) x[i * kPack<T> + j] = part[j];
        }
        read(count - a - kAhead, words[a]);
#pragma unroll
        for (int k = 0; k < kPlaces; ++k) {
          sum[k] = weight_[0][k] * x[0];
#pragma unroll
          for (int j = 1; j < kWide; ++j) sum[k] = fmaf(weight_[j][k], x[j], sum[k]);
        }
        const float all = sum[0] + sum[1] + sum[2];
        if (!(all - all == 0)) apart_sums(x, sum);
#pragma unroll
        for (int k = 0; k < kPlaces; ++k) {
          if (k >= begin && k < end) to[3 * k + k] = sum[k];
        }
        to += apart;
      }
    }
  }

 private:
  // Which of the unit's places a column belongs to, and by which weights; none, if there is no
  // such.
  struct Tap {
    int first = -1, second = -1;
    float weight[2];

    GPU_DEVICE Tap(const Axis& axis, int column, int cell) {
      float t;
      const int place = Linear::first(axis, column, &t);
      Linear::weights(t, weight);
      if (column < 0 || column >= axis.to) return;
      first = place - cell;
      second = within(axis, place + 1) - cell;
    }
  };
  // Where 0 x is not 0: by the taps that there are.
  GPU_DEVICE void apart_sums(const float (&x)[kWide], float (&sum)[kPlaces]) const {
    auto column = static_cast<uint32_t>(column_);
    forget_bits(&column);  // or all this is kept for it
#pragma unroll
    for (int k = 0; k < kPlaces; ++k) sum[k] = 0;
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      const Tap tap(axis_, static_cast<int>(column) + j, cell_);
#pragma unroll
      for (int k = 0; k < kPlaces; ++k) {
        if (tap.first == k) sum[k] = fmaf(tap.weight[0], x[j], sum[k]);
        if (tap.second == k) sum[k] = fmaf(tap.weight[1], x[j], sum[k]);
      }
    }
  }
  GPU_DEVICE static void forget(float* x) {
    uint32_t bits = float_bits(*x);
    forget_bits(&bits);
    *x = float_of_bits(bits);
  }

  const Axis& axis_;
  int column_, cell_;
  bool has_[kPacks];
  float weight_[kWide][kPlaces];
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_UPSAMPLE_EIGHTHS_H_
