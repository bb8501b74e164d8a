// Mean and deviation of a row that lies in registers as it came from memory, in one pass over all of
// it: sums of the deviations from a pivot, and of their squares.
//
// The pivot of a wave is the mean of the first pack of each of its lanes. Of kPacks packs that is a
// share of 1 / kPacks of what the wave has, so whatever the row, the pivot's distance from the wave's
// mean is at most sqrt(kPacks - 1) of its deviations: the squares around it are at most kPacks times
// those around the mean, and their difference keeps its digits. (A single element would not do: an
// outlier in its place would cost all others theirs.) Waves are then combined by counts (Chan).
//
// The mean is center + shift, what rounding took from it kept beside it, so a mean of 1e6 deviations
// costs the result no digits.
//
// rms_norm's pivot is 0, and its only sum that of the squares.
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
  // Of a value times `scale`.
  template <class Norm>
  GPU_DEVICE float normal(float x) const {
    if constexpr (!Norm::kCentered) return x * factor;
    return fmaf(x - center, factor, -shift * factor);
  }
};

// Of a mean of pivot + further.
GPU_DEVICE Moments make_moments(float pivot, float further, float var, float scale, float eps) {
  const float center = pivot + further;
  if (var < 0) var = 0;
  float factor = rsqrt_fast(var + eps);
  if (scale != 1) factor = var == 0 ? rsqrt_fast(eps) * kLarger : rsqrt_fast(var);
  return {center, (pivot - center) + further, factor, scale};
}

// What a lane has of a row.
template <class T, int kPacks>
struct Part {
  Words packs[kPacks];
  float ends[kMostEnds<T>];
};

// Where a lane's packs are, and how much of the row its wave has.
template <class T>
struct Share {
  Cut<T> cut;
  int lane, team;
  float sample;  // elements of the first packs and of the ends, at least 1
  float count;   // elements; of teams within a wave n

  GPU_DEVICE Share(const T* row, int n, int the_lane, int the_team)
      : cut(row, n), lane(the_lane), team(the_team) {
    const int within = team < wave_size() ? team : wave_size();
    const int first = team <= wave_size() ? 0 : lane / wave_size() * wave_size();
    const int live = cut.whole - first;
    const int ends = first == 0 ? cut.ends() : 0;
    const auto elements = [&](int k) {
      const int packs = live - k * team;
      return (packs < 0 ? 0 : packs < within ? packs : within) * kPack<T>;
    };
    int all = ends + elements(0);
    sample = static_cast<float>(all > 0 ? all : 1);
    for (int k = 1; k * team < live; ++k) all += elements(k);
    count = static_cast<float>(all);
  }
};

template <class Norm, class T, int kPacks>
GPU_DEVICE float pivot_of(const Part<T, kPacks>& x, const Share<T>& of, bool ragged) {
  if constexpr (!Norm::kCentered) return 0;
  float v[kPack<T>], sum = 0;
  unpack<T>(x.packs[0], v);
  if constexpr (kPack<T> == 8) {
#pragma unroll
    for (int j = 0; j < 4; ++j) v[j] += v[j + 4];
  }
  if (of.lane < of.cut.whole) sum = (v[0] + v[2]) + (v[1] + v[3]);
  if (ragged) {
    for_each_end<kMostEnds<T>>(of.cut, of.lane, of.team, [&](int e, int) { sum += x.ends[e]; });
  }
  float sums[1] = {sum};
  sum_lanes(sums, of.team);
  return sums[0] * reciprocal_fast(of.sample);
}

// Adds the deviations to sums[0], their squares to sums[1].
template <class T, int kPacks>
GPU_DEVICE void add_packs(const Words (&packs)[kPacks], float pivot, const Cut<T>& cut, int first,
                          int step, float (&sums)[2]) {
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    if (first + k * step >= cut.whole) break;
    float v[kPack<T>], deviation[2], square[2];
    unpack<T>(packs[k], v);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) {
      const float d = v[j] - pivot;
      deviation[j % 2] = j < 2 ? d : deviation[j % 2] + d;
      square[j % 2] = j < 2 ? d * d : fmaf(d, d, square[j % 2]);
    }
    sums[0] += deviation[0] + deviation[1];
    sums[1] += square[0] + square[1];
  }
}

template <class T, int kPacks>
GPU_DEVICE void add_ends(const Part<T, kPacks>& x, float pivot, const Share<T>& of,
                         float (&sums)[2]) {
  for_each_end<kMostEnds<T>>(of.cut, of.lane, of.team, [&](int e, int) {
    const float d = x.ends[e] - pivot;
    sums[0] += d;
    sums[1] = fmaf(d, d, sums[1]);
  });
}

constexpr int kMomentsShared = 4 * kMostWaves;

// From the sums of each lane. `shared`: kMomentsShared elements that nobody uses since the last
// barrier.
template <class Norm, class T>
GPU_DEVICE Moments combine(float pivot, float (&sums)[2], const Share<T>& of, float* shared,
                           float scale, float inv_n, float eps) {
  if constexpr (!Norm::kCentered) {
    float square[1] = {sums[1]};
    sum_team(square, of.team, shared);
    return make_moments(0, 0, square[0] * inv_n, scale, eps);
  }
  sum_lanes(sums, of.team);
  if (of.team <= wave_size()) {
    const float further = sums[0] * inv_n;
    return make_moments(pivot, further, fmaf(sums[1], inv_n, -further * further), scale, eps);
  }
  const int in_wave = thread_id() % wave_size(), wave = thread_id() / wave_size();
  if (in_wave == 0) {
    shared[wave] = pivot;
    shared[kMostWaves + wave] = sums[0];
    shared[2 * kMostWaves + wave] = sums[1];
    shared[3 * kMostWaves + wave] = of.count;
  }
  barrier();
  const int waves = of.team / wave_size();
  const bool has = in_wave < waves;
  const float count = has ? shared[3 * kMostWaves + in_wave] : 0.0f;
  const float first = shared[0];
  float mean = 0, square = 0;  // of the wave that this lane stands for; the mean from `first`
  if (count > 0) {
    const float deviation = shared[kMostWaves + in_wave];
    const float further = deviation * reciprocal_fast(count);
    mean = (shared[in_wave] - first) + further;
    square = fmaf(-deviation, further, shared[2 * kMostWaves + in_wave]);
  }
  float total[1] = {count * mean};
  sum_lanes(total, wave_size());
  const float further = total[0] * inv_n;
  float squares[1] = {fmaf(count * (mean - further), mean - further, square)};
  sum_lanes(squares, wave_size());
  return make_moments(first, further, squares[0] * inv_n, scale, eps);
}

template <class T, int kPacks>
GPU_DEVICE void make_smaller(Words (&packs)[kPacks]) {
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    float v[kPack<T>];
    unpack<T>(packs[k], v);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) v[j] *= kSmaller;
    packs[k] = gpu::pack<T>(v);
  }
}
template <int kCount>
GPU_DEVICE void make_smaller(float (&x)[kCount]) {
#pragma unroll
  for (int e = 0; e < kCount; ++e) x[e] *= kSmaller;
}

// Of the team's row. `shared`: twice as many elements, for a second try.
template <class Norm, class T, int kPacks>
GPU_DEVICE Moments row_moments(Part<T, kPacks>* x, const Share<T>& of, bool ragged, float* shared,
                               float inv_n, float eps) {
  for (float scale = 1;;) {
    const float pivot = pivot_of<Norm>(*x, of, ragged);
    float sums[2] = {};
    add_packs<T>(x->packs, pivot, of.cut, of.lane, of.team, sums);
    if (ragged) add_ends(*x, pivot, of, sums);
    const Moments m = combine<Norm>(pivot, sums, of, shared, scale, inv_n, eps);
    if constexpr (!kWideRange<T>) return m;
    const bool again = scale == 1 && !(m.factor > 0);
    if (!any_lane(again)) return m;
    if (again) {
      make_smaller<T>(x->packs);
      make_smaller(x->ends);
      scale = kSmaller;
    }
    shared += kMomentsShared;
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_MOMENTS_H_
