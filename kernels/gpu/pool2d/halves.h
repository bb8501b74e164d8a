// Averages of windows of 3 by 3 at stride 2 that halve rows of whole packs of 16 bits: a thread has
// a pack of a few rows, half as many results of each, straight from memory; all its loads are
// issued before the first is used. Bound: memory, both planes once: neighbours find what they share
// in L1.
#ifndef POLYOPS_GPU_POOL2D_HALVES_H_
#define POLYOPS_GPU_POOL2D_HALVES_H_

#include <cstdint>

#include "average.h"
#include "axis.h"
#include "forward.h"
#include "gpu.h"
#include "layout.h"
#include "tap.h"

namespace polyops::gpu {
namespace {

constexpr int kHalvesRows = 4;  // of results

template <class T>
GPU_KERNEL(kPoolThreads, 3)
pool2d_halves(Average<T> op, Grid grid, Axis high, Axis wide) {
  await_earlier();
  constexpr int kWide = kPack<T>, kResults = kWide / 2, kTaps = 2 * kHalvesRows + 1;
  const Place at(grid, high.out);
  if (!at.inside) return;
  const int first = high.start(at.begin), left = at.column > 0 ? 1 : 0;
  const T* const image = op.src + at.image * op.src_image + at.column * kWide;
  Tap<T, kWide> taps[kTaps];
  Tap<T, 1> before[kTaps];  // the element before the pack
#pragma unroll
  for (int r = 0; r < kTaps; ++r) {
    const int least = first + r > 0 ? first + r : 0;  // where there is no such row, another
    const T* const p = image + (least < high.in ? least : high.in - 1) * wide.in;
    taps[r].load(p);
    before[r].load(p - left);
  }
  float by[kResults], sums[kTaps][kResults];
#pragma unroll
  for (int j = 0; j < kResults; ++j) by[j] = op.of_column(at.column * kResults + j, wide);
#pragma unroll
  for (int r = 0; r < kTaps; ++r) {
    float x[kWide], side[1];
    taps[r].get(x);
    before[r].get(side);
    if (left == 0) side[0] = 0;
    const bool there = static_cast<unsigned>(first + r) < static_cast<unsigned>(high.in);
#pragma unroll
    for (int j = 0; j < kResults; ++j) {
      sums[r][j] = (j == 0 ? side[0] : x[2 * j - 1]) + x[2 * j] + x[2 * j + 1];
      if (!there) sums[r][j] = 0;
    }
  }
  T* const out = op.dst + at.image * op.dst_image + at.begin * wide.out + at.column * kResults;
#pragma unroll
  for (int row = 0; row < kHalvesRows; ++row) {
    if (at.begin + row >= at.end) break;
    const float of_row = high.weight(at.begin + row);
    float x[kResults];
#pragma unroll
    for (int j = 0; j < kResults; ++j) {
      x[j] = (sums[2 * row][j] + sums[2 * row + 1][j] + sums[2 * row + 2][j]) * (by[j] * of_row);
    }
    Tap<T, kResults>::store(out + row * wide.out, x);
  }
}

// Whether it was launched, and what that returned.
template <class T>
bool launch_halves(const Average<T>& op, const polyops_pool2d_window& window, const Images& images,
                   const Axis& high, const Axis& wide, const polyops_context* ctx, int* status) {
  const auto is_aligned = [](const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; };
  if constexpr (sizeof(T) == 2) {
    if (images.channels == 1 && is_square(window, 3, 2) && wide.padding == 1 &&
        wide.in % kPack<T> == 0 && wide.out == wide.in / 2 && is_aligned(op.src) &&
        is_aligned(op.dst)) {
      const Grid grid = make_grid(images, 1, wide.in / kPack<T>, high.out, kHalvesRows);
      *status = gpu::launch(pool2d_halves<T>, grid.shape(), ctx, op, grid, high, wide);
      return true;
    }
  }
  return false;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_HALVES_H_
