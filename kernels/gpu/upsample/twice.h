// Nearest, of planes that get exactly twice as many rows and columns, as decoders have them: a
// thread makes packs of results of half a pack of src each, twice, or adds up two packs below each
// other. Bound: memory.
#ifndef POLYOPS_GPU_UPSAMPLE_TWICE_H_
#define POLYOPS_GPU_UPSAMPLE_TWICE_H_

#include <cstdint>

#include "division.h"
#include "groups.h"
#include "image.h"

namespace polyops::gpu {
namespace {

constexpr int kTwiceUnits = 4;  // of a thread, all loaded before the first is used

// 8 bytes of the small image are a unit.
struct Twice {
  uint32_t units;
  Division by_row;

  GPU_DEVICE uint32_t unit(int k) const {
    return static_cast<uint32_t>(block_id() * kTwiceUnits + k) * kUpsampleThreads + thread_id();
  }
  // The first of two packs of the large image, which are a row of it apart.
  GPU_DEVICE int64_t pack(uint32_t unit) const {
    return int64_t{unit} + int64_t{by_row.quotient(unit)} * by_row.divisor;
  }
};

// Each of four bytes, or of two bytes, twice.
template <int kBytes>
GPU_DEVICE Words doubled(const Unit<8>& x) {
  if constexpr (kBytes == 4) return {{x.w[0], x.w[0], x.w[1], x.w[1]}};
  return {{permute_bytes(x.w[0], 0, 0x1010), permute_bytes(x.w[0], 0, 0x3232),
           permute_bytes(x.w[1], 0, 0x1010), permute_bytes(x.w[1], 0, 0x3232)}};
}

template <class T>
GPU_KERNEL(kUpsampleThreads)
nearest_twice(const T* in, T* out, Twice of) {
  await_earlier();
  Unit<8> units[kTwiceUnits];
#pragma unroll
  for (int k = 0; k < kTwiceUnits; ++k) {
    const uint32_t at = of.unit(k);
    if (at < of.units) units[k].load(reinterpret_cast<const char*>(in) + int64_t{at} * 8);
  }
#pragma unroll
  for (int k = 0; k < kTwiceUnits; ++k) {
    const uint32_t at = of.unit(k);
    if (at >= of.units) break;
    const Words words = doubled<sizeof(T)>(units[k]);
    T* const to = out + of.pack(at) * kPack<T>;
    store_words(to, words);
    store_words(to + of.by_row.divisor * kPack<T>, words);
  }
}

// In stock's order: row by row.
template <class T>
GPU_KERNEL(kUpsampleThreads)
nearest_twice_backward(const T* in, T* out, Twice of) {
  await_earlier();
  constexpr int kWide = kPack<T> / 2;
  Words high[kTwiceUnits], low[kTwiceUnits];
#pragma unroll
  for (int k = 0; k < kTwiceUnits; ++k) {
    const uint32_t at = of.unit(k);
    if (at >= of.units) break;
    const T* const from = in + of.pack(at) * kPack<T>;
    high[k] = load_words(from);
    low[k] = load_words(from + of.by_row.divisor * kPack<T>);
  }
#pragma unroll
  for (int k = 0; k < kTwiceUnits; ++k) {
    const uint32_t at = of.unit(k);
    if (at >= of.units) break;
    float x[kPack<T>], y[kPack<T>], sum[kWide];
    unpack<T>(high[k], x);
    unpack<T>(low[k], y);
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      sum[j] = 0.0f + x[2 * j] + x[2 * j + 1] + y[2 * j] + y[2 * j + 1];
    }
    Unit<8>::template store<T>(out + int64_t{at} * kWide, sum);
  }
}

// How the units of such images are counted, or none. scale: that of either axis.
template <class T>
Twice twice_of(const Image<T>& image, float scale) {
  const Axis &rows = image.rows, &columns = image.columns;
  const int64_t bytes = int64_t{columns.from} * static_cast<int>(sizeof(T));
  const auto places =
      reinterpret_cast<uintptr_t>(image.in) | reinterpret_cast<uintptr_t>(image.out);
  const bool taken = rows.to == 2 * rows.from && columns.to == 2 * columns.from &&
                     rows.scale == scale && columns.scale == scale && bytes % 8 == 0 &&
                     places % 16 == 0;
  if (!taken) return {0, Division()};
  return {static_cast<uint32_t>(int64_t{image.planes} * rows.from * (bytes / 8)),
          Division(static_cast<uint32_t>(bytes / 8))};
}

inline LaunchShape shape_of(const Twice& of) {
  constexpr int64_t kUnits = int64_t{kUpsampleThreads} * kTwiceUnits;
  return {(int64_t{of.units} + kUnits - 1) / kUnits, kUpsampleThreads};
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_UPSAMPLE_TWICE_H_
