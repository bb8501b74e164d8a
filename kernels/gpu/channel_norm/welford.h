// Count, mean and sum of squared deviations of what a lane has seen, taken in batches and combined
// (Chan, Golub, LeVeque 1979).
//
// A batch is summed around the mean before it, so that nothing cancels once a lane has seen as much
// as the batch has; the first one around the mean of its first pack, of which the squares are at
// most as many times those around its own mean as the batch has packs.
#ifndef POLYOPS_GPU_CHANNEL_NORM_WELFORD_H_
#define POLYOPS_GPU_CHANNEL_NORM_WELFORD_H_

#include "gpu.h"
#include "reduce.h"

namespace polyops::gpu {
namespace {

struct Welford {
  float mean = 0, square = 0, count = 0;
  float low = 0;  // what rounding took from the mean where parts were combined

  GPU_DEVICE float mean_from(float pivot) const { return (pivot + mean) + low; }

  // So many elements, from the sums of their deviations from `mean` and of the squares of those.
  GPU_DEVICE void add_batch(float deviations, float squares, float elements) {
    count += elements;
    const float shift = deviations * reciprocal_fast(count);
    mean += shift;
    square += fmaf(-deviations, shift, squares);
  }
  GPU_DEVICE void add(float x) {
    const float d = x - mean;
    add_batch(d, d * d, 1);
  }
};

GPU_DEVICE Welford combined(const Welford& a, const Welford& b) {
  if (b.count == 0) return a;
  if (a.count == 0) return b;
  const float count = a.count + b.count;
  const float share = b.count * reciprocal_fast(count);
  const float d = (b.mean - a.mean) + (b.low - a.low);
  const float mean = fmaf(d, share, a.mean);
  return {mean, a.square + fmaf(d * a.count, d * share, b.square), count,
          fmaf(d, share, a.mean - mean) + a.low};
}

// From the sums of so many elements' deviations from a center, and of the squares of those.
GPU_DEVICE Welford moved(float center, float deviations, float squares, float count) {
  const float shift = count == 0 ? 0.0f : deviations * reciprocal_fast(count);
  const float mean = center + shift;
  return {mean, fmaf(-deviations, shift, squares), count, shift - (mean - center)};
}

// Of `lanes` neighbours, which have `count` elements in all: around a center that is the mean of
// one of them, so that the squares are at most as many times those around the mean of all as there
// are lanes of that many elements, and one. All lanes get the same bits.
GPU_DEVICE Welford merged(const Welford& w, float center, float count, int lanes) {
  const float d = w.count == 0 ? 0.0f : (w.mean - center) + w.low;
  float sums[2] = {d * w.count, fmaf(d * w.count, d, w.square)};
  sum_lanes(sums, lanes);
  return moved(center, sums[0], sums[1], count);
}

// Of a team within the wave, around the mean of all; its lanes get the same bits.
GPU_DEVICE Welford combine_lanes(const Welford& w, int team) {
  float count[1] = {w.count};
  sum_lanes(count, team);
  float center[1] = {count[0] == 0 ? 0.0f : w.mean * (w.count * reciprocal_fast(count[0]))};
  sum_lanes(center, team);
  return merged(w, center[0], count[0], team);
}

constexpr int kWelfordShared = 4 * kMostWaves;

// Of a team: lanes of a wave, a power of two, or whole waves. `shared`: kWelfordShared elements
// that nobody uses since the last barrier (teams beyond a wave only).
GPU_DEVICE Welford combine_team(Welford w, int team, float* shared) {
  w = combine_lanes(w, team);
  if (team <= wave_size()) return w;
  const int lane = thread_id() % wave_size(), wave = thread_id() / wave_size();
  if (lane == 0) {
    shared[wave] = w.mean;
    shared[kMostWaves + wave] = w.square;
    shared[2 * kMostWaves + wave] = w.count;
    shared[3 * kMostWaves + wave] = w.low;
  }
  barrier();
  const int waves = team / wave_size();
  const int at = wave - wave % waves + lane;
  Welford of_lane;
  if (lane < waves) {
    of_lane = {shared[at], shared[kMostWaves + at], shared[2 * kMostWaves + at],
               shared[3 * kMostWaves + at]};
  }
  return combine_lanes(of_lane, wave_size());
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CHANNEL_NORM_WELFORD_H_
