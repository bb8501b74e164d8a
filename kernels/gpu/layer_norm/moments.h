// Mean and deviation of a row that lies in registers as it came from memory, in one pass over all
// of it: sums of the deviations from a pivot, and of their squares.
//
// The pivot of a wave is the mean of the first pack of each of its lanes. Of kPacks packs that is a
// share of 1 / kPacks of what the wave has, so whatever the row, the pivot's distance from the
// wave's mean is at most sqrt(kPacks - 1) of its deviations: the squares around it are at most
// kPacks times those around the mean, and their difference keeps its digits. (A single element
// would not do: an outlier in its place would cost all others theirs.) Waves are then combined by
// counts (Chan).
//
// The mean is center + shift, what rounding took from it kept beside it, so a mean of 1e6
// deviations costs the result no digits.
//
// rms_norm's pivot is 0, and its only sum that of the squares.
#ifndef POLYOPS_GPU_LAYER_NORM_MOMENTS_H_
#define POLYOPS_GPU_LAYER_NORM_MOMENTS_H_

#include "layout.h"

namespace polyops::gpu {
namespace {

// Rows whose sum or squares leave the range of float32 are taken again, smaller by this: the
// largest value squared and 2^31 times added is 2^95 then.
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

// Of some of a row: a mean of pivot + further, and the sum of the squares about it.
struct Spread {
  float pivot, further, square;
};

GPU_DEVICE Moments make_moments(const Spread& of, float scale, float inv_n, float eps) {
  const float center = of.pivot + of.further;
  const float var = of.square < 0 ? 0 : of.square * inv_n;
  float factor = rsqrt_fast(var + eps);
  if (scale != 1) factor = var == 0 ? rsqrt_fast(eps) * kLarger : rsqrt_fast(var);
  return {center, (of.pivot - center) + of.further, factor, scale};
}

// What a lane has of a row.
template <class T, int kPacks, int kEnds = kMostEnds<T>>
struct Part {
  Words packs[kPacks];
  float ends[kEnds];
};

// Where a lane's packs are, and how much of the row its wave has.
template <class T>
struct Share {
  Cut<T> cut;
  int lane, team;
  int packs;     // of the lane
  float sample;  // elements of the first packs and of the ends, at least 1
  float count;   // elements; of teams within a wave n

  // rounds: how many times every lane has a pack, or one time more than that.
  GPU_DEVICE Share(const Cut<T>& the_cut, int the_lane, int the_team, int rounds)
      : cut(the_cut), lane(the_lane), team(the_team) {
    const int within = team < wave_size() ? team : wave_size();
    const int first = team <= wave_size() ? 0 : lane / wave_size() * wave_size();
    const int ends = first == 0 ? cut.ends() : 0;
    int rest = cut.whole - rounds * team;
    if (rest < 0) {
      --rounds;
      rest += team;
    }
    packs = rounds + (lane < rest);
    rest -= first;
    rest = rest < 0 ? 0 : rest < within ? rest : within;
    const int sampled = ends + (rounds > 0 ? within : rest) * kPack<T>;
    sample = static_cast<float>(sampled > 0 ? sampled : 1);
    count = static_cast<float>(ends + (rounds * within + rest) * kPack<T>);
  }
};

template <class Norm, class T, int kPacks, int kEnds>
GPU_DEVICE float pivot_of(const Part<T, kPacks, kEnds>& x, const Share<T>& of, bool ragged) {
  if constexpr (!Norm::kCentered) return 0;
  float v[kPack<T>], sum = 0;
  unpack<T>(x.packs[0], v);
  if constexpr (kPack<T> == 8) {
#pragma unroll
    for (int j = 0; j < 4; ++j) v[j] += v[j + 4];
  }
  if (of.lane < of.cut.whole) sum = (v[0] + v[2]) + (v[1] + v[3]);
  if (ragged) {
    for_each_end<kEnds>(of.cut, of.lane, of.team, [&](int e, int) { sum += x.ends[e]; });
  }
  float sums[1] = {sum};
  sum_lanes(sums, of.team);
  return sums[0] * reciprocal_fast(of.sample);
}

// Adds the deviations to sums[0], their squares to sums[1].
template <class T, int kPacks>
GPU_DEVICE void add_packs(const Words (&packs)[kPacks], float pivot, const Cut<T>& cut, int first,
                          int step, float (&sums)[2]) {
  const int live = cut.whole - first;
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    if (k * step >= live) break;
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

template <class T, int kPacks, int kEnds>
GPU_DEVICE void add_ends(const Part<T, kPacks, kEnds>& x, float pivot, const Share<T>& of,
                         float (&sums)[2]) {
  for_each_end<kEnds>(of.cut, of.lane, of.team, [&](int e, int) {
    const float d = x.ends[e] - pivot;
    sums[0] += d;
    sums[1] = fmaf(d, d, sums[1]);
  });
}

// The spreads of a row's parts, each with a slot of a table: `stride` pivots, as many means from
// them, squares about the means, and counts. Each lane merges its slot, if it has one, with those
// of the `lanes` beside it.
constexpr int kSpreadValues = 4;
GPU_DEVICE Spread merge_spreads(const float* table, int stride, int slot, bool has, int lanes,
                                float inv_n) {
  const float count = has ? table[3 * stride + slot] : 0.0f;
  const float first = table[0];
  float mean = 0, square = 0;  // of this part; the mean from `first`
  if (count > 0) {
    mean = (table[slot] - first) + table[stride + slot];
    square = table[2 * stride + slot];
  }
  float total[1] = {count * mean};
  sum_lanes(total, lanes);
  const float further = total[0] * inv_n;
  float squares[1] = {fmaf(count * (mean - further), mean - further, square)};
  sum_lanes(squares, lanes);
  return {first, further, squares[0]};
}

constexpr int kMomentsShared = kSpreadValues * kMostWaves;

// Of what the team has, n elements, from the sums of each lane. `shared`: kMomentsShared elements
// that nobody uses since the last barrier. kAsksFew: of a few waves fewer lanes merge, which takes
// registers.
template <class Norm, bool kAsksFew = false, class T>
GPU_DEVICE Spread combine(float pivot, float (&sums)[2], const Share<T>& of, float* shared,
                          float inv_n) {
  if constexpr (!Norm::kCentered) {
    float square[1] = {sums[1]};
    sum_team(square, of.team, shared);
    return {0, 0, square[0]};
  }
  sum_lanes(sums, of.team);
  if (of.team <= wave_size()) {
    const float further = sums[0] * inv_n;
    return {pivot, further, fmaf(-sums[0], further, sums[1])};
  }
  const int in_wave = thread_id() % wave_size(), wave = thread_id() / wave_size();
  if (in_wave == 0) {
    const float further = of.count > 0 ? sums[0] * reciprocal_fast(of.count) : 0.0f;
    shared[wave] = pivot;
    shared[kMostWaves + wave] = further;
    shared[2 * kMostWaves + wave] = fmaf(-sums[0], further, sums[1]);
    shared[3 * kMostWaves + wave] = of.count;
  }
  barrier();
  constexpr int kFew = 4;
  const int waves = of.team / wave_size();
  if (kAsksFew && waves <= kFew) {
    const int slot = in_wave % kFew;
    return merge_spreads(shared, kMostWaves, slot, slot < waves, kFew, inv_n);
  }
  return merge_spreads(shared, kMostWaves, in_wave, in_wave < waves, wave_size(), inv_n);
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

// Of a row whose part x is this lane's. combine(pivot, sums, shared): the row's spread, from the
// lane's sums. `shared`: twice as many elements as for combine() above, for a second try.
template <class Norm, class T, int kPacks, int kEnds, class Combine>
GPU_DEVICE Moments row_moments(Part<T, kPacks, kEnds>* x, const Share<T>& of, bool ragged,
                               float* shared, float inv_n, float eps, Combine combine) {
  for (float scale = 1;;) {
    const float pivot = pivot_of<Norm>(*x, of, ragged);
    float sums[2] = {};
    add_packs<T>(x->packs, pivot, of.cut, of.lane, of.team, sums);
    if (ragged) add_ends(*x, pivot, of, sums);
    const Moments m = make_moments(combine(pivot, sums, shared), scale, inv_n, eps);
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
