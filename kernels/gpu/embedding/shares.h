// Into how many equal shares the work falls, and which one a block has. An event is a lookup, whose
// gradient is read, or the end of a row, which is written: in the order of rows, each row's end
// behind its lookups. The i-th of the sorted lookups is event i + its row, so that a place in the
// list of all events, which nowhere exists, is found by search.
//
// Where only rows with lookups are written, the events of a share are its lookups, and their rows'
// ends come on top.
//
// A share begins with a row, unless that row has begun more than `slack` lookups before: only such
// long rows are divided, and leave sums in scratch memory for finish.h.
#ifndef POLYOPS_GPU_EMBEDDING_SHARES_H_
#define POLYOPS_GPU_EMBEDDING_SHARES_H_

#include <cstdint>

#include "gpu.h"
#include "sort.h"

namespace polyops::gpu {
namespace {

struct Shares {
  const Lookup* sorted;
  uint32_t lookups;
  uint32_t rows;
  uint32_t events;  // of a share, more or less the slack
  uint32_t slack;
  int32_t by_lookups;  // alone

  GPU_DEVICE uint32_t event_of(uint32_t i) const { return i + sorted[i].row; }
};

// Before which lookup and in which row a share begins; that row has begun before: `divides`.
struct Begin {
  uint32_t lookup;
  uint32_t row;
  uint32_t divides;
};

// Lookups low to high, both included.
struct Range {
  uint32_t low, high;
};

// Each half of the block's threads looks for the first lookup that is event `target` or a later
// one, in its own range; there is none behind all lookups.
GPU_DEVICE void narrow_ranges(const Shares& s, uint32_t target, Range* ranges) {
  const auto half = static_cast<uint32_t>(block_threads() / 2);
  Range* const own = ranges + thread_id() / half;
  for (;;) {
    const Range range = *own;
    const bool done = ranges[0].low == ranges[0].high && ranges[1].low == ranges[1].high;
    barrier();
    if (done) return;
    const uint32_t step = (range.high - range.low) / half + 1;
    const uint32_t first = range.low + thread_id() % half * step, last = first + step - 1;
    if (range.low < range.high && first <= range.high) {
      // Both loads at once, each of some lookup of the range.
      const uint32_t before = s.event_of(first > range.low ? first - 1 : range.low);
      const uint32_t at_last = s.event_of(last < range.high ? last : range.low);
      const bool from_here = first == range.low || before < target;
      const bool to_here = last >= range.high || at_last >= target;
      if (from_here && to_here) *own = {first, last < range.high ? last : range.high};
    }
    barrier();
  }
}

// Where share number `share` begins, and the next one, by all threads; found: of the two, after the
// next barrier().
GPU_DEVICE void find_share(const Shares& s, uint32_t share, Begin* found) {
  GPU_SHARED(Range, ranges, 2);
  const int half = block_threads() / 2;
  const int side = thread_id() / half, place = thread_id() % half;
  const int64_t all = int64_t{s.lookups} + (s.by_lookups != 0 ? 0 : s.rows);
  const int64_t end = (int64_t{share} + side) * s.events;
  const auto target = static_cast<uint32_t>(end < all ? end : all);
  uint32_t lookup = target, row = s.rows;
  if (s.by_lookups == 0) {
    if (place == 0) ranges[side] = {0, s.lookups};
    barrier();
    narrow_ranges(s, target, ranges);
    lookup = ranges[side].low;
    row = target - lookup;
  } else if (lookup < s.lookups) {
    row = s.sorted[lookup].row;
  }
  const bool divides = row < s.rows && lookup > 0 && s.sorted[lookup - 1].row == row;
  if (place == 0) found[side] = {lookup, row, divides};
  barrier();
  if (!divides) return;
  for (uint32_t back = 1 + place; back <= s.slack && back <= lookup; back += half) {
    const uint32_t i = lookup - back;
    if (s.sorted[i].row == row && (i == 0 || s.sorted[i - 1].row != row)) {
      found[side] = {i, row, 0};
    }
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_EMBEDDING_SHARES_H_
