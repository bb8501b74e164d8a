// Small windows of contiguous planes that share a plane out: a block has some planes in shared
// memory, each thread a window. Of 16 bits it goes through the upper and the lower half of its rows
// at once; a window with a NaN is looked through again, element by element. Bound: memory, the
// image once.
#ifndef POLYOPS_GPU_MAX_POOL_STAGED_H_
#define POLYOPS_GPU_MAX_POOL_STAGED_H_

#include <cstdint>
#include <type_traits>

#include "division.h"
#include "gpu.h"
#include "pool2d/axis.h"
#include "pool2d/largest.h"
#include "pool2d/layout.h"
#include "span.h"
#include "two_largest.h"
#include "volume.h"

namespace polyops::gpu {
namespace {

constexpr int kStagedThreads = 128;
constexpr int kStagedTaps = 4;               // of a row, at once
constexpr int64_t kStagedBytes = 20 * 1024;  // of planes: ten blocks find room, eleven of 19.6 KB
constexpr int kStagedAtOnce = 11;
constexpr int64_t kStagedWindows = 256;    // of a block, if planes have fewer
constexpr int64_t kLeastStaged = 2;        // planes per multiprocessor
constexpr int64_t kLeastStagedBlocks = 8;  // per multiprocessor, if there is as much to do

struct StagedPlanes {
  int of_block, all;
  Division windows;  // of a plane
};

template <class T>
GPU_DEVICE LargestPool<1> largest_of_window(const T* its, const Range& high, const Range& wide,
                                            int pitch) {
  LargestPool<1> pool;
#pragma unroll 1
  for (int h = high.begin; h < high.end; ++h) {
    int place = h * pitch + wide.begin;
    const int end = place + wide.count();
#pragma unroll 1
    for (; place + kStagedTaps <= end; place += kStagedTaps) {
#pragma unroll
      for (int k = 0; k < kStagedTaps; ++k) pool.take(0, widen((its + place)[k]), place + k);
    }
#pragma unroll 1
    for (; place < end; ++place) pool.take(0, widen(its[place]), place);
  }
  return pool;
}

// Its place, of elements of 16 bits; -1 if there is a NaN. Of rows that are odd in number the lower
// half has its last one twice.
template <class T>
GPU_DEVICE int place_in_window(const T* its, const Range& high, const Range& wide, int pitch) {
  const int rows = high.count(), half = (rows + 1) / 2, lower = half < rows ? half : 0;
  const int first = high.begin * pitch + wide.begin;
  const T *upper_row = its + first, *lower_row = upper_row + lower * pitch;
  uint32_t row_at =
      static_cast<uint32_t>(first) * kEach + (static_cast<uint32_t>(lower * pitch) << 16);
  constexpr uint32_t kLowest = std::is_same_v<T, bf16> ? 0xff80 : 0xfc00;
  TwoLargest<T> all = {kLowest * kEach, row_at};
#pragma unroll 1
  for (int next = half + 1; next <= 2 * half; ++next) {
    const T *a = upper_row, *b = lower_row;
    uint32_t at = row_at;
    int left = wide.count();
#pragma unroll 1
    for (; left >= kStagedTaps; left -= kStagedTaps, at += kStagedTaps * kEach) {
      uint32_t x[kStagedTaps];
#pragma unroll
      for (int k = 0; k < kStagedTaps; ++k) x[k] = two_at(a + k, b + k);
      TwoLargest<T> some = {x[0], 0};
#pragma unroll
      for (int k = 1; k < kStagedTaps; ++k) some.take(x[k], k * kEach);
      all.take(some.value, some.beyond + at);
      a += kStagedTaps, b += kStagedTaps;
    }
#pragma unroll 1
    for (; left > 0; --left, at += kEach) all.take(two_at(a++, b++), at);
    const int step = next < rows ? pitch : 0;
    upper_row += pitch, lower_row += step;
    row_at += static_cast<uint32_t>(pitch) + (static_cast<uint32_t>(step) << 16);
  }
  if (all.nans() != 0) return -1;
  const uint32_t larger = larger2<T>(all.value >> 16, all.value);
  return static_cast<int>((larger & 1) != 0 ? all.beyond >> 16 : all.beyond & 0xffff);
}

template <class T>
GPU_KERNEL(kStagedThreads, kStagedAtOnce)
plane_windows(Largest<T> op, StagedPlanes s, Axes<AdaptiveAxis> axes) {
  await_earlier();
  GPU_DYNAMIC_SHARED(T, memory);
  const int64_t first = block_id() * s.of_block;
  const int64_t rest = s.all - first;
  const int planes = rest < s.of_block ? static_cast<int>(rest) : s.of_block;
  const int plane = axes.high.in * axes.wide.in;
  const T* const src = op.src + first * op.src_image;
  fetch_run(src, planes * plane, memory, kStagedThreads);
  close_copies();
  wait_copies<0>();
  barrier();
  const T* const tile = memory + misplaced(src);
  const int windows = planes * static_cast<int>(s.windows.divisor);
  for (int i = thread_id(); i < windows; i += kStagedThreads) {
    auto image = static_cast<uint32_t>(i);
    uint32_t row = take_remainder(s.windows, &image);
    const auto column = static_cast<int>(take_remainder(axes.columns, &row));
    const Range high = taps_of(axes.high, static_cast<int>(row));
    const Range wide = taps_of(axes.wide, column);
    const T* const its = tile + static_cast<int>(image) * plane;
    const int64_t result = first * op.dst_image + i;
    if constexpr (sizeof(T) == 2) {
      const int place = place_in_window(its, high, wide, axes.wide.in);
      if (place >= 0) {
        op.dst[result] = its[place];
        op.indices[result] = place;
        continue;
      }
    }
    op.put(largest_of_window(its, high, wide, axes.wide.in), result,
           axes.place(0, high.begin, wide.begin));
  }
}

// Whether it was launched, and what that returned: of planes that find room.
template <class T>
bool launch_staged(const Largest<T>& op, const Images& images, const Axes<AdaptiveAxis>& axes,
                   const polyops_context* ctx, int* status) {
  const int64_t plane = int64_t{axes.high.in} * axes.wide.in * static_cast<int64_t>(sizeof(T));
  const int64_t windows = int64_t{axes.high.out} * axes.wide.out;
  if (axes.deep.in != 1 || axes.deep.out != 1 || plane > kStagedBytes ||
      images.count < kLeastStaged * multiprocessors(ctx)) {
    return false;
  }
  const auto least = [](int64_t a, int64_t b) { return a < b ? a : b; };
  const int64_t enough = kLeastStagedBlocks * multiprocessors(ctx);
  int64_t planes = least(kStagedBytes / plane, divide_up(images.count, enough));
  planes = least(planes, windows < kStagedWindows ? kStagedWindows / windows : 1);
  StagedPlanes s;
  s.of_block = static_cast<int>(planes);
  s.all = static_cast<int>(images.count);
  s.windows = Division(static_cast<uint32_t>(windows));
  *status = gpu::launch(
      plane_windows<T>,
      {divide_up(images.count, planes), kStagedThreads, static_cast<size_t>(planes * plane + 32)},
      ctx, op, s, axes);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_MAX_POOL_STAGED_H_
