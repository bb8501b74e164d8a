// Which results of a row a thread has, and how they leave. Where rows of dst begin anywhere, they
// wait in shared memory until they are some, and leave together, as one run of each plane, 16 bytes
// per access. (Written one by one they are parts of sectors.)
#ifndef POLYOPS_GPU_UPSAMPLE_RESULTS_H_
#define POLYOPS_GPU_UPSAMPLE_RESULTS_H_

#include <cstdint>

#include "gpu.h"
#include "span.h"
#include "tile_parts.h"

namespace polyops::gpu {
namespace {

// kCount results side by side.
template <class T, int kCount>
struct PackResults {
  static constexpr int kWide = kCount, kMostTaps = 4;  // of three blocks, by registers
  static constexpr bool kRuns = false;

  GPU_DEVICE static int column(int lane, int, int j) { return lane * kWide + j; }
  // Of a row of dst that has `width` columns from there on.
  GPU_DEVICE static void store(T* row, int width, int lane, int, const float (&x)[kWide]) {
    if (lane * kWide < width) store_side_by_side(row + lane * kWide, x);
  }
};

// Results as far from each other as there are lanes.
template <class T>
struct SingleResults {
  static constexpr int kWide = 3, kMostTaps = 2;
  static constexpr bool kRuns = true;

  GPU_DEVICE static int column(int lane, int lanes, int j) { return lane + j * lanes; }
  GPU_DEVICE static void store(T* row, int width, int lane, int lanes, const float (&x)[kWide]) {
    row += lane;
#pragma unroll
    for (int j = 0; j < kWide; ++j, row += lanes) {
      if (lane + j * lanes < width) *row = narrow<T>(x[j]);
    }
  }
};

constexpr int64_t kRunBytes = 12 << 10;
constexpr int kMostRunRows = 8;

// Of a block that has whole rows, in tiles.planes planes; else, and where too few would wait, none.
template <class T>
void plan_runs(int width, Tiles* tiles) {
  tiles->run_rows = 0;
  if (tiles->across > 1) return;
  const int64_t rows = kRunBytes / (int64_t{tiles->planes} * width * int64_t{sizeof(T)});
  if (rows < 2) return;
  tiles->run_rows = static_cast<int>(rows < kMostRunRows ? rows : kMostRunRows);
  tiles->run_pitch = (tiles->run_rows * width / kPack<T> + 2) * kPack<T>;
}

template <class T>
class RunRows {
 public:
  // out: where the first row of this thread's plane goes.
  GPU_DEVICE RunRows(const Tiles& tiles, T* memory, int plane, T* out, int width)
      : memory_(memory + plane * tiles.run_pitch),
        out_(out),
        row_(memory_ + misplaced(out)),
        width_(width) {}

  GPU_DEVICE T* row() const { return row_; }
  GPU_DEVICE bool any() const { return held_ > 0; }

  // By all threads, each with or without a part of the row; stores those that wait if they are so
  // many.
  GPU_DEVICE void next(int rows, int lane, int lanes, bool writes) {
    row_ += width_;
    if (++held_ == rows) store(lane, lanes, writes);
  }
  GPU_DEVICE void store(int lane, int lanes, bool writes) {
    barrier();
    if (writes) store_run(out_, held_ * width_, memory_, lanes, lane);
    barrier();
    out_ += held_ * width_;
    row_ = memory_ + misplaced(out_);
    held_ = 0;
  }

 private:
  T* memory_;
  T* out_;
  T* row_;
  int width_, held_ = 0;
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_UPSAMPLE_RESULTS_H_
