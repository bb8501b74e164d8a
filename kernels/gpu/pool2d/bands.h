// Averages of contiguous planes, of windows that lie one below the other: a band is what a row of
// windows has of its plane. A thread adds up kWide columns of a band, as they lie in memory; their
// sums meet in shared memory, where each window adds up its own. Bound: memory, the image once.
#ifndef POLYOPS_GPU_POOL2D_BANDS_H_
#define POLYOPS_GPU_POOL2D_BANDS_H_

#include <cstdint>
#include <type_traits>

#include "average.h"
#include "axis.h"
#include "division.h"
#include "gpu.h"
#include "layout.h"
#include "tap.h"

namespace polyops::gpu {
namespace {

constexpr int kBandRows = 5;            // whose loads are in flight at once
constexpr int kMostBandWide = 8 << 10;  // columns, whose sums find room

struct Bands {
  uint32_t count;
  int of_block;
  bool twos;                       // rows are read two by two, as one that is whole packs
  Division groups, rows, columns;  // of their columns; bands of a plane; windows of a band

  int sums() const { return of_block * static_cast<int>(groups.divisor); }
};

// Of a few rows, of which each is there, or of which as many are.
template <bool kWhole, class T, int kWide>
GPU_DEVICE void sum_few_rows(const T* line, int rows, int pitch, float (&sums)[kWide]) {
  Tap<T, kWide> taps[kBandRows];
#pragma unroll
  for (int r = 0; r < kBandRows; ++r) {
    if constexpr (!kWhole) taps[r].fill(0);
    if (kWhole || r < rows) taps[r].load(line + r * pitch);
  }
#pragma unroll
  for (int r = 0; r < kBandRows; ++r) {
    float x[kWide];
    taps[r].get(x);
#pragma unroll
    for (int j = 0; j < kWide; ++j) sums[j] += x[j];
  }
}

template <class T, int kWide>
GPU_DEVICE void sum_band(const T* line, int rows, int pitch, float (&sums)[kWide]) {
#pragma unroll 1
  for (; rows >= kBandRows; rows -= kBandRows, line += kBandRows * pitch) {
    sum_few_rows<true>(line, rows, pitch, sums);
  }
  if (rows > 0) sum_few_rows<false>(line, rows, pitch, sums);
}

template <class T, int kWide, class AnyAxis>
GPU_KERNEL(kPoolThreads, kWide == 8 ? 5 : 6)
pool2d_bands(Average<T> op, Bands b, AnyAxis high, AnyAxis wide) {
  await_earlier();
  GPU_DYNAMIC_SHARED(float, shared);  // [column of a group][band][group]
  const auto first = static_cast<uint32_t>(block_id()) * b.of_block;
  const uint32_t left_over = b.count - first, all = static_cast<uint32_t>(b.of_block);
  const uint32_t bands = left_over < all ? left_over : all;
  const uint32_t apart = all * b.groups.divisor;
  for (uint32_t item = thread_id(); item < bands * b.groups.divisor; item += kPoolThreads) {
    uint32_t rest = item;
    const uint32_t group = take_remainder(b.groups, &rest);
    uint32_t image = first + rest;
    const int row = static_cast<int>(take_remainder(b.rows, &image));
    const int top = high.first_inside(row), bottom = high.taps_end(row);
    float sums[kWide] = {};
    const int pitch = wide.in << b.twos, rows = (bottom - top) >> b.twos;
    sum_band<T, kWide>(op.src + int64_t{image} * op.src_image + top * wide.in + group * kWide, rows,
                       pitch, sums);
#pragma unroll
    for (int j = 0; j < kWide; ++j) shared[j * apart + item] = sums[j];
  }
  barrier();
  for (uint32_t item = thread_id(); item < bands * b.columns.divisor; item += kPoolThreads) {
    uint32_t band = item;
    const int column = static_cast<int>(take_remainder(b.columns, &band));
    uint32_t image = first + band;
    const int row = static_cast<int>(take_remainder(b.rows, &image));
    const int left = wide.first_inside(column), right = wide.taps_end(column);
    AveragePool<1> pool;
    for (int r = 0; r <= b.twos; ++r) {
      for (int w = left + r * wide.in; w < right + r * wide.in; ++w) {
        pool.sum[0] += shared[w % kWide * apart + band * b.groups.divisor + w / kWide];
      }
    }
    op.store(pool, int64_t{first + band} * wide.out + column, 0, op.of_column(column, wide), row,
             high);
  }
}

// Not of windows that other kernels are made for. Those that differ share a row at most.
inline bool has_bands(const Images& images, const AdaptiveAxis& high, const AdaptiveAxis& wide) {
  return images.channels == 1 && high.out <= high.in && wide.in <= kMostBandWide;
}
inline bool has_bands(const Images& images, const Axis& high, const Axis& wide) {
  return images.channels == 1 && high.size > 2 && wide.size > 2 &&
         static_cast<int>(high.stride.divisor) >= high.size && wide.in <= kMostBandWide;
}

template <class T, int kWide, class AnyAxis>
int launch_bands_of(const Average<T>& op, const Images& images, const AnyAxis& high,
                    const AnyAxis& wide, const polyops_context* ctx, bool twos = false) {
  const int groups = (wide.in << twos) / kWide;
  Bands b;
  b.twos = twos;
  b.count = static_cast<uint32_t>(images.count * high.out);
  b.of_block = groups < kPoolThreads ? kPoolThreads / groups : 1;
  b.groups = Division(static_cast<uint32_t>(groups));
  b.rows = Division(static_cast<uint32_t>(high.out));
  b.columns = Division(static_cast<uint32_t>(wide.out));
  const int64_t blocks = (int64_t{b.count} + b.of_block - 1) / b.of_block;
  const size_t bytes = sizeof(float) * kWide * static_cast<size_t>(b.sums());
  return gpu::launch(pool2d_bands<T, kWide, AnyAxis>, {blocks, kPoolThreads, bytes}, ctx, op, b,
                     high, wide);
}

// Whether rows of 16 bits, two by two, are packs where one is none.
inline bool goes_by_twos(const Axis& high, const Axis& wide) {
  return wide.in % 8 == 4 && 2 * wide.in <= kMostBandWide && high.size % 2 == 0 &&
         high.padding == 0 && static_cast<int>(high.stride.divisor) == high.size &&
         high.out * high.size == high.in;
}

template <class T, class AnyAxis>
int launch_bands(const Average<T>& op, const Images& images, const AnyAxis& high,
                 const AnyAxis& wide, const polyops_context* ctx) {
  const bool aligned = reinterpret_cast<uintptr_t>(op.src) % 16 == 0;
  if constexpr (kPack<T> == 8 && std::is_same_v<AnyAxis, Axis>) {
    if (aligned && goes_by_twos(high, wide)) {
      return launch_bands_of<T, 8>(op, images, high, wide, ctx, true);
    }
  }
  if (aligned && wide.in % 4 == 0) return launch_bands_of<T, 4>(op, images, high, wide, ctx);
  if (aligned && wide.in % 2 == 0) return launch_bands_of<T, 2>(op, images, high, wide, ctx);
  return launch_bands_of<T, 1>(op, images, high, wide, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_BANDS_H_
