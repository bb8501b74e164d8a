// Small windows of contiguous planes that share a plane out: a block has some planes in shared
// memory, each thread a window. Bound: memory, the image once.
#ifndef POLYOPS_GPU_MAX_POOL_STAGED_H_
#define POLYOPS_GPU_MAX_POOL_STAGED_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "pool2d/axis.h"
#include "pool2d/largest.h"
#include "pool2d/layout.h"
#include "span.h"
#include "volume.h"

namespace polyops::gpu {
namespace {

constexpr int kStagedThreads = 128;
constexpr int kStagedTaps = 4;               // of a row, at once
constexpr int64_t kStagedBytes = 20 * 1024;  // of planes: eleven blocks find room
constexpr int64_t kStagedWindows = 256;      // of a block, if planes have fewer
constexpr int64_t kLeastStaged = 2;          // planes per multiprocessor
constexpr int64_t kLeastStagedBlocks = 8;    // per multiprocessor, if there is as much to do

struct StagedPlanes {
  int of_block, all;
  Division windows;  // of a plane
};

template <class T>
GPU_KERNEL(kStagedThreads)
plane_windows(Largest<T> op, StagedPlanes s, Axes<AdaptiveAxis> axes) {
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
    LargestPool<1> pool;
#pragma unroll 1
    for (int h = high.begin; h < high.end; ++h) {
      int place = h * axes.wide.in + wide.begin;
      const int end = place + wide.count();
#pragma unroll 1
      for (; place + kStagedTaps <= end; place += kStagedTaps) {
#pragma unroll
        for (int k = 0; k < kStagedTaps; ++k) pool.take(0, widen((its + place)[k]), place + k);
      }
#pragma unroll 1
      for (; place < end; ++place) pool.take(0, widen(its[place]), place);
    }
    op.put(pool, first * op.dst_image + i, axes.place(0, high.begin, wide.begin));
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
