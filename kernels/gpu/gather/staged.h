// Elements of rows, an index of each: a block copies a row of src to its memory and takes elements
// from there, where lanes that name 32 places of a row wait for 3 or 4 accesses to the same bank
// and not for 32 lines of the cache. Bound: memory.
#ifndef POLYOPS_GPU_GATHER_STAGED_H_
#define POLYOPS_GPU_GATHER_STAGED_H_

#include <cstdint>

#include "gpu.h"
#include "indices.h"
#include "span.h"

namespace polyops::gpu {
namespace {

constexpr int kStagedThreads = 256;
constexpr int kStagedUnits = 8;             // of a thread, their indices all loaded at once
constexpr int64_t kMostStaged = 48 * 1024;  // bytes, with those beside a row that is not aligned
constexpr int64_t kStagedShare = 4;         // of a row, that are taken at least

struct StagedCall {
  const void* src;
  void* dst;
  Indices index;
  int64_t src_outer;    // elements
  int64_t index_outer;  // halves
  int32_t length;       // of a row
  int32_t count;        // of those taken from it
};

template <class Unit>
GPU_KERNEL(kStagedThreads)
gather_staged(const StagedCall c) {
  await_earlier();
  GPU_DYNAMIC_SHARED(Unit, memory);
  const int64_t outer = block_id();
  const Unit* const src = static_cast<const Unit*>(c.src) + outer * c.src_outer;
  fetch_run(src, c.length, memory);
  close_copies();
  wait_copies<0>();
  barrier();
  const Unit* const row = memory + misplaced(src);
  Unit* const dst = static_cast<Unit*>(c.dst) + outer * c.count;
  const Indices indices = c.index.from(outer * c.index_outer);
  for (int first = thread_id(); first < c.count; first += kStagedThreads * kStagedUnits) {
    Index index[kStagedUnits];
    bool right = true;
#pragma unroll
    for (int k = 0; k < kStagedUnits; ++k) {
      const int at = first + k * kStagedThreads;
      index[k] = indices.load(at < c.count ? at : c.count - 1);
    }
#pragma unroll
    for (int k = 0; k < kStagedUnits; ++k) right = right && indices.names(index[k]);
    halt_unless(right);
#pragma unroll
    for (int k = 0; k < kStagedUnits; ++k) {
      const int at = first + k * kStagedThreads;
      if (at < c.count) dst[at] = row[indices.row(index[k])];
    }
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_GATHER_STAGED_H_
