// How planes are cut into units for plane_ring.h, and channels' units are split over blocks.
#ifndef POLYOPS_GPU_CONVOLUTION_PLANE_RING_PLAN_H_
#define POLYOPS_GPU_CONVOLUTION_PLANE_RING_PLAN_H_

#include <algorithm>

#include "plane_gradients.h"
#include "shared_memory.h"

namespace polyops::gpu {
namespace {

// Units in shared memory: with a third one the blocks are fewer (bfloat16 32x144x56x56 by 3x3, with
// 2 of them 34.0 us, with 3 37.7; float32 51.0 and 57.3).
constexpr int kPlaneSlots = 2;
constexpr int kLeastPlaneThreads = 64, kMostBands = 32;
// Shorter runs are not worth an instruction each (last_ring_feed.h), and plans that promise less
// than those that were measured are left to rows in registers: few images, rows so long that few
// threads have some.
constexpr int64_t kLeastRun = 1024;
constexpr double kLeastGood = 0.45;

struct PlaneUnits {
  int32_t planes, band;   // of a unit; rows of gradients of each
  int32_t rows;           // of a strip
  int32_t each, more;     // units of a split, one more of the first so many
  int32_t grads, plane;   // elements of shared memory for gradients of a plane, and for all of it
  Division across, down;  // strips of a row, stretches of a band
  Division bands;         // of a plane
};

struct PlaneRingPlan {
  PlaneUnits units = {};
  int64_t splits = 0;  // 0: none fits
  int threads = 0;
  int64_t bytes = 0;
};

// Shared memory of a multiprocessor of an H100 or H200, which plans are made for; a launch declines
// what a device has no room for. Of a block beside its units and sums: the system's, and the desk.
constexpr int64_t kPlaneRingMemory = 228 << 10;
constexpr int64_t kPlaneDesk = 256;

// What is to be known of a plan's shape; elements are multiples of a pack.
struct PlaneRingSizes {
  int32_t height, across;               // rows of gradients, strips of each
  int64_t out, in;                      // elements of a row of gradients, and of the pixels' rows
  int32_t before, pack, element_bytes;  // before: rows beside a band
  int32_t sums, most_threads, blocks;   // so many of most_threads find registers
  int64_t batch, channels, multiprocessors;

  // Of a unit's place; what is no whole plane of packs may begin and end inside of them.
  int64_t grads(int32_t band) const { return run(band, out, before); }
  int64_t pixels(int32_t band) const { return run(band, in, 0); }
  int64_t run(int32_t band, int64_t of_row, int more) const {
    if (band == height && height * of_row % pack == 0) return height * of_row;
    return ceil_div((band == height ? height : band + more) * of_row, pack) * pack + pack;
  }
};

// Adds to a plan of given threads, planes and rows of a band what follows, and returns how good it
// is: the part of the time in which threads add up rows, less where too few bytes are under
// way or too few threads have some.
inline double complete_plane_ring(const PlaneRingSizes& z, int32_t bands, PlaneRingPlan* plan) {
  PlaneUnits& r = plan->units;
  const int64_t of_row = int64_t{r.planes} * z.across;
  const int64_t parts = std::min<int64_t>(plan->threads / of_row, r.band);
  if (parts == 0) return 0;
  r.rows = static_cast<int32_t>(ceil_div(r.band, parts));
  const int64_t grads = z.grads(r.band);
  r.grads = static_cast<int32_t>(grads);
  r.plane = static_cast<int32_t>(grads + z.pixels(r.band));
  if (std::min(grads, r.plane - grads) * z.element_bytes < kLeastRun) return 0;
  const int64_t unit = int64_t{r.planes} * r.plane * z.element_bytes;
  plan->bytes = kPlaneSlots * unit;
  const int64_t beside = kReserved + kPlaneDesk + int64_t{z.sums} * kMostWaves * 4;
  const int64_t blocks = std::min<int64_t>(z.blocks * z.most_threads / plan->threads,
                                           kPlaneRingMemory / (plan->bytes + beside));
  if (blocks == 0) return 0;
  const int64_t units = ceil_div(z.batch, r.planes) * bands;
  const int64_t at_once = std::max<int64_t>(z.multiprocessors * blocks / z.channels, 1);
  plan->splits = std::min(units, at_once);
  r.each = static_cast<int32_t>(units / plan->splits);
  r.more = static_cast<int32_t>(units % plan->splits);
  // Estimates, with which the shapes in plane_ring_gradients.h took the least of what was tried on
  // an H200: what a strip's beginning takes, in rows; bytes under way and threads of a
  // multiprocessor that are enough; what of a turn the first unit's copies take, in which nothing
  // else is done.
  constexpr double kBegin = 1.5, kUnderWay = 96 << 10, kEnough = 384, kFilling = 0.7;
  const double work = static_cast<double>(z.batch * z.height) * z.across;
  const double slots = static_cast<double>(units) * plan->threads * (r.rows + kBegin);
  // Units of a multiprocessor, if each had as many, and of one that has most blocks.
  const double of_each =
      static_cast<double>(units * z.channels) / static_cast<double>(z.multiprocessors);
  const int64_t full = ceil_div(plan->splits * z.channels, z.multiprocessors);
  const double busy = of_each / (full *
                                 (static_cast<double>(units) / plan->splits +
                                  static_cast<double>(ceil_div(units, plan->splits))) /
                                 2);
  const double turns = static_cast<double>(units) / plan->splits;
  const double filled = turns / (turns + kFilling);
  const double ahead = turns <= kPlaneSlots ? turns : kPlaneSlots - 1;
  const double under_way = ahead * static_cast<double>(unit * blocks) / kUnderWay;
  const double threads = static_cast<double>(blocks * plan->threads) / kEnough;
  const double read = z.out + z.in, halo = (bands - 1.0) / z.height * z.before * z.out / read;
  return work / slots * busy * filled * std::min(under_way, 1.0) * std::min(threads, 1.0) /
         (1 + halo);
}

inline PlaneRingPlan best_plane_ring(const PlaneRingSizes& z) {
  PlaneRingPlan best;
  double most = kLeastGood;
  const auto consider = [&](int threads, int32_t planes, int32_t band) {
    PlaneRingPlan plan;
    plan.threads = threads;
    plan.units.planes = planes;
    plan.units.band = band;
    const double good =
        complete_plane_ring(z, static_cast<int32_t>(ceil_div(z.height, band)), &plan);
    if (good > most) most = good, best = plan;
  };
  for (int threads = kLeastPlaneThreads; threads <= z.most_threads; threads += 32) {
    const auto planes = static_cast<int32_t>(std::min<int64_t>(z.batch, threads / z.across));
    for (int32_t i = 1; i <= planes; ++i) consider(threads, i, z.height);
    for (int32_t bands = 2, band = z.height; band > 1 && bands <= kMostBands; ++bands) {
      const auto rows = static_cast<int32_t>(ceil_div(z.height, bands));
      if (rows == band) continue;
      band = rows;
      consider(threads, 1, band);
    }
  }
  if (best.splits == 0) return best;
  best.units.across = Division(static_cast<uint32_t>(z.across));
  best.units.down = Division(static_cast<uint32_t>(ceil_div(best.units.band, best.units.rows)));
  best.units.bands = Division(static_cast<uint32_t>(ceil_div(z.height, best.units.band)));
  return best;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_PLANE_RING_PLAN_H_
