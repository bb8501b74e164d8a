// Averages of windows of 3 at stride 1, and their gradients, which are the same sums, in rows of
// whole packs: a thread has a pack of a row of results and goes down, straight from memory. It sums
// a row of taps across once, for the three rows of results that have it; all loads of kPackRows
// rows are issued before the first is used. Bound: memory, both planes once: neighbours find what
// they share in L1.
#ifndef POLYOPS_GPU_POOL2D_PACKS_H_
#define POLYOPS_GPU_POOL2D_PACKS_H_

#include <cstdint>

#include "gpu.h"
#include "layout.h"
#include "slide.h"
#include "tap.h"

namespace polyops::gpu {
namespace {

constexpr int kPackRows = 4;
// As make_grid() counts: a row of taps more costs half of what a row of results does.
constexpr int kPackKept = 4;

// A pack of a row and what is beside it, 0 where there is nothing.
template <class T, int kWide>
struct PackTaps {
  Tap<T, kWide> own;
  Tap<T, 1> left, right;

  GPU_DEVICE void load(const T* p, bool there, bool has_left, bool has_right) {
    own.fill(0);
    left.fill(0);
    right.fill(0);
    if (there) own.load(p);
    if (there && has_left) left.load(p - 1);
    if (there && has_right) right.load(p + kWide);
  }
  GPU_DEVICE void get(float (&x)[kWide + 2]) const {
    float inner[kWide], side[1];
    own.get(inner);
#pragma unroll
    for (int j = 0; j < kWide; ++j) x[1 + j] = inner[j];
    left.get(side);
    x[0] = side[0];
    right.get(side);
    x[kWide + 1] = side[0];
  }
};

// x[j] + x[j + 1] + x[j + 2]: of two next to each other what both have once.
template <int kWide>
GPU_DEVICE void sum_threes(const float (&x)[kWide + 2], float (&sums)[kWide]) {
#pragma unroll
  for (int j = 0; j < kWide; j += 2) {
    const float both = x[j + 1] + x[j + 2];
    sums[j] = x[j] + both;
    sums[j + 1] = both + x[j + 3];
  }
}

template <class T, int kWide, Weights kWeights>
GPU_KERNEL(kPoolThreads, kWide == 8 ? 3 : 4)
pool2d_packs(Slide<T, 3, kWeights> work, Grid grid) {
  await_earlier();
  const Place at(grid, work.out_high);
  if (!at.inside) return;
  const int column = at.column * kWide;
  const bool has_left = column > 0, has_right = column + kWide < work.in_wide;
  int h = at.begin - work.above;
  const T* line = work.src + at.image * (int64_t{work.in_high} * work.in_wide) +
                  int64_t{h} * work.in_wide + column;
  T* out = work.dst + at.image * (int64_t{work.out_high} * work.out_wide) +
           at.begin * work.out_wide + column;
  float weights[kWeights == Weights::kOfTaps ? kWide + 2 : 1];
  if constexpr (kWeights == Weights::kOfTaps) {
#pragma unroll
    for (int j = 0; j < kWide + 2; ++j) {
      const int w = column - 1 + j;
      weights[j] = w >= 0 && w < work.in_wide ? work.share * work.wide.weight(w) : 0;
    }
  }
  float by[kWeights == Weights::kOfResults ? kWide : 1];
  if constexpr (kWeights == Weights::kOfResults) {
#pragma unroll
    for (int j = 0; j < kWide; ++j) by[j] = work.share * work.wide.weight(column + j);
  }

  PackTaps<T, kWide> taps[kPackRows];
  const auto load = [&](int r) {
    taps[r].load(line, h + r >= 0 && h + r < work.in_high, has_left, has_right);
    line += work.in_wide;
  };
  float sums[2 + kPackRows][kWide];
  const auto sum = [&](int r, float(&to)[kWide]) {
    float x[kWide + 2];
    taps[r].get(x);
    if constexpr (kWeights == Weights::kOfTaps) {
      const bool there = h + r >= 0 && h + r < work.in_high;
      const float of_row = there ? work.high.weight(h + r) : 0;
#pragma unroll
      for (int j = 0; j < kWide + 2; ++j) x[j] *= weights[j] * of_row;
    }
    sum_threes<kWide>(x, to);
  };
#pragma unroll
  for (int r = 0; r < 2; ++r) load(r);
#pragma unroll
  for (int r = 0; r < 2; ++r) sum(r, sums[r]);
  h += 2;
#pragma unroll 1
  for (int row = at.begin; row < at.end; row += kPackRows, h += kPackRows) {
#pragma unroll
    for (int r = 0; r < kPackRows; ++r) load(r);
#pragma unroll
    for (int r = 0; r < kPackRows; ++r) {
      sum(r, sums[2 + r]);
      if (row + r >= at.end) break;
      float x[kWide], of_row = work.share;
      if constexpr (kWeights == Weights::kOfResults) of_row = work.high.weight(row + r);
#pragma unroll
      for (int j = 0; j < kWide; ++j) {
        x[j] = sums[r][j] + sums[r + 1][j] + sums[r + 2][j];
        if constexpr (kWeights == Weights::kNone) x[j] *= of_row;
        if constexpr (kWeights == Weights::kOfResults) x[j] *= by[j] * of_row;
      }
      Tap<T, kWide>::store(out, x);
      out += work.out_wide;
    }
#pragma unroll
    for (int r = 0; r < 2; ++r) {
#pragma unroll
      for (int j = 0; j < kWide; ++j) sums[r][j] = sums[kPackRows + r][j];
    }
  }
}

// Whether it was launched, and what that returned.
template <class T, Weights kWeights>
bool launch_row_packs(const Slide<T, 3, kWeights>& work, const Images& images,
                      const polyops_context* ctx, int* status) {
  const auto is_aligned = [](const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; };
  if (work.before != 1 || work.in_wide != work.out_wide || work.in_wide % 4 != 0 ||
      !is_aligned(work.src) || !is_aligned(work.dst)) {
    return false;
  }
  const auto launch = [&]<int kWide>() {
    const Grid grid =
        make_grid(ctx, images, 1, work.out_wide / kWide, work.out_high, kPackRows, kPackKept);
    *status = gpu::launch(pool2d_packs<T, kWide, kWeights>, grid.shape(), ctx, work, grid);
    return true;
  };
  if (work.in_wide % kPack<T> == 0) return launch.template operator()<kPack<T>>();
  return launch.template operator()<4>();
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_PACKS_H_
