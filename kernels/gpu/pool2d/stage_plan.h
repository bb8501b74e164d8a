// How planes are shared out among blocks that have them in shared memory (stage.h).
#ifndef POLYOPS_GPU_POOL2D_STAGE_PLAN_H_
#define POLYOPS_GPU_POOL2D_STAGE_PLAN_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"

namespace polyops::gpu {
namespace {

constexpr int kStageThreads = 128;
// Of a block's rows and results: twelve blocks and more find room.
constexpr int64_t kStageBytes = 16 * 1024;
constexpr int64_t kLeastBlocks = 8;  // per multiprocessor, if there is as much to do

// Before and behind the run, in packs: what a row's taps may look at beside it, for no use.
constexpr int kBefore = 1, kBehind = 2;

// Unit u needs rows [u * step + offset, u * step + offset + reach), and comes to so many rows of
// results.
struct Reach {
  int step, offset, reach, results;
};

// A plane, and bytes of an element.
struct Side {
  int64_t high, wide, bytes;

  int64_t row() const { return wide * bytes; }
};

struct Stage {
  int planes, all_planes;  // of a block, and together
  int high, wide;          // of a plane that is copied
  int out_high, out_wide;  // of its results
  int columns, units;      // of what is computed
  int slab_units, segment_units;
  int values_at, places_at;  // packs of the block's memory that are before results
  Division slabs, by_columns, by_segments;
  Reach reach;
};

// Segments of columns, and how many planes, so that little of the threads' time goes by: each takes
// so many units, and what it begins with.
inline void share_columns(int64_t most_planes, int64_t columns, Stage* s) {
  const int64_t begins = (s->reach.reach - 1) / s->reach.step;
  double best = 0;
  int64_t best_segments = 1;
  for (int64_t planes = most_planes; 2 * planes >= most_planes && planes > 0; --planes) {
    for (int64_t segments = 1; segments <= 8 && segments <= s->slab_units; ++segments) {
      const int64_t length = (s->slab_units + segments - 1) / segments;
      const int64_t turns = (planes * columns * segments + kStageThreads - 1) / kStageThreads;
      const double each =
          static_cast<double>(planes) / static_cast<double>(turns * (length + begins));
      if (each <= best) continue;
      best = each;
      s->planes = static_cast<int>(planes);
      best_segments = segments;
      s->segment_units = static_cast<int>(length);
    }
  }
  const int64_t units = s->segment_units;
  best_segments = (s->slab_units + units - 1) / units;
  s->by_columns = Division(static_cast<uint32_t>(columns));
  s->by_segments = Division(static_cast<uint32_t>(best_segments));
}

// Elements of a block's run, at most, and of its results.
inline int64_t most_elements(const Stage& s) {
  const int64_t slab_rows = int64_t{s.slab_units - 1} * s.reach.step + s.reach.reach;
  return int64_t{s.planes} * (s.slabs.divisor > 1 && slab_rows < s.high ? slab_rows : s.high) *
         s.wide;
}
inline int64_t most_results(const Stage& s) {
  const int64_t slab_rows = int64_t{s.slab_units} * s.reach.results;
  return int64_t{s.planes} * (slab_rows < s.out_high ? slab_rows : s.out_high) * s.out_wide;
}

// slab_units is 0 if a block has no room for enough of them. The bytes of one side are an
// element's, of the other they may be with its place.
inline Stage make_stage(const polyops_context* ctx, int64_t planes, const Side& from,
                        const Side& to, int64_t columns, int64_t units, const Reach& reach,
                        int64_t most_bytes = kStageBytes) {
  Stage s = {};
  s.all_planes = static_cast<int>(planes);
  s.high = static_cast<int>(from.high);
  s.wide = static_cast<int>(from.wide);
  s.out_high = static_cast<int>(to.high);
  s.out_wide = static_cast<int>(to.wide);
  s.columns = static_cast<int>(columns);
  s.units = static_cast<int>(units);
  s.reach = reach;
  const int64_t plane = from.high * from.row() + to.high * to.row();
  const int64_t enough = kLeastBlocks * multiprocessors(ctx);
  int64_t slabs = 1, of_block = 1;
  if (plane <= most_bytes) {
    of_block = most_bytes / plane;
    if (of_block > (planes + enough - 1) / enough) of_block = (planes + enough - 1) / enough;
  } else {
    const int64_t shared_rows = (reach.reach - reach.step) * from.row();
    const int64_t of_unit = reach.step * from.row() + reach.results * to.row();
    const int64_t fit = (most_bytes - shared_rows) / of_unit;
    if (fit < 4) return s;
    slabs = (units + fit - 1) / fit;
  }
  const int64_t slab_units = (units + slabs - 1) / slabs;
  slabs = (units + slab_units - 1) / slab_units;
  s.slab_units = static_cast<int>(slab_units);
  s.slabs = Division(static_cast<uint32_t>(slabs));
  share_columns(of_block, columns, &s);
  const auto packs = [](int64_t bytes) { return static_cast<int>(bytes / 16 + 2); };
  s.values_at = kBefore + packs(most_elements(s) * from.bytes) + kBehind;
  s.places_at =
      s.values_at + packs(most_results(s) * (from.bytes < to.bytes ? from.bytes : to.bytes));
  return s;
}

// Where results are in the block's memory; places: of those that have one.
template <class T>
struct StagedResults {
  T* values;
  int* places;
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_STAGE_PLAN_H_
