// The largest element of a window and its place; and what a window's gradient goes to.
#ifndef POLYOPS_GPU_POOL2D_LARGEST_H_
#define POLYOPS_GPU_POOL2D_LARGEST_H_

#include <cmath>
#include <cstdint>

#include "axis.h"
#include "gpu.h"
#include "stage_plan.h"
#include "tap.h"

namespace polyops::gpu {
namespace {

// Indices are int64 in memory, and fit into 32 bits: pairs of them are a pack.
GPU_DEVICE void store_indices(int64_t* p, const int (&at)[1]) { *p = at[0]; }
GPU_DEVICE void store_indices(int* p, const int (&at)[1]) { *p = at[0]; }
template <int kWide>
GPU_DEVICE void store_indices(int64_t* p, const int (&at)[kWide]) {
#pragma unroll
  for (int j = 0; j < kWide; j += 2) {
    const Words words = {{static_cast<uint32_t>(at[j]), 0, static_cast<uint32_t>(at[j + 1]), 0}};
    store_words(p + j, words);
  }
}

// What is no place becomes -1.
GPU_DEVICE int place_of(uint32_t low, uint32_t high) {
  return high == 0 ? static_cast<int>(low) : -1;
}
// beside: not 0 if they are none.
GPU_DEVICE void load_indices(const int64_t* p, int (&at)[1], uint32_t beside = 0) {
  const auto index = static_cast<uint64_t>(*p);
  at[0] = place_of(static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32) | beside);
}
template <int kWide>
GPU_DEVICE void load_indices(const int64_t* p, int (&at)[kWide], uint32_t beside = 0) {
#pragma unroll
  for (int j = 0; j < kWide; j += 2) {
    const Words words = load_words(p + j);
    at[j] = place_of(words.w[0], words.w[1] | beside);
    at[j + 1] = place_of(words.w[2], words.w[3] | beside);
  }
}

template <int kWide>
struct LargestPool {
  static constexpr float kAbsent = -HUGE_VALF;
  float value[kWide];
  int at[kWide];

  GPU_DEVICE LargestPool() {
#pragma unroll
    for (int j = 0; j < kWide; ++j) value[j] = kAbsent, at[j] = 0;
  }
  // Where the tap is -inf, the place is never asked for.
  GPU_DEVICE void begin(const float (&x)[kWide], int place) {
#pragma unroll
    for (int j = 0; j < kWide; ++j) value[j] = x[j], at[j] = place;
  }
  // A NaN, or what is larger; so the first of equals, and the last NaN.
  GPU_DEVICE void take(int j, float x, int place) {
    const bool larger = x > value[j] || x != x;
    value[j] = larger ? x : value[j];
    at[j] = larger ? place : at[j];
  }
  GPU_DEVICE void add(const float (&x)[kWide], int place) {
#pragma unroll
    for (int j = 0; j < kWide; ++j) take(j, x[j], place);
  }
  // What lies before or behind: of equals the one before, of NaNs the one behind.
  GPU_DEVICE void join(int j, float x, int place) {
    const bool nan = x != x, has_nan = value[j] != value[j], behind = place > at[j];
    const bool larger = x > value[j] || (x == value[j] && !behind);
    const bool takes = nan ? !has_nan || behind : larger && !has_nan;
    value[j] = takes ? x : value[j];
    at[j] = takes ? place : at[j];
  }
  // What lies behind this one.
  GPU_DEVICE void merge(const LargestPool& next) {
#pragma unroll
    for (int j = 0; j < kWide; ++j) take(j, next.value[j], next.at[j]);
  }
};

// Index: int64_t, or int in a block's memory.
template <class T, class Index = int64_t>
struct Largest {
  using Element = T;
  template <int kWide>
  using Pool = LargestPool<kWide>;
  static constexpr bool kSlides = false;
  static constexpr bool kPlaces = true;

  const T* src;
  T* dst;
  Index* indices;
  int64_t src_image, dst_image;
  bool lowest_is_0;

  // The same with results in a block's memory.
  GPU_DEVICE Largest<T, int> staged(const StagedResults<T>& results) const {
    return {src, results.values, results.places, src_image, dst_image, lowest_is_0};
  }

  GPU_DEVICE int of_column(int, const Axis&) const { return 0; }
  template <int kWide>
  GPU_DEVICE void store(const LargestPool<kWide>& pool, int64_t at, int first, int, int,
                        const Axis&) const {
    put(pool, at, lowest_is_0 ? 0 : first);
  }
  // lowest: the place if there is nothing above -inf.
  template <int kWide>
  GPU_DEVICE void put(const LargestPool<kWide>& pool, int64_t at, int lowest) const {
    int places[kWide];
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      places[j] = pool.value[j] == LargestPool<kWide>::kAbsent ? lowest : pool.at[j];
    }
    Tap<T, kWide>::store(dst + at, pool.value);
    store_indices(indices + at, places);
  }
  // Of a pool that has begun with an element.
  template <int kWide>
  GPU_DEVICE void put_found(const LargestPool<kWide>& pool, int64_t at) const {
    Tap<T, kWide>::store(dst + at, pool.value);
    store_indices(indices + at, pool.at);
  }
};

template <class T>
struct LargestGradient {
  using Element = T;
  template <int kWide>
  struct Entry {
    Tap<T, kWide> grad;
    int at[kWide];

    GPU_DEVICE void clear() {
      grad.fill(0);
#pragma unroll
      for (int j = 0; j < kWide; ++j) at[j] = -1;
    }
    GPU_DEVICE void add_to(float (&sum)[kWide], int place) const {
      float g[kWide];
      grad.get(g);
#pragma unroll
      for (int j = 0; j < kWide; ++j) sum[j] = at[j] == place ? sum[j] + g[j] : sum[j];
    }
  };

  const T* grad_dst;
  const int64_t* indices;
  T* grad_src;
  int64_t src_image, dst_image;

  GPU_DEVICE int of_row(int, const Axis&) const { return 0; }
  template <int kWide>
  GPU_DEVICE void load(Entry<kWide>* entry, int64_t at, int = 0, int = 0, const Axis& = {}) const {
    entry->grad.load(grad_dst + at);
    load_indices(indices + at, entry->at);
  }
  // beside: not 0 if it is no window.
  template <int kWide>
  GPU_DEVICE void load_unless(Entry<kWide>* entry, int64_t at, uint32_t beside) const {
    entry->grad.load(grad_dst + at);
    load_indices(indices + at, entry->at, beside);
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_LARGEST_H_
