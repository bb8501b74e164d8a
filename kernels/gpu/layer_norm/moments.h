// Mean and deviation of a row that lies in registers as it came from memory, by two passes over them.
//
// The mean is center + shift: the deviations from the center are summed too, which takes back what
// rounding did to it, so a mean of 1e6 deviations costs the result no digits. The center is a value
// of T: what a pack has beyond the row is set to it, and counts as nothing without being asked.
// (Then |shift| <= the deviation also for 16 bits: values on a grid with a mean between its points.)
#ifndef POLYOPS_GPU_LAYER_NORM_MOMENTS_H_
#define POLYOPS_GPU_LAYER_NORM_MOMENTS_H_

#include "layout.h"

namespace polyops::gpu {
namespace {

// Rows whose sum or squares leave the range of float32 are taken again, smaller by this: the largest
// value squared and 2^31 times added is 2^95 then.
constexpr float kSmaller = 0x1p-96f;
constexpr float kLarger = 0x1p96f;

// Whose squares can leave the range at all.
template <class T>
inline constexpr bool kWideRange = true;
template <>
inline constexpr bool kWideRange<f16> = false;

struct Moments {
  float center, shift;  // of the values times `scale`
  float factor;         // (x scale - center - shift) factor is normal
  float scale;          // 1 or kSmaller

  GPU_DEVICE float mean() const { return (center + shift) * (scale == 1 ? 1 : kLarger); }
  GPU_DEVICE float rstd() const { return factor * scale; }
};

// From sums of the deviations from center and of their squares.
GPU_DEVICE Moments make_moments(float center, float deviation, float square, float scale,
                                float inv_n, float eps) {
  const float shift = deviation * inv_n;
  float var = fmaf(square, inv_n, -shift * shift);
  if (var < 0) var = 0;
  float factor = rsqrt_fast(var + eps);
  if (scale != 1) factor = var == 0 ? rsqrt_fast(eps) * kLarger : rsqrt_fast(var);
  return {center, shift, factor, scale};
}

GPU_DEVICE bool is_finite(float x) { return fabsf(x) <= 0x1.fffffep127f; }

template <class T>
GPU_DEVICE float sum_pack(const Words& words) {
  float v[kPack<T>];
  unpack<T>(words, v);
  if constexpr (kPack<T> == 8) {
#pragma unroll
    for (int j = 0; j < 4; ++j) v[j] += v[j + 4];
  }
  return (v[0] + v[2]) + (v[1] + v[3]);
}

template <class T, int kPacks>
GPU_DEVICE float sum_packs(const Words (&x)[kPacks]) {
  float sum = 0;
#pragma unroll
  for (int k = 0; k < kPacks; ++k) sum += sum_pack<T>(x[k]);
  return sum;
}

// Adds the deviations to sums[0], their squares to sums[1].
template <class T, int kPacks>
GPU_DEVICE void add_deviations(const Words (&x)[kPacks], float center, float (&sums)[2]) {
  float deviation[2] = {}, square[2] = {};
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    float v[kPack<T>];
    unpack<T>(x[k], v);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) {
      const float d = v[j] - center;
      deviation[j % 2] += d;
      square[j % 2] = fmaf(d, d, square[j % 2]);
    }
  }
  sums[0] += deviation[0] + deviation[1];
  sums[1] += square[0] + square[1];
}

template <class T, int kPacks>
GPU_DEVICE void make_smaller(Words (&x)[kPacks]) {
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    float v[kPack<T>];
    unpack<T>(x[k], v);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) v[j] *= kSmaller;
    x[k] = gpu::pack<T>(v);
  }
}

// Of the team's row, whose packs first, first + step, ... are x. `shared`: 3 * kMostWaves elements.
template <class T, int kPacks>
GPU_DEVICE Moments row_moments(Words (&x)[kPacks], const Cut& cut, int first, int team,
                               float* shared, float inv_n, float eps) {
  for (float scale = 1;;) {
    mask_row<kPacks, T>(cut, first, team, 0, x);
    float sum[1] = {sum_packs<T>(x)};
    sum_team(sum, team, shared);
    const float center = widen(narrow<T>(sum[0] * inv_n));
    forget(x);
    mask_row<kPacks, T>(cut, first, team, fill_bits<T>(center), x);
    float sums[2] = {};
    add_deviations<T>(x, center, sums);
    sum_team(sums, team, shared + kMostWaves);
    forget(x);
    const bool again = kWideRange<T> && scale == 1 && !is_finite(sums[1]);
    if (!kWideRange<T> || !any_lane(again)) {
      return make_moments(center, sums[0], sums[1], scale, inv_n, eps);
    }
    if (again) {
      make_smaller<T>(x);
      scale = kSmaller;
    }
  }
}

// y of a pack. The pack's parameters may reach beyond the row, where anything comes.
template <class T, class P>
GPU_DEVICE void normalize(const Words& x, const Moments& m, const P* weight, const P* bias,
                          const Cut& cut, int32_t pack, float (&y)[kPack<T>]) {
  const float offset = -m.shift * m.factor;
  unpack<T>(x, y);
#pragma unroll
  for (int j = 0; j < kPack<T>; ++j) y[j] = fmaf(y[j] - m.center, m.factor, offset);
  float v[kPack<T>];
  if (weight != nullptr) {
    load_parameters(weight, cut, pack, v);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) y[j] *= v[j];
  }
  if (bias != nullptr) {
    load_parameters(bias, cut, pack, v);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) y[j] += v[j];
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_MOMENTS_H_
