// How pixel_tiles.h cuts a convolution: for the caches and among threads.
#ifndef POLYOPS_CPU_CONVOLUTION_PIXEL_TILES_PLAN_H_
#define POLYOPS_CPU_CONVOLUTION_PIXEL_TILES_PLAN_H_

#include <cstdint>

#include "convolution/padded.h"
#include "convolution/shape.h"
#include "gemm/amx_pack.h"
#include "rows.h"

#if defined(POLYOPS_ISA_AVX512)

namespace polyops::cpu {
namespace {

// Of a unit's padded copies, beside a panel of weights in L2.
constexpr int64_t kPixelTilesElements = 327680;
// Positions whose results are kept before they go to dst.
constexpr int64_t kPositions = 512;

// Units are (items, group, band of rows, part of the filters).
struct PixelTilesPlan {
  Shape shape;
  int64_t steps;  // of 32 along k
  int64_t pitch;  // of a position
  int64_t items, rows, bands, filter_parts;
  Padded padded;            // of a band
  int64_t copy_elements;    // of one item
  int64_t copies_elements;  // of a unit's

  int64_t item_parts() const { return ceil_div(shape.batch, items); }
  int64_t panels() const { return ceil_div(shape.filters, kPanel); }
  int64_t units() const { return item_parts() * shape.groups * bands * filter_parts; }
  // unpad() reads whole vectors, behind the last of the results, too.
  int64_t thread_elements() const { return copies_elements + kPositions * kPanel + kOverread; }
};

// Rows of a power of two of bytes would share few sets of the L1 cache.
inline int64_t pitch_of(int64_t channels) { return channels < 128 ? channels : channels + 32; }

inline int64_t copy_elements_of(const Shape& shape, int64_t rows) {
  return padded_of(shape, 0, rows).size() * pitch_of(shape.channels);
}

// Cycles of one unit: the copy, 64 for each step of 32 x 32 results, and the panels from L3.
inline double unit_cycles(const Shape& shape, const PixelTilesPlan& plan) {
  const Padded padded = padded_of(shape, 0, plan.rows);
  const int64_t panels = ceil_div(plan.panels(), plan.filter_parts);
  const double copy = 0.5 * static_cast<double>(padded.size() * plan.pitch);
  const double products = 64.0 * ceil_div(padded.positions(), 32) * panels * plan.steps;
  return plan.items * (copy + products) + 100.0 * panels * plan.steps;
}

inline void cut_for_pixel_tiles(PixelTilesPlan& plan, int64_t threads) {
  const Shape& shape = plan.shape;
  const int64_t height = shape.side[1].out, images = shape.batch * shape.groups;
  int64_t least = 1;
  while (least < height && copy_elements_of(shape, ceil_div(height, least)) > kPixelTilesElements) {
    ++least;
  }
  double best = 0;
  PixelTilesPlan next = plan;
  for (int64_t count = least; count <= min_of(height, max_of(least, 2 * threads)); ++count) {
    const Bands bands(height, ceil_div(height, count));
    next.rows = bands.rows;
    next.bands = bands.count;
    next.items = 1;
    if (bands.count == 1) {
      const int64_t fit = kPixelTilesElements / copy_elements_of(shape, bands.rows);
      next.items = max_of(1, min_of(fit, ceil_div(images, threads) / shape.groups));
      next.items = ceil_div(shape.batch, ceil_div(shape.batch, next.items));
    }
    next.filter_parts = 1;
    next.filter_parts = max_of(1, min_of(plan.panels(), threads / next.units()));
    const double cycles =
        static_cast<double>(ceil_div(next.units(), threads)) * unit_cycles(shape, next);
    if (best != 0 && cycles >= best) continue;
    best = cycles;
    plan = next;
  }
}

inline PixelTilesPlan pixel_tiles_plan(const Shape& shape, int64_t threads) {
  PixelTilesPlan plan = {};
  plan.shape = shape;
  plan.steps = shape.channels / kTileDepth * shape.taps();
  plan.pitch = pitch_of(shape.channels);
  cut_for_pixel_tiles(plan, threads);
  plan.padded = padded_of(shape, 0, plan.rows);
  plan.copy_elements = copy_elements_of(shape, plan.rows);
  // The last tile of positions reads past the last position.
  plan.copies_elements = rounded_up(plan.items * plan.copy_elements + 32 * plan.pitch);
  return plan;
}

// What the tiles of positions are shifted by, step by step.
inline void list_steps(const PixelTilesPlan& plan, int32_t* shifts) {
  for (int64_t c = 0; c < plan.shape.channels; c += kTileDepth) {
    for_each_tap(plan.shape, [&](int64_t t0, int64_t t1, int64_t t2) {
      *shifts++ = static_cast<int32_t>(plan.padded.shift(t0, t1, t2) * plan.pitch + c);
    });
  }
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_ISA_AVX512
#endif  // POLYOPS_CPU_CONVOLUTION_PIXEL_TILES_PLAN_H_
