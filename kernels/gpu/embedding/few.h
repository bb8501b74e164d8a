// Sums of few lookups, in one launch and without a sort: each block looks at all indices. A block
// of a lookup that is the first of its row adds up that row's, in the order in which they were
// made, its teams a part each; other blocks write the rows that no lookup has.
//
// Bound: latency.
#ifndef POLYOPS_GPU_EMBEDDING_FEW_H_
#define POLYOPS_GPU_EMBEDDING_FEW_H_

#include <cstdint>

#include "call.h"
#include "division.h"
#include "gpu.h"
#include "sort.h"

namespace polyops::gpu {
namespace {

constexpr int kFewLookupThreads = 256;
constexpr int64_t kFewLookups = kFewLookupThreads;  // a thread looks at one
constexpr int kFewBatch = 4;                        // lookups of a team in flight
// Units that a block without lookups writes, and rows.
constexpr int64_t kRestUnits = 2048, kMostRestRows = 256;

struct FewCall {
  GradCall sums;
  uint32_t lookups, rows;
  uint32_t sum_blocks, rest_rows;  // of each block of the rest
  Division by_parts, by_units;
};

// This thread's, if it has one. All are looked at before anything is written.
template <class Source>
GPU_DEVICE Lookup few_lookup(const Source& made, uint32_t lookups) {
  const auto thread = static_cast<uint32_t>(thread_id());
  const bool ours = thread < lookups;
  const typename Source::Loaded loaded = made.load(ours ? thread : 0);
  halt_unless(made.right(loaded));
  return ours ? made.lookup(loaded, thread) : Lookup{kNoRow, 0};
}

template <class T, int kUnit>
GPU_DEVICE void add_unit(const Words& words, float scale, float (&sum)[kUnit]) {
  float x[kUnit];
  unpack_unit<T, kUnit>(words, x);
#pragma unroll
  for (int j = 0; j < kUnit; ++j) sum[j] = fmaf(x[j], scale, sum[j]);
}

template <class T, int kUnit>
GPU_DEVICE void add_few(const GradCall& c, const T* from, const uint32_t* of_row, int begin,
                        int end, float scale, float (&sum)[kUnit]) {
#pragma unroll 1
  for (int i = begin; i < end; i += kFewBatch) {
    Words words[kFewBatch];
#pragma unroll
    for (int k = 0; k < kFewBatch; ++k) {
      if (i + k < end) load_unit<T, kUnit>(from + int64_t{of_row[i + k]} * c.width, &words[k]);
    }
#pragma unroll
    for (int k = 0; k < kFewBatch; ++k) {
      if (i + k >= end) break;
      add_unit<T, kUnit>(words[k], scale, sum);
    }
  }
}

// The row of lookup number `at`, unless an earlier one has it; its columns of that part.
template <class T, int kUnit, bool kAdds, class Source>
GPU_DEVICE void sum_row(const Source& made, const FewCall& call, uint32_t at, int part) {
  GPU_SHARED(uint32_t, of_row, kFewLookupThreads);
  GPU_SHARED(uint32_t, waves, kMostSortWaves);
  GPU_SHARED(uint32_t, all, 1);
  GPU_SHARED(float, sums, kFewLookupThreads* kUnit);
  const GradCall& c = call.sums;
  const int team = thread_id() / c.lanes, place = thread_id() % c.lanes;
  const int column = (part * c.lanes + place) * kUnit;
  const bool has = team < c.teams && column < c.columns, leads = has && team == 0;
  const T* from = static_cast<const T*>(c.grad) + place_of(c, column, c.grad_step);
  // What is added for certain, if anything is, and the base are on the way meanwhile.
  Words first = {}, base = {};
  if (leads) load_unit<T, kUnit>(from + int64_t{at} * c.width, &first);
  const uint32_t row = made.lookup(made.load(at), at).row;
  const int64_t to = place_of(c, column, c.out_step) + int64_t{row} * c.width;
  if (kAdds && leads && row < call.rows) {
    load_unit<T, kUnit>(static_cast<const T*>(c.base) + to, &base);
  }
  const Lookup own = few_lookup(made, call.lookups);
  const uint32_t has_it = own.row == row ? 1 : 0, before = sum_before(has_it, waves);
  if (has_it != 0) of_row[before] = own.at;
  if (thread_id() == kFewLookupThreads - 1) *all = before + has_it;
  barrier();
  if (row >= call.rows || of_row[0] != at) return;
  const int count = static_cast<int>(*all), each = (count + c.teams - 1) / c.teams;
  const float scale = c.by_freq != 0 ? 1 / static_cast<float>(count) : c.scale;
  float sum[kUnit];
#pragma unroll
  for (int j = 0; j < kUnit; ++j) sum[j] = kNone<kAdds>;
  if (leads) add_unit<T, kUnit>(first, scale, sum);
  const int begin = team == 0 ? 1 : team * each;
  const int end = (team + 1) * each < count ? (team + 1) * each : count;
  if (has) add_few<T, kUnit>(c, from, of_row, begin, end, scale, sum);
  if (each < count) {  // several teams have some
#pragma unroll
    for (int j = 0; j < kUnit; ++j) sums[thread_id() * kUnit + j] = sum[j];
    barrier();
    for (int t = 1; t < c.teams && team == 0; ++t) {
#pragma unroll
      for (int j = 0; j < kUnit; ++j) sum[j] += sums[(t * c.lanes + place) * kUnit + j];
    }
  }
  if (!leads) return;
  if constexpr (kAdds) {
    float x[kUnit];
    unpack_unit<T, kUnit>(base, x);
#pragma unroll
    for (int j = 0; j < kUnit; ++j) sum[j] += x[j];
  }
  store_unit<T, kUnit>(static_cast<T*>(c.out) + to, sum);
}

// Rows from `first` on that no lookup has: the base's, or zeros.
template <class T, int kUnit, bool kAdds, class Source>
GPU_DEVICE void write_rest(const Source& made, const FewCall& call, uint32_t first) {
  GPU_SHARED(uint32_t, looked_up, kMostRestRows);
  const GradCall& c = call.sums;
  const uint32_t left = call.rows - first;
  const uint32_t rows = left < call.rest_rows ? left : call.rest_rows;
  const Lookup own = few_lookup(made, call.lookups);
  looked_up[thread_id()] = 0;
  barrier();
  if (own.row - first < rows) looked_up[own.row - first] = 1;
  barrier();
  const uint32_t units = rows * call.by_units.divisor;
#pragma unroll 4
  for (uint32_t i = thread_id(); i < units; i += kFewLookupThreads) {
    uint32_t row = i;
    const auto column = static_cast<int>(take_remainder(call.by_units, &row)) * kUnit;
    if (looked_up[row] != 0) continue;
    const int64_t at = place_of(c, column, c.out_step) + int64_t{first + row} * c.width;
    float x[kUnit] = {};
    if constexpr (kAdds) {
      Words words;
      load_unit<T, kUnit>(static_cast<const T*>(c.base) + at, &words);
      unpack_unit<T, kUnit>(words, x);
    }
    store_unit<T, kUnit>(static_cast<T*>(c.out) + at, x);
  }
}

template <class T, int kUnit, bool kAdds, class Source>
GPU_KERNEL(kFewLookupThreads, 4)
sums_of_few(const GPU_CONSTANT Source made, const GPU_CONSTANT FewCall c) {
  await_earlier();
  const auto block = static_cast<uint32_t>(block_id());
  if (block >= c.sum_blocks) {
    write_rest<T, kUnit, kAdds>(made, c, (block - c.sum_blocks) * c.rest_rows);
    return;
  }
  uint32_t lookup = block;
  const auto part = static_cast<int>(take_remainder(c.by_parts, &lookup));
  sum_row<T, kUnit, kAdds>(made, c, lookup, part);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_EMBEDDING_FEW_H_
