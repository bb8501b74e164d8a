// layer_norm of rows that a block cannot hold: one pass for the moments, a second one for the
// result, from the row's end to its begin. The last part is still in registers, and what was read
// before it in the second-level cache as long as 132 rows of a chip fit there.
//
// Moments: each lane combines those of its parts (Chan), of deviations from a pivot, the mean of the
// first part, and the block combines its lanes.
#ifndef POLYOPS_GPU_LAYER_NORM_FORWARD_LONG_H_
#define POLYOPS_GPU_LAYER_NORM_FORWARD_LONG_H_

#include "forward.h"

namespace polyops::gpu {
namespace {

constexpr int kLongPacks = 4;  // 8 would spill: 64 registers

// Of a lane: how many deviations from the pivot, their mean, their squares around that.
struct Spread {
  float count, mean, square;
};

// Adds kPacks packs, of which `ours` elements are the row's and the others are the pivot.
template <class T, int kPacks>
GPU_DEVICE void add_part(const Words (&x)[kPacks], float pivot, int ours, Spread* s) {
  constexpr int kAll = kPacks * kPack<T>;
  if (ours == 0) return;
  float sum = 0;
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    float v[kPack<T>], part = 0;
    unpack<T>(x[k], v);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) part += v[j] - pivot;
    sum += part;
  }
  forget(const_cast<Words(&)[kPacks]>(x));
  const auto count = static_cast<float>(ours);
  const float mean = sum * reciprocal_fast(count);
  float square = -static_cast<float>(kAll - ours) * mean * mean;  // of those that are the pivot
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    float v[kPack<T>], part = 0;
    unpack<T>(x[k], v);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) part = fmaf(v[j] - pivot - mean, v[j] - pivot - mean, part);
    square += part;
  }
  const float all = s->count + count;
  const float further = mean - s->mean;
  const float share = count * reciprocal_fast(all);
  s->square += square + further * further * (s->count * share);
  s->mean += further * share;
  s->count = all;
}

template <class T>
struct LongRow {
  Cut cut;
  Window<T, kPack<T>> src;
  int lane, step;
  float scale;

  GPU_DEVICE int first(int part) const { return part * kLongPacks * step + lane; }
  GPU_DEVICE void load(int part, Words (&x)[kLongPacks]) const {
    load_row<kLongPacks, T>(src, first(part), step, x);
    if (scale != 1) make_smaller<T>(x);
  }
  GPU_DEVICE int ours(int part) const {
    int count = 0;
#pragma unroll
    for (int k = 0; k < kLongPacks; ++k) {
      const int32_t at = cut.first(first(part) + k * step);
      const int32_t end = at + kPack<T> < cut.n ? at + kPack<T> : cut.n;
      const int32_t begin = at > 0 ? at : 0;
      if (end > begin) count += end - begin;
    }
    return count;
  }
};

// Leaves the last part in x. `shared`: 4 * kMostWaves elements.
template <class T>
GPU_DEVICE Moments long_moments(const LongRow<T>& row, int parts, float* shared, float inv_n,
                                float eps, Words (&x)[kLongPacks]) {
  float pivot = 0;
  Spread s = {};
  for (int part = 0; part < parts; ++part) {
    row.load(part, x);
    if (part == 0) {  // has nothing behind the row
      mask_row<kLongPacks, T>(row.cut, row.first(0), row.step, 0, x);
      float sum[1] = {sum_packs<T>(x)};
      sum_team(sum, row.step, shared);
      const int32_t count = kLongPacks * kPack<T> * row.step - row.cut.shift;
      pivot = widen(narrow<T>(sum[0] * reciprocal_fast(static_cast<float>(count))));
    }
    mask_row<kLongPacks, T>(row.cut, row.first(part), row.step, fill_bits<T>(pivot), x);
    add_part<T>(x, pivot, row.ours(part), &s);
  }
  float mean[1] = {s.count * s.mean};
  sum_team(mean, row.step, shared + kMostWaves);
  mean[0] *= inv_n;
  float square[2] = {s.count * (s.mean - mean[0]), 0};  // the first: what rounding left
  square[1] = fmaf(s.count * (s.mean - mean[0]), s.mean - mean[0], s.square);
  sum_team(square, row.step, shared + 2 * kMostWaves);
  const float shift = mean[0] + square[0] * inv_n;
  const float center = pivot + shift;
  Moments m = make_moments(center, 0, square[1], row.scale, inv_n, eps);
  m.shift = (pivot - center) + shift;
  return m;
}

template <class T, class P>
GPU_KERNEL(kForwardThreads)
forward_long(ForwardCall<T, P> call) {
  GPU_SHARED(float, shared, 4 * kMostWaves);
  int64_t at[2];
  call.rows.offsets(block_id(), at);
  const T* src = call.src + at[0];
  const Cut cut = {call.n, misplaced(src), kPack<T>};
  LongRow<T> row = {cut, Window<T, kPack<T>>(src, cut), thread_id(), block_threads(), 1};
  const int32_t packs = (call.n + cut.shift + kPack<T> - 1) / kPack<T>;
  const int parts = (packs + kLongPacks * row.step - 1) / (kLongPacks * row.step);
  Words x[kLongPacks];
  Moments m = long_moments(row, parts, shared, call.inv_n, call.eps, x);
  if (kWideRange<T> && !(m.factor > 0)) {  // the squares were infinite, or not a number
    row.scale = kSmaller;
    m = long_moments(row, parts, shared, call.inv_n, call.eps, x);
  }
  if (row.lane == 0) store_moments(call, block_id(), m);
  for (int part = parts - 1; part >= 0; --part) {
    if (part != parts - 1) row.load(part, x);
    store_normalized(call, x, m, call.dst + at[1], cut, row.first(part), row.step);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_FORWARD_LONG_H_
