// Pools of contiguous planes through shared memory: a block copies the rows that it needs, a run of
// memory, in 16 bytes each, so that many are in flight and odd rows cost what even ones do; then each
// thread goes down a column of it. Planes that are small come several to a block, large ones are cut
// into slabs of rows. Bound: memory, the image once and its results.
//
// What is done is a type with
//   using Element; const Element* src            the planes that are copied
//   column(line, plane, column, begin, end)      units [begin, end) of a column, results or squares
//                                                of them; line: the first row that they need,
//                                                whether it is in the image or not
#ifndef POLYOPS_GPU_POOL2D_STAGE_H_
#define POLYOPS_GPU_POOL2D_STAGE_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "layout.h"
#include "span.h"

namespace polyops::gpu {
namespace {

constexpr int kStageThreads = 128;
// Of a block's rows: twelve blocks and more find room.
constexpr int64_t kStageBytes = 12 * 1024;
constexpr int64_t kLeastBlocks = 8;  // per multiprocessor, if there is as much to do

// Before and behind the run, in packs: what a row's taps may look at beside it, for no use.
constexpr int kBefore = 1, kBehind = 2;

// Unit u needs rows [u * step + offset, u * step + offset + reach).
struct Reach {
  int step, offset, reach;
};

struct Stage {
  int planes, all_planes;  // of a block, and together
  int high, wide;          // of a plane that is copied
  int columns, units;      // of what is computed
  int slab_units, segment_units;
  Division slabs, by_columns, by_segments;
  Reach reach;
};

// slab_units is 0 if a block has no room for enough of them.
inline Stage make_stage(const polyops_context* ctx, int64_t planes, int64_t high, int64_t wide,
                        int64_t columns, int64_t units, Reach reach, int64_t element) {
  Stage s = {};
  s.all_planes = static_cast<int>(planes);
  s.high = static_cast<int>(high);
  s.wide = static_cast<int>(wide);
  s.columns = static_cast<int>(columns);
  s.units = static_cast<int>(units);
  s.reach = reach;
  const int64_t row = wide * element, plane = high * row;
  const int64_t enough = kLeastBlocks * multiprocessors(ctx);
  int64_t slabs = 1, of_block = 1;
  if (plane <= kStageBytes) {
    of_block = kStageBytes / plane;
    if (of_block > (planes + enough - 1) / enough) of_block = (planes + enough - 1) / enough;
  } else {
    const int64_t fit = (kStageBytes / row - (reach.reach - reach.step)) / reach.step;
    if (fit < 4) return s;
    slabs = (units + fit - 1) / fit;
  }
  const int64_t slab_units = (units + slabs - 1) / slabs;
  slabs = (units + slab_units - 1) / slab_units;
  s.planes = static_cast<int>(of_block);
  s.slab_units = static_cast<int>(slab_units);
  s.slabs = Division(static_cast<uint32_t>(slabs));
  // As many segments of columns as keep the threads busy, none shorter than 4.
  int64_t segments = 2 * kStageThreads / (of_block * columns);
  if (segments > slab_units / 4) segments = slab_units / 4;
  if (segments < 1) segments = 1;
  const int64_t segment_units = (slab_units + segments - 1) / segments;
  segments = (slab_units + segment_units - 1) / segment_units;
  s.segment_units = static_cast<int>(segment_units);
  s.by_columns = Division(static_cast<uint32_t>(columns));
  s.by_segments = Division(static_cast<uint32_t>(segments));
  return s;
}

// What a block does: units [begin, end) of some planes, and where the rows that they need lie.
struct Slab {
  int begin, end, plane, planes;
  int top, rows;  // of each plane

  GPU_DEVICE explicit Slab(const Stage& s) {
    auto rest = static_cast<uint32_t>(block_id());
    begin = static_cast<int>(take_remainder(s.slabs, &rest)) * s.slab_units;
    end = least(begin + s.slab_units, s.units);
    plane = static_cast<int>(rest) * s.planes;
    planes = least(s.planes, s.all_planes - plane);
    top = 0;
    rows = s.high;
    if (s.slabs.divisor > 1) {
      const int first = begin * s.reach.step + s.reach.offset;
      const int last = (end - 1) * s.reach.step + s.reach.offset + s.reach.reach;
      top = first > 0 ? first : 0;
      rows = least(last, s.high) - top;
      if (rows < 0) rows = 0;
    }
  }
  GPU_DEVICE static int least(int a, int b) { return a < b ? a : b; }

  // Of the run of memory.
  GPU_DEVICE int64_t first(const Stage& s) const {
    return (int64_t{plane} * s.high + top) * s.wide;
  }
  GPU_DEVICE int count(const Stage& s) const { return planes * rows * s.wide; }

  // Calls f(row, plane, column, begin, end) for this thread's columns; row: the first that they need,
  // as the run counts its rows.
  template <class F>
  GPU_DEVICE void for_each_column(const Stage& s, F f) const {
    const int columns = planes * static_cast<int>(s.by_segments.divisor) * s.columns;
    for (int i = thread_id(); i < columns; i += kStageThreads) {
      auto number = static_cast<uint32_t>(i);
      const int column = static_cast<int>(take_remainder(s.by_columns, &number));
      const int segment = static_cast<int>(take_remainder(s.by_segments, &number));
      const int p = static_cast<int>(number), from = begin + segment * s.segment_units;
      if (from >= end) continue;
      f(p * rows + from * s.reach.step + s.reach.offset - top, plane + p, column, from,
        least(from + s.segment_units, end));
    }
  }
};

template <class Work>
GPU_KERNEL(kStageThreads)
pool2d_staged(Work work, Stage s) {
  using T = typename Work::Element;
  GPU_DYNAMIC_SHARED(T, memory);
  const Slab slab(s);
  const T* first = work.src + slab.first(s);
  T* const tile = memory + kBefore * kPack<T>;
  fetch_run(first, slab.rows > 0 ? slab.count(s) : 0, tile, kStageThreads);
  close_copies();
  wait_copies<0>();
  barrier();
  const T* const run = tile + misplaced(first);
  slab.for_each_column(s, [&](int row, int plane, int column, int begin, int end) {
    work.column(run + row * s.wide, plane, column, begin, end);
  });
}

// Elements of a block's run, at most.
inline int64_t most_elements(const Stage& s) {
  const int64_t slab_rows = int64_t{s.slab_units - 1} * s.reach.step + s.reach.reach;
  return s.planes * (s.slabs.divisor > 1 && slab_rows < s.high ? slab_rows : s.high) * s.wide;
}
inline LaunchShape stage_shape(const Stage& s, int64_t bytes) {
  const int64_t blocks = (s.all_planes + s.planes - 1) / s.planes * int64_t{s.slabs.divisor};
  const int64_t packs = bytes / 16 + 2 + kBefore + kBehind;
  return {blocks, kStageThreads, static_cast<size_t>(packs) * 16};
}

template <class Work>
int launch_stage(const Work& work, const Stage& s, const polyops_context* ctx) {
  const int64_t bytes = most_elements(s) * sizeof(typename Work::Element);
  return gpu::launch(pool2d_staged<Work>, stage_shape(s, bytes), ctx, work, s);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_STAGE_H_
