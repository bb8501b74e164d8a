// Mean and deviation of slices, each by several blocks: one read of all elements. They are taken
// around a pivot, the median of three of the slice's elements, so that neither a mean of many
// deviations costs the result digits nor an element far from all others.
#ifndef POLYOPS_GPU_CHANNEL_NORM_MOMENTS_H_
#define POLYOPS_GPU_CHANNEL_NORM_MOMENTS_H_

#include "layer_norm/layout.h"
#include "runs.h"
#include "welford.h"

namespace polyops::gpu {
namespace {

GPU_DEVICE float median(float a, float b, float c) {
  return fmaxf(fminf(a, b), fminf(fmaxf(a, b), c));
}

// Of the first, one in the middle and the last of n elements.
template <class T>
GPU_DEVICE float pivot_of(const T* row, int32_t n) {
  return median(widen(row[0]), widen(row[n / 2]), widen(row[n - 1]));
}

// Of a slice.
template <class T>
GPU_DEVICE float pivot_of(const T* src, const Runs& runs, int64_t slice) {
  const T* first = src + slice * runs.slice_stride;
  const T* middle = first + runs.count / 2 * runs.run_stride;
  const T* last = first + (runs.count - 1) * runs.run_stride;
  return median(widen(first[0]), widen(middle[runs.n / 2]), widen(last[runs.n - 1]));
}

template <class T>
GPU_DEVICE void add_pack(const Words& words, float pivot, float mean, float (&sums)[2]) {
  float v[kPack<T>], deviation[2], square[2];
  unpack<T>(words, v);
#pragma unroll
  for (int j = 0; j < kPack<T>; ++j) {
    const float d = (v[j] - pivot) - mean;
    deviation[j % 2] = j < 2 ? d : deviation[j % 2] + d;
    square[j % 2] = j < 2 ? d * d : fmaf(d, d, square[j % 2]);
  }
  sums[0] += deviation[0] + deviation[1];
  sums[1] += square[0] + square[1];
}

template <class T>
GPU_DEVICE float mean_of_pack(const Words& words, float pivot) {
  float v[kPack<T>], sum = 0;
  unpack<T>(words, v);
#pragma unroll
  for (int j = 0; j < kPack<T>; ++j) sum += v[j] - pivot;
  return sum * (1.0f / kPack<T>);
}

// Packs first, first + step, ... of a run, which are in registers.
template <int kPacks, class T>
GPU_DEVICE void add_packs_of(const Cut<T>& cut, const Words (&x)[kPacks], int32_t first,
                             int32_t step, float pivot, Welford* w) {
  if (first >= cut.whole) return;
  if (w->count == 0) w->mean = mean_of_pack<T>(x[0], pivot);
  float sums[2] = {};
  int packs = 0;
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    if (first + k * step >= cut.whole) break;
    add_pack<T>(x[k], pivot, w->mean, sums);
    ++packs;
  }
  w->add_batch(sums[0], sums[1], static_cast<float>(packs * kPack<T>));
}

template <class T>
GPU_DEVICE void add_run(const T* run, int32_t n, int lane, int lanes, float pivot, Welford* w) {
  const Cut<T> cut(run, n);
  for (int32_t first = lane; first < cut.whole; first += kRunPacks * lanes) {
    Words x[kRunPacks];
    load_fitting(cut, run, first, lanes, x);
    add_packs_of(cut, x, first, lanes, pivot, w);
  }
  for_each_end<kMostEnds<T>>(cut, lane, lanes,
                             [&](int, int at) { w->add(widen(run[at]) - pivot); });
}

constexpr int kMomentsOfChunk = 5;

GPU_DEVICE void store_chunk(float* moments, int64_t chunk, const Welford& w, float pivot) {
  float* out = moments + chunk * kMomentsOfChunk;
  out[0] = w.mean;
  out[1] = w.square;
  out[2] = w.count;
  out[3] = w.low;
  out[4] = pivot;
}

// A chunk per block. moments: [slices][chunks][mean - pivot, squares, count, low, pivot].
template <class T>
GPU_KERNEL(kRunThreads)
slice_moments(const T* src, Runs runs, float* moments) {
  await_earlier();
  GPU_SHARED(float, shared, kWelfordShared);
  const int64_t task = block_id(), slice = task / runs.chunks;
  const auto chunk = static_cast<int>(task % runs.chunks);
  const int lane = thread_id() & (runs.lanes - 1), team = thread_id() / runs.lanes;
  const float pivot = pivot_of(src, runs, slice);
  Welford w;
  runs.for_each_part(
      slice, chunk, team, block_threads() / runs.lanes,
      [&](int64_t offset, int32_t n) { add_run(src + offset, n, lane, runs.lanes, pivot, &w); });
  w = combine_team(w, block_threads(), shared);
  if (thread_id() == 0) store_chunk(moments, task, w, pivot);
}

GPU_DEVICE float pivot_of(const float* moments, int64_t slice, int32_t chunks) {
  return moments[slice * chunks * kMomentsOfChunk + 4];
}

// Of a slice, from its chunks; by a whole wave, each lane of which gets the same bits.
GPU_DEVICE Welford moments_of(const float* moments, int64_t slice, int32_t chunks) {
  Welford w;
  for (int32_t i = thread_id() % wave_size(); i < chunks; i += wave_size()) {
    const float* from = moments + (slice * chunks + i) * kMomentsOfChunk;
    w = combined(w, {from[0], from[1], from[2], from[3]});
  }
  return combine_lanes(w, wave_size());
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CHANNEL_NORM_MOMENTS_H_
