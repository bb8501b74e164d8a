// The events of a share, listed in the block's memory for its teams (backward.h).
#ifndef POLYOPS_GPU_EMBEDDING_EVENTS_H_
#define POLYOPS_GPU_EMBEDDING_EVENTS_H_

#include <cstdint>

#include "call.h"
#include "gpu.h"
#include "shares.h"
#include "sort.h"

namespace polyops::gpu {
namespace {

GPU_DEVICE Event event_of(const GradCall& c, const Lookup& lookup, bool counts) {
  float scale = c.scale;
  if (counts && c.by_freq != 0) scale = 1 / static_cast<float>(lookups_of(c.shares, lookup.row));
  return {counts ? static_cast<int32_t>(lookup.at) : kNothing, scale};
}

// All of them, and how many lookups of it each team has before its own.
GPU_DEVICE void list_events(const GradCall& c, const Begin& from, const Begin& to, int each,
                            Event* events, uint32_t* before) {
  const Shares& s = c.shares;
  const auto lookups = static_cast<int>(to.lookup - from.lookup);
  const int count = lookups + static_cast<int>(to.row - from.row);
  for (int i = thread_id(); i < count; i += block_threads()) events[i] = {kEnd, 0};
  barrier();
  for (int i = thread_id(); i <= lookups; i += block_threads()) {
    int at = count, last = -1;
    if (i > 0) last = i - 1 + static_cast<int>(s.sorted[from.lookup + i - 1].row - from.row);
    if (i < lookups) {
      const Lookup lookup = s.sorted[from.lookup + i];
      at = i + static_cast<int>(lookup.row - from.row);
      events[at] = event_of(c, lookup, lookup.row < s.rows);
    }
    for (int team = (last + each) / each; team < c.teams && team * each <= at; ++team) {
      before[team] = i;
    }
  }
}

// The same of a share by lookups, whose ends know their rows. Returns how many they are.
GPU_DEVICE int list_lookups(const GradCall& c, const Begin& from, const Begin& to, Event* events) {
  GPU_SHARED(uint32_t, waves, kMostSortWaves);
  GPU_SHARED(uint32_t, so_far, 1);
  const Shares& s = c.shares;
  const auto lookups = static_cast<int>(to.lookup - from.lookup);
  uint32_t ends = 0;
  for (int first = 0; first < lookups; first += block_threads()) {
    const int i = first + thread_id();
    Lookup lookup = {0, 0};
    bool counts = false, last = false;  // of its row
    if (i < lookups) {
      const uint32_t next = from.lookup + i + 1;
      lookup = s.sorted[next - 1];
      counts = lookup.row < s.rows;
      last = counts && (next == s.lookups || s.sorted[next].row != lookup.row);
    }
    const uint32_t before = ends + sum_before(last ? 1 : 0, waves);
    if (i < lookups) events[i + before] = event_of(c, lookup, counts);
    if (last) events[i + before + 1] = {kEnd, float_of_bits(lookup.row)};
    if (thread_id() == block_threads() - 1) *so_far = before + (last ? 1 : 0);
    barrier();
    ends = *so_far;
  }
  return lookups + static_cast<int>(ends);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_EMBEDDING_EVENTS_H_
