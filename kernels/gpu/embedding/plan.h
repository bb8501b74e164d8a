// How a call is divided, and where in scratch memory it has what. Depends on sizes and types alone,
// not on the device: so that sums are the same on each.
#ifndef POLYOPS_GPU_EMBEDDING_PLAN_H_
#define POLYOPS_GPU_EMBEDDING_PLAN_H_

#include <bit>
#include <cstdint>

#include "backward.h"
#include "few.h"
#include "finish.h"
#include "sort_chunks.h"

namespace polyops::gpu {
namespace {

constexpr int64_t kSortAlone = int64_t{kSortThreadsAlone} * kSortItems;
// For so many blocks, shares are made smaller.
constexpr int64_t kWantedBlocks = 1024;

inline int64_t ceil_div(int64_t n, int64_t by) { return (n + by - 1) / by; }

// How teams have a row of so many units.
struct Teams {
  int parts, lanes, teams, threads;
};
inline Teams teams_of(int64_t units) {
  Teams t;
  t.parts = static_cast<int>(ceil_div(units, kGradThreads));
  t.lanes = static_cast<int>(ceil_div(units, t.parts));
  t.teams = kGradThreads / t.lanes;
  t.threads = (t.teams * t.lanes + 63) / 64 * 64;
  return t;
}

// What is added up: of each of `outer` runs `width` columns, of rows of that size.
struct SumSizes {
  int64_t lookups, rows, outer, width;
  int32_t dtype;
  bool by_lookups;      // rows without lookups the sums do not write
  bool clears = false;  // but those are 0, written beside the sort
};

// Few lookups are not sorted. Of rows that none has, there may be so many elements.
constexpr int64_t kMostFewElements = int64_t{1} << 24;
inline bool all_written(const SumSizes& s) { return !s.by_lookups || s.clears; }
inline bool are_few(const SumSizes& s) {
  return s.lookups <= kFewLookups &&
         (!all_written(s) || s.rows * s.outer * s.width <= kMostFewElements);
}
// Several teams, for rows that all of them have.
inline Teams few_teams(int64_t units) {
  Teams t;
  t.parts = static_cast<int>(ceil_div(units, units <= 256 ? 64 : 256));
  t.lanes = static_cast<int>(ceil_div(units, t.parts));
  t.teams = kFewLookupThreads / t.lanes;
  t.threads = kFewLookupThreads;
  return t;
}

struct Plan {
  int64_t lookups, rows, columns;
  // The sort.
  int passes, bits;
  int64_t of_chunk, chunks;  // no chunks: sorted by one block
  // The sums.
  int64_t slack, events, shares;
  int64_t slots, padded_columns;  // of sums of divided rows; no slots: there cannot be any
};

inline Plan plan_of(const SumSizes& sizes) {
  Plan p = {};
  p.lookups = sizes.lookups;
  p.rows = sizes.rows;
  p.columns = sizes.outer * sizes.width;
  const int bits = std::bit_width(static_cast<uint64_t>(p.rows));
  const bool alone = p.lookups <= kSortAlone;
  p.passes = static_cast<int>(ceil_div(bits, alone ? kMostBitsAlone : kMostBits));
  p.bits = static_cast<int>(ceil_div(bits, p.passes));
  if (!alone) {
    const int64_t tiles = ceil_div(ceil_div(p.lookups, kMostChunks), kSortTile);
    const int64_t few = kFewChunks * int64_t{kSortTile};
    const int64_t least = p.lookups > few && p.lookups <= 2 * few ? 2 : 1;
    p.of_chunk = kSortTile * (tiles < least ? least : tiles);
    p.chunks = ceil_div(p.lookups, p.of_chunk);
  }
  const int64_t per_pack = 16 / polyops_dtype_size(sizes.dtype);
  const Teams t = teams_of(ceil_div(p.columns, per_pack));
  p.slack = t.teams * 16 < 512 ? t.teams * 16 : 512;
  const int64_t all = sizes.by_lookups ? p.lookups : p.lookups + p.rows;
  while (p.slack > 4 * t.teams && all / (2 * p.slack) * t.parts < kWantedBlocks) p.slack /= 2;
  p.events = 2 * p.slack;
  p.shares = ceil_div(all, p.events);
  p.slots = p.lookups > p.slack ? p.lookups / (p.slack + 1) + 1 : 0;
  p.padded_columns = (p.columns + 3) / 4 * 4;
  return p;
}

struct Scratch {
  Lookup* lookups[2];
  uint32_t* counts;
  uint32_t* all;
  Divided* divided;
  float* ended_sums;
  float* open_sums;
  size_t bytes;
};

// base: null, if it is the size that is asked for.
inline Scratch scratch_of(const Plan& p, void* base) {
  Scratch s = {};
  const auto take = [&]<class T>(T** to, int64_t count) {
    *to = reinterpret_cast<T*>(static_cast<char*>(base) + s.bytes);
    s.bytes += (static_cast<size_t>(count) * sizeof(T) + 255) / 256 * 256;
  };
  take(&s.lookups[0], p.lookups);
  take(&s.lookups[1], p.passes > 1 ? p.lookups : 0);
  take(&s.counts, p.chunks << p.bits);
  take(&s.all, int64_t{p.chunks > kFewChunks} << p.bits);
  take(&s.divided, p.shares);
  take(&s.ended_sums, p.slots * p.padded_columns);
  take(&s.open_sums, p.slots * p.padded_columns);
  return s;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_EMBEDDING_PLAN_H_
