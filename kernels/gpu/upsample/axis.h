// Where the results of one axis come from: places of src, and weights, in the arithmetic of stock's
// kernels, whose rounding decides which place is the nearest.
//
// A mode is a type with
//   kTaps                      elements of src that a result is made of, along one axis
//   first(axis, i, &position)  place of the first one, before places beyond an edge move there
//   weights(t, w)              those of the taps; not of Nearest, which has but one
//   weight(axis, i, place)     backward: what result i has of the element at that place, and where
//                              is asked only between begin_of and end_of of it
//   joins(axis, i, place)      whether several taps of i, beyond an edge, are at that place, of
//                              weights not all positive: an infinite gradient, each by its own,
//                              makes a NaN
#ifndef POLYOPS_GPU_UPSAMPLE_AXIS_H_
#define POLYOPS_GPU_UPSAMPLE_AXIS_H_

#include <cmath>
#include <cstdint>

#include "gpu.h"

namespace polyops::gpu {
namespace {

struct Axis {
  int from, to;   // places in src and in dst
  float scale;    // nearest backward: dst to src, else src to dst
  float inverse;  // 1 / scale
  float shift;    // of a place to where its position is counted, 0 or 0.5
};

GPU_DEVICE int within(const Axis& axis, int place) {
  return place < 0 ? 0 : place < axis.from ? place : axis.from - 1;
}

GPU_DEVICE float position_of(const Axis& axis, int i) {
  return fmaf(axis.scale, static_cast<float>(i) + axis.shift, -axis.shift);
}

struct Nearest {
  static constexpr int kTaps = 1;

  GPU_DEVICE static int first(const Axis& axis, int i, float*) {
    if (axis.from == axis.to) return i;
    const float place = floorf((static_cast<float>(i) + axis.shift) * axis.scale);
    return place < static_cast<float>(axis.from - 1) ? static_cast<int>(place) : axis.from - 1;
  }
  // Of the results that have the element at that place, the first; of the next place, the end.
  GPU_DEVICE static int begin_of(const Axis& axis, int place) {
    const float begin = ceilf(fmaf(static_cast<float>(place), axis.scale, -axis.shift));
    return begin < static_cast<float>(axis.to) ? static_cast<int>(begin) : axis.to;
  }
  GPU_DEVICE static int end_of(const Axis& axis, int place) { return begin_of(axis, place + 1); }
  GPU_DEVICE static float weight(const Axis&, int, int) { return 1.0f; }
};

// Backward as modes of several taps have it: of any result the place, if it is between begin_of
// that and end_of.
struct NearestSums : Nearest {
  GPU_DEVICE static int first(const Axis& axis, int i, float*) {
    int place = static_cast<int>((static_cast<float>(i) + axis.shift) / axis.scale);
    while (begin_of(axis, place) > i) --place;
    while (end_of(axis, place) <= i) ++place;
    return place;
  }
  GPU_DEVICE static void weights(float, float (&w)[kTaps]) { w[0] = 1.0f; }
};

// The first result for which `reached` holds, as it does for all after it. `guess` may be anything;
// near, it saves steps.
template <class Reached>
GPU_DEVICE int first_result(const Axis& axis, float guess, Reached reached) {
  int i = static_cast<int>(fminf(fmaxf(guess, 0.0f), static_cast<float>(axis.to)));
  if (i > axis.to) i = axis.to;
  while (i > 0 && reached(i - 1)) --i;
  while (i < axis.to && !reached(i)) ++i;
  return i;
}

// Of a mode of several taps: the results that have the element at that place among them.
template <class Mode>
GPU_DEVICE int begin_of_taps(const Axis& axis, int place, int reach) {
  const float position = static_cast<float>(place - reach);
  const float guess = ceilf((position + axis.shift) * axis.inverse - axis.shift);
  return first_result(axis, guess, [&](int i) {
    float unused;
    return within(axis, Mode::first(axis, i, &unused) + Mode::kTaps - 1) >= place;
  });
}
template <class Mode>
GPU_DEVICE int end_of_taps(const Axis& axis, int place, int reach) {
  const float position = static_cast<float>(place + reach);
  const float guess = ceilf((position + axis.shift) * axis.inverse - axis.shift);
  return first_result(axis, guess, [&](int i) {
    float unused;
    return within(axis, Mode::first(axis, i, &unused)) > place;
  });
}

struct Linear {
  static constexpr int kTaps = 2;

  GPU_DEVICE static int first(const Axis& axis, int i, float* t) {
    const float position = fmaxf(position_of(axis, i), 0.0f);
    const int place = static_cast<int>(position);
    *t = position - static_cast<float>(place);
    return place;
  }
  GPU_DEVICE static void weights(float t, float (&w)[kTaps]) {
    w[0] = 1.0f - t;
    w[1] = t;
  }
  GPU_DEVICE static int begin_of(const Axis& axis, int place) {
    return begin_of_taps<Linear>(axis, place, 1);
  }
  GPU_DEVICE static int end_of(const Axis& axis, int place) {
    return end_of_taps<Linear>(axis, place, 1);
  }
  // By the distance, which takes no case apart; beyond the last place both taps are that.
  GPU_DEVICE static float weight(const Axis& axis, int i, int place) {
    const float last = static_cast<float>(axis.from - 1);
    const float position = fminf(fmaxf(position_of(axis, i), 0.0f), last);
    return 1.0f - fabsf(position - static_cast<float>(place));
  }
  GPU_DEVICE static bool joins(const Axis& axis, int i, int) {
    return position_of(axis, i) == static_cast<float>(axis.from - 1);
  }
};

struct Cubic {
  static constexpr int kTaps = 4;
  static constexpr float kA = -0.75f;

  GPU_DEVICE static int first(const Axis& axis, int i, float* t) {
    const float position = position_of(axis, i), floor = floorf(position);
    *t = position - floor;
    return static_cast<int>(floor) - 1;
  }
  GPU_DEVICE static float near(float x) { return fmaf(fmaf(kA + 2, x, -(kA + 3)) * x, x, 1.0f); }
  GPU_DEVICE static float far(float x) {
    return fmaf(fmaf(fmaf(kA, x, -5 * kA), x, 8 * kA), x, -4 * kA);
  }
  GPU_DEVICE static void weights(float t, float (&w)[kTaps]) {
    w[0] = far(t + 1.0f);
    w[1] = near(t);
    w[2] = near(1.0f - t);
    w[3] = far((1.0f - t) + 1.0f);
  }
  GPU_DEVICE static int begin_of(const Axis& axis, int place) {
    return begin_of_taps<Cubic>(axis, place, 2);
  }
  GPU_DEVICE static int end_of(const Axis& axis, int place) {
    return end_of_taps<Cubic>(axis, place, 2);
  }
  GPU_DEVICE static float weight(const Axis& axis, int i, int place) {
    float t, w[kTaps], sum = 0;
    const int begin = first(axis, i, &t);
    weights(t, w);
#pragma unroll
    for (int k = 0; k < kTaps; ++k) sum += within(axis, begin + k) == place ? w[k] : 0.0f;
    return sum;
  }
  GPU_DEVICE static bool joins(const Axis& axis, int i, int place) {
    float unused;
    const int begin = first(axis, i, &unused);
    return (place == 0 && begin < 0) || (place == axis.from - 1 && begin + kTaps > axis.from);
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_UPSAMPLE_AXIS_H_
