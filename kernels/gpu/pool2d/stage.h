// Pools of contiguous planes through shared memory: a block copies the rows that it needs, a run of
// memory, in 16 bytes each, so that many are in flight and odd rows cost what even ones do; then
// each thread goes down a column of it. Results are a run, too, and leave in 16 bytes each: rows of
// 16 bits would be written in parts of sectors. Planes that are small come several to a block,
// large ones are cut into slabs of rows. Bound: memory, the image once and its results.
//
// What is done is a type with
//   using Element; const Element* src; Element* dst    the planes that are copied, and the results
//   static constexpr bool kPlaces; int64_t* places()   whether places go beside them, and where
//   column(line, results, column, begin, end)          units [begin, end) of a column, results or
//                                                      squares of them; line: the first row that
//                                                      they need, whether it is in the image or
//                                                      not; results: where the first one's row
//                                                      begins
#ifndef POLYOPS_GPU_POOL2D_STAGE_H_
#define POLYOPS_GPU_POOL2D_STAGE_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "span.h"
#include "stage_plan.h"
#include "store.h"

namespace polyops::gpu {
namespace {

// What a block does: units [begin, end) of some planes, and where the rows that they need lie.
struct Slab {
  int begin, end, plane, planes;
  int top, rows;  // of each plane
  int results;    // rows of them, of each plane

  GPU_DEVICE explicit Slab(const Stage& s) {
    auto rest = static_cast<uint32_t>(block_id());
    begin = static_cast<int>(take_remainder(s.slabs, &rest)) * s.slab_units;
    end = least(begin + s.slab_units, s.units);
    plane = static_cast<int>(rest) * s.planes;
    planes = least(s.planes, s.all_planes - plane);
    top = 0;
    rows = s.high;
    results = least(end * s.reach.results, s.out_high) - begin * s.reach.results;
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

  // Of that of results.
  GPU_DEVICE int64_t first_result(const Stage& s) const {
    return (int64_t{plane} * s.out_high + begin * s.reach.results) * s.out_wide;
  }
  GPU_DEVICE int result_count(const Stage& s) const { return planes * results * s.out_wide; }

  // Calls f(row, result, column, begin, end) for this thread's columns; row: the first that they
  // need, as the run counts its rows; result: where the first row of results begins in their run.
  template <class F>
  GPU_DEVICE void for_each_column(const Stage& s, F f) const {
    const int columns = planes * static_cast<int>(s.by_segments.divisor) * s.columns;
    for (int i = thread_id(); i < columns; i += kStageThreads) {
      auto number = static_cast<uint32_t>(i);
      const int column = static_cast<int>(take_remainder(s.by_columns, &number));
      const int segment = static_cast<int>(take_remainder(s.by_segments, &number));
      const int p = static_cast<int>(number), from = begin + segment * s.segment_units;
      if (from >= end) continue;
      f(p * rows + from * s.reach.step + s.reach.offset - top,
        (p * results + (from - begin) * s.reach.results) * s.out_wide, column, from,
        least(from + s.segment_units, end));
    }
  }
};

// Places as they are in memory, int64. As store_run().
GPU_DEVICE void store_places(int64_t* first, int32_t count, const int* memory,
                             int threads = kStageThreads, int thread = thread_id()) {
  const int32_t shift = misplaced(first), end = shift + count;
  int64_t* const base = first - shift;
  for (int32_t at = 2 * thread; at < end; at += 2 * threads) {
    const HalfPack both = *reinterpret_cast<const HalfPack*>(memory + at);
    if (at >= shift && at + 2 <= end) {
      store_words(base + at, {{both.w[0], 0, both.w[1], 0}});
    } else {
      if (at >= shift) base[at] = both.w[0];
      if (at + 1 >= shift && at + 1 < end) base[at + 1] = both.w[1];
    }
  }
}

template <class Work>
GPU_KERNEL(kStageThreads)
pool2d_staged(Work work, Stage s) {
  await_earlier();
  using T = typename Work::Element;
  GPU_DYNAMIC_SHARED(T, memory);
  const Slab slab(s);
  const T* first = work.src + slab.first(s);
  T* const tile = memory + kBefore * kPack<T>;
  fetch_run(first, slab.rows > 0 ? slab.count(s) : 0, tile, kStageThreads);
  close_copies();
  const int64_t first_result = slab.first_result(s);
  T* const values = memory + s.values_at * kPack<T>;
  int* const places = reinterpret_cast<int*>(memory + s.places_at * kPack<T>);
  StagedResults<T> results = {values + misplaced(work.dst + first_result), nullptr};
  if constexpr (Work::kPlaces) results.places = places + misplaced(work.places() + first_result);
  wait_copies<0>();
  barrier();
  const T* const run = tile + misplaced(first);
  slab.for_each_column(s, [&](int row, int result, int column, int begin, int end) {
    StagedResults<T> here = {results.values + result, nullptr};
    if constexpr (Work::kPlaces) here.places = results.places + result;
    work.column(run + row * s.wide, here, column, begin, end);
  });
  barrier();
  store_run(work.dst + first_result, slab.result_count(s), values, kStageThreads);
  if constexpr (Work::kPlaces) {
    store_places(work.places() + first_result, slab.result_count(s), places);
  }
}

// With so many bytes behind the block's values.
inline LaunchShape stage_shape(const Stage& s, int64_t bytes) {
  const int64_t blocks = (s.all_planes + s.planes - 1) / s.planes * int64_t{s.slabs.divisor};
  return {blocks, kStageThreads, static_cast<size_t>(s.places_at * int64_t{16} + bytes)};
}

template <class Work>
int launch_stage(const Work& work, const Stage& s, const polyops_context* ctx) {
  const int64_t bytes = Work::kPlaces ? (most_results(s) + 2) * int64_t{sizeof(int)} : 0;
  return gpu::launch(pool2d_staged<Work>, stage_shape(s, bytes), ctx, work, s);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_STAGE_H_
