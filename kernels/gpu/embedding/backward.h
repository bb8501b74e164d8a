// The sums. A block has a share of the events (shares.h) and lists it in shared memory; its teams,
// each of as many lanes as a row has units of 16 bytes, or a part of them, divide that list again.
// A team takes its events a batch at a time, all loads of a batch before the first is used, writes
// the rows that it ends, and leaves two sums in shared memory: that of the first row that it ends,
// which earlier teams may have begun, and that of the row that it leaves open. Then these are added
// up. Where sums are added to a base, a row's end is read there as a lookup is.
//
// Bound: memory, each gradient read once and each row written once, zeros too.
#ifndef POLYOPS_GPU_EMBEDDING_BACKWARD_H_
#define POLYOPS_GPU_EMBEDDING_BACKWARD_H_

#include <cstdint>

#include "call.h"
#include "events.h"
#include "gpu.h"
#include "shares.h"

namespace polyops::gpu {
namespace {

constexpr int kGradThreads = 256;
// Events of a team in flight.
template <int kUnit>
constexpr int kBatch = kUnit == 1 ? 6 : 4;

// What a lane of a team has of a row.
template <class T, int kUnit>
struct Lane {
  const T* grad;
  const T* base;
  T* out;
  bool has;  // any columns
};

// Adds up the events [begin, end), the first in *first_row. The two sums: of the first row that
// ends, which *first_row becomes, and of what is open. Returns whether any row ends.
template <class T, int kUnit, bool kAdds>
GPU_DEVICE bool add_events(const GradCall& c, const Lane<T, kUnit>& lane, const Event* events,
                           int begin, int end, uint32_t* first_row, float* first,
                           float (&sum)[kUnit]) {
  bool ended = false;
  uint32_t row = *first_row;
#pragma unroll 1
  for (int i = begin; i < end; i += kBatch<kUnit>) {
    Event event[kBatch<kUnit>];
    Words words[kBatch<kUnit>];
    uint32_t next = row;
#pragma unroll
    for (int k = 0; k < kBatch<kUnit>; ++k) {
      event[k] = {kNothing, 0};
      if (i + k < end) event[k] = events[i + k];
      const bool is_lookup = event[k].lookup >= 0, is_end = event[k].lookup == kEnd;
      const T* from = lane.grad;
      auto at = static_cast<uint32_t>(event[k].lookup);
      if constexpr (kAdds) {  // one address for one load: two of one register would wait
        if (is_end && c.shares.by_lookups == 0) event[k].scale = float_of_bits(next++);
        if (!is_lookup) at = float_bits(event[k].scale);
        if (!is_lookup) from = lane.base;
      }
      if ((is_lookup || (kAdds && is_end)) && lane.has) {
        load_unit<T, kUnit>(from + int64_t{at} * c.width, &words[k]);
      }
    }
#pragma unroll
    for (int k = 0; k < kBatch<kUnit>; ++k) {
      if (event[k].lookup >= 0) {
        float x[kUnit];
        unpack_unit<T, kUnit>(words[k], x);
#pragma unroll
        for (int j = 0; j < kUnit; ++j) sum[j] = fmaf(x[j], event[k].scale, sum[j]);
      } else if (event[k].lookup == kEnd) {
        if constexpr (kAdds) {
          float x[kUnit];
          unpack_unit<T, kUnit>(words[k], x);
#pragma unroll
          for (int j = 0; j < kUnit; ++j) sum[j] += x[j];
          row = float_bits(event[k].scale);
        }
        if (!ended) {
          *first_row = row;
#pragma unroll
          for (int j = 0; j < kUnit; ++j) first[j] = sum[j];
        } else if (lane.has) {
          store_unit<T, kUnit>(lane.out + int64_t{row} * c.width, sum);
        }
        ended = true;
        ++row;
#pragma unroll
        for (int j = 0; j < kUnit; ++j) sum[j] = kNone<kAdds>;
      }
    }
  }
  return ended;
}

// The sums that teams left: of each lane, kUnit of either kind. ended: whether the team ended any
// row.
struct TeamSums {
  float* first;
  float* open;
  int32_t* ended;
};

// Of the row that is open after the teams before `team`.
template <bool kAdds, int kUnit>
GPU_DEVICE void add_open(const TeamSums& teams, int team, int lanes, int place,
                         float (&sum)[kUnit]) {
  int begin = team;
  while (begin > 0 && teams.ended[begin - 1] == 0) --begin;
  if (begin > 0) --begin;
#pragma unroll
  for (int j = 0; j < kUnit; ++j) sum[j] = kNone<kAdds>;
  for (int t = begin; t < team; ++t) {
#pragma unroll
    for (int j = 0; j < kUnit; ++j) sum[j] += teams.open[(t * lanes + place) * kUnit + j];
  }
}

GPU_DEVICE bool any_ended(const TeamSums& teams, int before) {
  for (int t = 0; t < before; ++t) {
    if (teams.ended[t] != 0) return true;
  }
  return false;
}

template <int kUnit>
GPU_DEVICE void store_sums(float* p, const float (&x)[kUnit]) {
#pragma unroll
  for (int j = 0; j < kUnit; ++j) p[j] = x[j];
}

GPU_DEVICE Divided divided_by(const GradCall& c, const Begin& from, const Begin& to) {
  Divided divided = {kNoRow, slot_of(c, from), kNoRow, slot_of(c, to)};
  if (from.divides != 0 && to.row != from.row) divided.ended = from.row;
  if (to.divides != 0) divided.open = to.row;
  return divided;
}

template <class T, int kUnit, bool kAdds>
GPU_KERNEL(kGradThreads, 4)
embedding_sums(const GradCall c) {
  await_earlier();
  GPU_SHARED(Begin, found, 2);
  GPU_SHARED(uint32_t, before, kGradThreads);
  GPU_SHARED(int32_t, ended, kGradThreads);
  GPU_SHARED(float, first, kGradThreads* kUnit);
  GPU_SHARED(float, open, kGradThreads* kUnit);
  GPU_DYNAMIC_SHARED(Event, events);
  const auto share = static_cast<uint32_t>(block_id()) / static_cast<uint32_t>(c.parts);
  const int part = static_cast<int>(static_cast<uint32_t>(block_id()) - share * c.parts);
  find_share(c.shares, share, found);
  barrier();
  const Begin from = found[0], to = found[1];
  if (from.row >= c.shares.rows) {  // nothing but padding
    if (part == 0 && thread_id() == 0) c.divided[share] = {kNoRow, 0, kNoRow, 0};
    return;
  }
  int count = static_cast<int>(to.lookup - from.lookup + to.row - from.row);
  if (kAdds && c.shares.by_lookups != 0) count = list_lookups(c, from, to, events);
  const int each = (count + c.teams - 1) / c.teams;
  if (!kAdds || c.shares.by_lookups == 0) list_events(c, from, to, each, events, before);
  barrier();

  const int team = thread_id() / c.lanes, place = thread_id() % c.lanes;
  const int column = (part * c.lanes + place) * kUnit;
  const int64_t place_in_out = place_of(c, column, c.out_step);
  const Lane<T, kUnit> lane = {static_cast<const T*>(c.grad) + place_of(c, column, c.grad_step),
                               static_cast<const T*>(c.base) + (kAdds ? place_in_out : 0),
                               static_cast<T*>(c.out) + place_in_out,
                               team < c.teams && column < c.columns};
  const TeamSums teams = {first, open, ended};
  const int begin = team * each, end = begin + each < count ? begin + each : count;
  const bool works = team < c.teams && begin < count;
  uint32_t row = works ? from.row + begin - before[team] : 0;  // by lookups ends know it
  float sum[kUnit];
#pragma unroll
  for (int j = 0; j < kUnit; ++j) sum[j] = kNone<kAdds>;
  bool ends = false;
  if (works) {
    float* const own = first + thread_id() * kUnit;
    ends = add_events<T, kUnit, kAdds>(c, lane, events, begin, end, &row, own, sum);
  }
  store_sums(open + thread_id() * kUnit, sum);
  if (place == 0 && team < c.teams) ended[team] = ends;
  barrier();

  if (ends && lane.has) {
    add_open<kAdds>(teams, team, c.lanes, place, sum);
#pragma unroll
    for (int j = 0; j < kUnit; ++j) sum[j] += first[thread_id() * kUnit + j];
    if (from.divides != 0 && !any_ended(teams, team)) {
      store_sums(c.ended_sums + int64_t{slot_of(c, from)} * c.padded_columns + column, sum);
    } else {
      store_unit<T, kUnit>(lane.out + int64_t{row} * c.width, sum);
    }
  }
  if (to.divides != 0 && team == 0 && lane.has) {
    add_open<kAdds>(teams, c.teams, c.lanes, place, sum);
    store_sums(c.open_sums + int64_t{slot_of(c, to)} * c.padded_columns + column, sum);
  }
  if (part == 0 && thread_id() == 0) {
    c.divided[share] = divided_by(c, from, to);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_EMBEDDING_BACKWARD_H_
