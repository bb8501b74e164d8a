// The usual windows of three dimensions at stride 2, of float32 in contiguous volumes whose rows
// are whole packs: as planes.h, but a thread has two results side by side, whose row of taps is a
// pack and the element before it, and loads all that the next frames have before it looks at any.
// So three times as much is on its way to a multiprocessor. Bound: memory, the image once and its
// results.
#ifndef POLYOPS_GPU_MAX_POOL_PAIRS_H_
#define POLYOPS_GPU_MAX_POOL_PAIRS_H_

#include <cstdint>

#include "gpu.h"
#include "pool2d/largest.h"
#include "pool2d/layout.h"
#include "volume.h"
#include "windows.h"

namespace polyops::gpu {
namespace {

// What the two results of a pair have of a row: their first taps are beside each other by two.
struct PairRow {
  Words pack;
  float before;

  GPU_DEVICE void load(const float* row, int left) {
    pack = load_words(row);
    before = row[left];
  }
  GPU_DEVICE float at(int i) const { return i == 0 ? before : float_of_bits(pack.w[i - 1]); }
};

template <class C>
GPU_KERNEL(kPoolThreads, 4)
volume_pairs(Largest<float> op, Grid grid, Division pairs, Axes<Axis> axes) {
  await_earlier();
  constexpr int kSize = C::kSize, kNew = C::kDeepStride, kKept = C::kDeepSize - kNew;
  const Place at(grid, axes.deep.out);
  if (!at.inside) return;
  auto row = static_cast<uint32_t>(at.column);
  const int column = static_cast<int>(take_remainder(pairs, &row)) * 4;
  const int top = axes.high.start(static_cast<int>(row)), left = column == 0 ? 0 : -1;
  int rows[kSize];  // where they begin in a frame
#pragma unroll
  for (int r = 0; r < kSize; ++r) rows[r] = nearest(top + r, axes.high.in) * axes.wide.in + column;
  const auto image = static_cast<uint32_t>(at.image * op.src_image);
  const int frame = axes.high.in * axes.wide.in;
  const auto load = [&](int d, PairRow(&taps)[kSize]) {
    const int first = nearest(d, axes.deep.in) * frame;
#pragma unroll
    for (int r = 0; r < kSize; ++r) {
      taps[r].load(op.src + (image + static_cast<uint32_t>(first + rows[r])), left);
    }
  };
  const auto look_at = [&](int d, const PairRow(&taps)[kSize], LargestPool<2>* pool) {
    const int first = nearest(d, axes.deep.in) * frame;
#pragma unroll
    for (int r = 0; r < kSize; ++r) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
#pragma unroll
        for (int c = 0; c < kSize; ++c) {
          const int i = 2 * j + c, place = first + rows[r] + (i == 0 ? left : i - 1);
          if (r == 0 && c == 0) {
            pool->value[j] = taps[r].at(i);
            pool->at[j] = place;
          } else {
            pool->take(j, taps[r].at(i), place);
          }
        }
      }
    }
  };

  LargestPool<2> frames[C::kDeepSize];
  int d = axes.deep.start(at.begin);
  int64_t dst =
      at.image * op.dst_image + axes.result(at.begin, static_cast<int>(row), column / C::kStride);
#pragma unroll
  for (int k = 0; k < kKept; ++k) {
    PairRow taps[kSize];
    load(d + k, taps);
    look_at(d + k, taps, &frames[k]);
  }
#pragma unroll 1
  for (int z = at.begin; z < at.end; ++z, d += kNew) {
    PairRow taps[kNew][kSize];
#pragma unroll
    for (int k = 0; k < kNew; ++k) load(d + kKept + k, taps[k]);
#pragma unroll
    for (int k = 0; k < kNew; ++k) look_at(d + kKept + k, taps[k], &frames[kKept + k]);
    LargestPool<2> pool = frames[0];
#pragma unroll
    for (int k = 1; k < C::kDeepSize; ++k) pool.merge(frames[k]);
    op.put_found(pool, dst);
    dst += axes.high.out * axes.wide.out;
#pragma unroll
    for (int k = 0; k < kKept; ++k) frames[k] = frames[k + kNew];
  }
}

// Whether it was launched, and what that returned.
template <class C>
bool launch_pairs(const Largest<float>& op, const Images& images, const Axes<Axis>& axes,
                  const polyops_context* ctx, int* status) {
  static_assert(C::kSize == 3 && C::kStride == 2 && C::kDeepSize > C::kDeepStride);
  const bool aligned = all_aligned(op.src, op.dst) && all_aligned(op.indices, nullptr);
  if (!aligned || axes.wide.padding != 1 || axes.wide.in != 2 * axes.wide.out ||
      axes.wide.in % 4 != 0) {
    return false;
  }
  const int pairs = axes.wide.out / 2;
  const Grid grid = make_grid(ctx, images, 1, int64_t{pairs} * axes.high.out, axes.deep.out, 1,
                              C::kDeepSize - C::kDeepStride);
  *status = gpu::launch(volume_pairs<C>, grid.shape(), ctx, op, grid,
                        Division(static_cast<uint32_t>(pairs)), axes);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_MAX_POOL_PAIRS_H_
