// The gradient of largest elements of large windows: the image's is cleared, and then a thread per
// window writes what its element gets, for all windows that have the same one if it is the first of
// them. So nobody adds to what another one writes. Bound: memory, the image's gradient once.
#ifndef POLYOPS_GPU_MAX_POOL_SPARSE_H_
#define POLYOPS_GPU_MAX_POOL_SPARSE_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "pool2d/largest.h"
#include "pool2d/layout.h"
#include "span.h"
#include "volume.h"

namespace polyops::gpu {
namespace {

constexpr int kClearPacks = 4;
// Elements to a window, from which on the two launches are worth it.
constexpr int64_t kSparse = 32;

template <class T>
GPU_KERNEL(kPoolThreads)
volume_clear(T* first, int64_t count) {
  await_earlier();
  constexpr float kZeros[kClearPacks][kPack<T>] = {};
  const int64_t pack = block_id() * kClearPacks * kPoolThreads + thread_id();
  store_packs<kClearPacks>(Span<T>(first, count), pack, kPoolThreads, kZeros);
}

// What divides a place into frame, row and column.
struct Places {
  Division wide, high;
  uint32_t count;
};

// What the element at `place` gets from those of its windows that have it, if `mine` is the first
// of these; index_of(window), grad_of(window).
template <class IndexOf, class GradOf>
GPU_DEVICE bool sum_of_first(const Range& deep, const Range& high, const Range& wide,
                             const Axes<AdaptiveAxis>& axes, int mine, int place, IndexOf index_of,
                             GradOf grad_of, float* sum) {
  bool first = true, reaches = false;
  *sum = 0;
  for (int d = deep.begin; d < deep.end; ++d) {
    for (int r = high.begin; r < high.end; ++r) {
#pragma unroll 1
      for (int c = wide.begin; c < wide.end; ++c) {
        const int other = axes.result(d, r, c);
        if (index_of(other) != place) continue;
        if (other < mine) first = false;
        if (other == mine) reaches = true;
        *sum += grad_of(other);
      }
    }
  }
  return first && reaches;
}

template <class T>
GPU_KERNEL(kPoolThreads)
volume_sparse(LargestGradient<T> op, Grid grid, int channels, Places places,
              Axes<AdaptiveAxis> axes) {
  await_earlier();
  const PlaceInVolume at(grid, axes.frames, axes.high.out);
  if (!at.inside) return;
  const int64_t image = at.image * op.dst_image + at.group;
  const int mine = axes.result(at.plane, at.begin, at.column);
  int place[1];
  load_indices(op.indices + image + int64_t{mine} * channels, place);
  auto rest = static_cast<uint32_t>(place[0]);
  if (rest >= places.count) return;
  const auto column = static_cast<int>(take_remainder(places.wide, &rest));
  const auto row = static_cast<int>(take_remainder(places.high, &rest));
  const auto frame = static_cast<int>(rest);
  const Range deep = windows_of(axes.deep, frame, frame), high = windows_of(axes.high, row, row);
  const Range wide = windows_of(axes.wide, column, column);
  float sum;
  const auto index_of = [&](int other) {
    int its[1];
    load_indices(op.indices + image + int64_t{other} * channels, its);
    return its[0];
  };
  const auto grad_of = [&](int other) {
    return widen(op.grad_dst[image + int64_t{other} * channels]);
  };
  if (!sum_of_first(deep, high, wide, axes, mine, place[0], index_of, grad_of, &sum)) return;
  op.grad_src[at.image * op.src_image + int64_t{place[0]} * channels + at.group] = narrow<T>(sum);
}

// Whether there are so many elements to a window.
inline bool has_times(const Axes<AdaptiveAxis>& axes, int64_t times) {
  const auto volume = [](int64_t d, int64_t h, int64_t w) { return d * h * w; };
  return volume(axes.deep.in, axes.high.in, axes.wide.in) >=
         times * volume(axes.deep.out, axes.high.out, axes.wide.out);
}
inline bool is_sparse(const Axes<AdaptiveAxis>& axes) { return has_times(axes, kSparse); }

template <class T>
int launch_sparse(const LargestGradient<T>& op, const Images& images,
                  const Axes<AdaptiveAxis>& axes, const polyops_context* ctx) {
  const int64_t count = images.count * op.src_image;
  constexpr int64_t kOfBlock = kPoolThreads * kClearPacks * kPack<T>;
  const int64_t blocks = (count + kPack<T> + kOfBlock - 1) / kOfBlock;  // one more: the first's gap
  const int status = gpu::launch(volume_clear<T>, {blocks, kPoolThreads}, ctx, op.grad_src, count);
  if (status != POLYOPS_OK) return status;
  const Grid grid = make_grid({images.count * axes.deep.out, images.channels}, 1, axes.wide.out,
                              axes.high.out, 1);
  const Places places = {Division(static_cast<uint32_t>(axes.wide.in)),
                         Division(static_cast<uint32_t>(axes.high.in)),
                         static_cast<uint32_t>(axes.deep.in) * static_cast<uint32_t>(axes.high.in) *
                             static_cast<uint32_t>(axes.wide.in)};
  return gpu::launch(volume_sparse<T>, grid.shape(), ctx, op, grid, images.channels, places, axes);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_MAX_POOL_SPARSE_H_
