// Windows of contiguous images that are 8 elements wide and more: a team of lanes next to each
// other looks for a window's largest element, so that it reads rows as they lie; of whole images,
// runs of memory, a team as large as a block. Lanes then compare what they have found by its place.
// Past the end a lane looks at the last elements again, which changes nothing: no load is masked,
// so that all are issued before the first is used. Bound: memory, the image once.
#ifndef POLYOPS_GPU_MAX_POOL_TEAMS_H_
#define POLYOPS_GPU_MAX_POOL_TEAMS_H_

#include <cstdint>

#include "gpu.h"
#include "pool2d/largest.h"
#include "pool2d/layout.h"
#include "pool2d/tap.h"
#include "reduce.h"
#include "volume.h"

namespace polyops::gpu {
namespace {

constexpr int kLargestLoads = 4;  // of a lane, in flight at once
constexpr int64_t kWideWindow = 8;

GPU_DEVICE void join_lanes(LargestPool<1>* pool, int lanes) {
  for (int mask = lanes / 2; mask > 0; mask /= 2) {
    const float x = shuffle_xor(pool->value[0], mask);
    const float at = shuffle_xor(float_of_bits(static_cast<uint32_t>(pool->at[0])), mask);
    pool->join(0, x, static_cast<int>(float_bits(at)));
  }
}

// Elements of loads in their order.
template <class T, int kWide>
GPU_DEVICE void take_all(const Tap<T, kWide> (&taps)[kLargestLoads],
                         const int (&places)[kLargestLoads], LargestPool<1>* pool) {
#pragma unroll
  for (int k = 0; k < kLargestLoads; ++k) {
    float x[kWide];
    taps[k].get(x);
#pragma unroll
    for (int j = 0; j < kWide; ++j) pool->take(0, x[j], places[k] + j);
  }
}

// kWide: elements of a lane's load, which every window begins at a multiple of and is one long.
template <class T, int kWide>
GPU_KERNEL(kPoolThreads)
volume_teams(Largest<T> op, Grid grid, int lanes_log2, Axes<AdaptiveAxis> axes) {
  await_earlier();
  const int lanes = 1 << lanes_log2, lane = thread_id() & (lanes - 1);
  const PlaceInVolume at(grid, axes.frames, axes.high.out,
                         (block_id() * kPoolThreads + thread_id()) >> lanes_log2);
  const Range deep = taps_of(axes.deep, at.plane), high = taps_of(axes.high, at.begin);
  const Range wide = taps_of(axes.wide, at.column);
  LargestPool<1> pool;
  // A team without a window comes along for the shuffles.
  for (int w = at.inside ? wide.begin + lane * kWide : wide.end; w < wide.end; w += lanes * kWide) {
    LargestPool<1> column;  // of this lane's, in order
    const T* src = op.src + at.image * op.src_image;
    for (int d = deep.begin; d < deep.end; ++d) {
      for (int h = high.begin; h < high.end; h += kLargestLoads) {
        Tap<T, kWide> taps[kLargestLoads];
        int places[kLargestLoads];
#pragma unroll
        for (int r = 0; r < kLargestLoads; ++r) {
          places[r] = axes.place(d, h + r < high.end ? h + r : high.end - 1, w);
          taps[r].load(src + places[r]);
        }
        take_all(taps, places, &column);
      }
    }
    pool.join(0, column.value[0], column.at[0]);
  }
  join_lanes(&pool, lanes);
  if (!at.inside || lane != 0) return;
  op.put(pool, at.image * op.dst_image + axes.result(at.plane, at.begin, at.column),
         axes.place(deep.begin, high.begin, wide.begin));
}

// Images of n elements, each of which has one result.
template <class T, int kWide>
GPU_KERNEL(kPoolThreads)
volume_runs(Largest<T> op, int64_t images, int n, int lanes_log2) {
  await_earlier();
  GPU_SHARED(float, values, kMostWaves);
  GPU_SHARED(int, places, kMostWaves);
  const int lanes = 1 << lanes_log2, lane = thread_id() & (lanes - 1);
  const int64_t image = (block_id() * kPoolThreads + thread_id()) >> lanes_log2;
  const bool inside = image < images;
  const T* src = op.src + image * n;
  LargestPool<1> pool;
  for (int i = inside ? lane * kWide : n; i < n; i += kLargestLoads * lanes * kWide) {
    Tap<T, kWide> taps[kLargestLoads];
    int at[kLargestLoads];
#pragma unroll
    for (int k = 0; k < kLargestLoads; ++k) {
      at[k] = i + k * lanes * kWide < n ? i + k * lanes * kWide : n - kWide;
      taps[k].load(src + at[k]);
    }
    take_all(taps, at, &pool);
  }
  const int in_wave = lanes < wave_size() ? lanes : wave_size();
  join_lanes(&pool, in_wave);
  if (lanes > wave_size()) {
    const int wave = thread_id() / wave_size();
    if (thread_id() % wave_size() == 0) values[wave] = pool.value[0], places[wave] = pool.at[0];
    barrier();
    const int first = thread_id() / lanes * lanes / wave_size();
    for (int k = 0; k < lanes / wave_size(); ++k)
      pool.join(0, values[first + k], places[first + k]);
  }
  if (inside && lane == 0) op.put(pool, image, 0);
}

// So many lanes that each has several loads, or that the device is full.
inline int log2_of_lanes(int64_t loads, int64_t per_lane, int most) {
  int log2 = 0;
  while (log2 < most && per_lane << (log2 + 1) <= loads) ++log2;
  return log2;
}

template <class T, int kWide>
int launch_runs_of(const Largest<T>& op, int64_t images, int64_t n, const polyops_context* ctx) {
  int lanes_log2 = log2_of_lanes(n / kWide, kWide > 1 ? 16 : 4, 5);
  const int64_t full = kThreadsAtOnce * multiprocessors(ctx);
  while (1 << lanes_log2 < kPoolThreads && images << (lanes_log2 + 1) <= full &&
         int64_t{kLargestLoads} << lanes_log2 < n / kWide) {
    ++lanes_log2;
  }
  const int64_t blocks = ((images << lanes_log2) + kPoolThreads - 1) / kPoolThreads;
  return gpu::launch(volume_runs<T, kWide>, {blocks, kPoolThreads}, ctx, op, images,
                     static_cast<int>(n), lanes_log2);
}

template <class T>
int launch_runs(const Largest<T>& op, int64_t images, int64_t n, const polyops_context* ctx) {
  const bool packs = n % kPack<T> == 0 && reinterpret_cast<uintptr_t>(op.src) % 16 == 0;
  return packs ? launch_runs_of<T, kPack<T>>(op, images, n, ctx)
               : launch_runs_of<T, 1>(op, images, n, ctx);
}

template <class T, int kWide>
int launch_teams_of(const Largest<T>& op, const Images& images, const Axes<AdaptiveAxis>& axes,
                    const polyops_context* ctx) {
  const int lanes_log2 = log2_of_lanes(axes.wide.in / axes.wide.out / kWide, 1, 5);
  const Grid grid =
      make_grid({images.count * axes.deep.out, 1}, 1, axes.wide.out, axes.high.out, 1);
  return gpu::launch(volume_teams<T, kWide>, grid.shape(lanes_log2), ctx, op, grid, lanes_log2,
                     axes);
}

template <class T>
int launch_teams(const Largest<T>& op, const Images& images, const Axes<AdaptiveAxis>& axes,
                 const polyops_context* ctx) {
  const bool packs = axes.wide.in % (axes.wide.out * kPack<T>) == 0 &&
                     reinterpret_cast<uintptr_t>(op.src) % 16 == 0;
  return packs ? launch_teams_of<T, kPack<T>>(op, images, axes, ctx)
               : launch_teams_of<T, 1>(op, images, axes, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_MAX_POOL_TEAMS_H_
