// Copies runs of elements, those behind dim, from where an index names them; gather's index may
// name a place for each element of a run. Bound: memory; short runs also by instructions, so that
// each is cut into the widest units that all of them can have, 16 bytes at best, and a thread has
// several on the way: first their indices, then the units.
#ifndef POLYOPS_GPU_INDEX_SELECT_SELECT_H_
#define POLYOPS_GPU_INDEX_SELECT_SELECT_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "indices.h"
#include "row.h"

namespace polyops::gpu {
namespace {

constexpr int kSelectThreads = 256;

// Units of a thread: more of the narrow ones, for as many bytes on the way.
template <class Unit>
constexpr int kSelectUnits = sizeof(Unit) >= 8 ? 4 : 8;

// Units are numbered as they lie in the result. Steps are in bytes.
struct SelectCall {
  const char* src;
  char* dst;
  Indices index;
  int64_t outer_step;  // of the dimensions before dim, which are one
  int64_t step;        // of dim
  Division of_run;     // units
  Division of_outer;   // runs
  uint32_t units;
  int32_t one_outer;
  int32_t from_end;  // negative indices count from there
  // gather's alone; in halves, as that of indices.
  int64_t index_outer;
  int64_t index_inner;  // if it is not 0, a unit is an element
};

template <class Unit, bool kGathers>
GPU_KERNEL(kSelectThreads)
select_units(const SelectCall c) {
  await_earlier();
  constexpr int kUnits = kSelectUnits<Unit>;
  const auto first = static_cast<uint32_t>(block_id()) * (kSelectThreads * kUnits) + thread_id();
  const char* from[kUnits];
  Index index[kUnits];
  Unit unit[kUnits];
#pragma unroll
  for (int k = 0; k < kUnits; ++k) {
    uint32_t run = first + k * kSelectThreads;
    if (run >= c.units) run = c.units - 1;
    const uint32_t place = take_remainder(c.of_run, &run);
    from[k] = c.src + place * sizeof(Unit);
    Indices indices = c.index;
    if constexpr (kGathers) indices = indices.from(place * c.index_inner);
    if (c.one_outer == 0) {
      const uint32_t i = take_remainder(c.of_outer, &run);
      from[k] += run * c.outer_step;
      if constexpr (kGathers) indices = indices.from(run * c.index_outer);
      run = i;
    }
    index[k] = indices.load(run);
  }
  if (c.from_end != 0) {
#pragma unroll
    for (int k = 0; k < kUnits; ++k) index[k] = c.index.counted(index[k]);
  }
  bool right = true;
#pragma unroll
  for (int k = 0; k < kUnits; ++k) right = right && c.index.names(index[k]);
  halt_unless(right);
#pragma unroll
  for (int k = 0; k < kUnits; ++k) {
    from[k] += c.index.row(index[k]) * c.step;
    if constexpr (sizeof(Unit) == 16) {
      unit[k] = load_words(from[k]);
    } else {
      unit[k] = *reinterpret_cast<const Unit*>(from[k]);
    }
  }
#pragma unroll
  for (int k = 0; k < kUnits; ++k) {
    const uint32_t at = first + k * kSelectThreads;
    if (at >= c.units) continue;
    char* const to = c.dst + int64_t{at} * sizeof(Unit);
    if constexpr (sizeof(Unit) == 16) {
      store_words(to, unit[k]);
    } else {
      *reinterpret_cast<Unit*>(to) = unit[k];
    }
  }
}

template <class Unit, bool kGathers>
int launch_units(SelectCall call, int64_t bytes, int64_t runs, const polyops_context* ctx) {
  const int64_t of_run = bytes / static_cast<int64_t>(sizeof(Unit));
  call.of_run = Division(static_cast<uint32_t>(of_run));
  call.units = static_cast<uint32_t>(runs * of_run);
  constexpr int64_t kOfBlock = kSelectThreads * kSelectUnits<Unit>;
  return gpu::launch(select_units<Unit, kGathers>,
                     {(call.units + kOfBlock - 1) / kOfBlock, kSelectThreads}, ctx, call);
}

// Of that many bytes each run. The call lacks only what depends on the unit, of `widest` at most.
template <bool kGathers>
int select_runs(const SelectCall& call, int64_t bytes, int64_t runs, int64_t widest,
                const polyops_context* ctx) {
  const auto all = static_cast<uint64_t>(bytes | call.step | call.outer_step | widest) |
                   reinterpret_cast<uintptr_t>(call.src) | reinterpret_cast<uintptr_t>(call.dst);
  if (all % 16 == 0) return launch_units<Words, kGathers>(call, bytes, runs, ctx);
  if (all % 8 == 0) return launch_units<uint64_t, kGathers>(call, bytes, runs, ctx);
  if (all % 4 == 0) return launch_units<uint32_t, kGathers>(call, bytes, runs, ctx);
  if (all % 2 == 0) return launch_units<uint16_t, kGathers>(call, bytes, runs, ctx);
  return launch_units<uint8_t, kGathers>(call, bytes, runs, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_INDEX_SELECT_SELECT_H_
