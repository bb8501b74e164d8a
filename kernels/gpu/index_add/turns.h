// scatter_add along the last dimension, where its places fit into a wave's part of the block's
// memory: without a sort. A wave has a line, or a chunk of one, and adds its elements there in
// their order, of each lane one at a time; lanes claim their places by a bit each, and those that
// name the same one take turns, as votes on the places' bits say. Then the wave adds its sums to
// self's line; those of chunks go to scratch memory, and are added up in order. Bound: memory.
// Lost: votes without claims (on an H200 16384x4096 float32 697 us, 531 with them, bfloat16 714 and
// 515; one line of 16777216 to 4096 places 202 and 152, 209 and 154).
#ifndef POLYOPS_GPU_INDEX_ADD_TURNS_H_
#define POLYOPS_GPU_INDEX_ADD_TURNS_H_

#include <cstdint>

#include "division.h"
#include "embedding/call.h"
#include "gpu.h"
#include "indices.h"

namespace polyops::gpu {
namespace {

constexpr int kTurnThreads = 64;
constexpr int kTurnItems = 8;  // of a lane, all on their way at once: waves are few

struct TurnsCall {
  Indices index;
  const void* src;
  const void* base;
  void* out;
  float* sums;          // of chunks, if there are any
  int64_t index_outer;  // halves
  Division of_line;     // by chunks
  uint32_t units;       // lines times chunks
  uint32_t count;       // elements of a line
  uint32_t of_chunk;
  int32_t places;
  int32_t bits;  // of a place
  int32_t from_end;
  int32_t claims;       // where they begin, in words
  int32_t claim_words;  // of an item
};

template <class T>
struct Turns {
  Index index[kTurnItems];
  T x[kTurnItems];
};

template <class T>
GPU_DEVICE void load_turns(const Indices& index, const T* src, uint32_t first, uint32_t end,
                           Turns<T>* turns) {
#pragma unroll
  for (int k = 0; k < kTurnItems; ++k) {
    const uint32_t i = first + k * wave_size() + thread_id() % wave_size();
    const uint32_t at = i < end ? i : end - 1;
    turns->index[k] = index.load(at);
    turns->x[k] = src[at];
  }
}

// Adds the lanes' x that are wanted to what a wave has in the block's memory, in their order.
GPU_DEVICE void add_in_order(float* sums, uint32_t place, bool wanted, const SameLanes& same,
                             float x) {
  int turns = 0;
  while (any_lane(wanted && turns < same.all)) ++turns;
  for (int turn = 0; turn < turns; ++turn) {
    wave_barrier();
    if (wanted && same.before == turn) sums[place] += x;
  }
}

// Places that lanes have claimed, a bit each, for each of some items at a time. Lanes rarely meet
// where places are many: then a vote shows that none do.
constexpr int kClaimedItems = 4;

struct Claims {
  uint32_t* bits;
  int words;  // an item's, a multiple of 4

  GPU_DEVICE void clear() const {
    for (int i = thread_id() % wave_size() * 4; i < kClaimedItems * words; i += wave_size() * 4) {
      *reinterpret_cast<Words*>(bits + i) = Words{};
    }
  }
  // Whether another lane has claimed it. No branch, which would wait for each of them.
  GPU_DEVICE bool claim(int item, uint32_t place, bool wanted) const {
    const uint32_t bit = wanted ? uint32_t{1} << place % 32 : 0;
    return (claim_bits(bits + item * words + (wanted ? place / 32 : 0), bit) & bit) != 0;
  }
};

template <class T>
GPU_DEVICE void add_turns(const TurnsCall& c, const Turns<T>& turns, uint32_t first, uint32_t end,
                          float* sums, const Claims& claims) {
  uint32_t place[kTurnItems];
  bool right = true;
#pragma unroll
  for (int k = 0; k < kTurnItems; ++k) {
    const Index x = c.from_end != 0 ? c.index.counted(turns.index[k]) : turns.index[k];
    const uint32_t i = first + k * wave_size() + thread_id() % wave_size();
    right = right && c.index.names(x);
    place[k] = i < end ? c.index.row(x) : 1u << c.bits;
  }
  halt_unless(right);
#pragma unroll
  for (int k = 0; k < kTurnItems; k += kClaimedItems) {
    if (end - first <= static_cast<uint32_t>(k * wave_size())) return;  // short lines
    wave_barrier();
    bool met[kClaimedItems];
#pragma unroll
    for (int i = 0; i < kClaimedItems; ++i) {
      met[i] = claims.claim(i, place[k + i], place[k + i] >> c.bits == 0);
    }
#pragma unroll
    for (bool& lanes_met : met) lanes_met = any_lane(lanes_met);
#pragma unroll
    for (int i = 0; i < kClaimedItems; ++i) {
      const bool wanted = place[k + i] >> c.bits == 0;
      const float x = widen(turns.x[k + i]);
      if (met[i]) {
        const uint32_t places[1] = {place[k + i]};
        SameLanes same[1];
        same_lanes(places, c.bits + 1, same);
        add_in_order(sums, place[k + i], wanted, same[0], x);
      } else {
        wave_barrier();
        if (wanted) sums[place[k + i]] += x;
      }
    }
    claims.clear();
  }
}

// What the wave will add to is on its way to a cache.
template <class T>
GPU_DEVICE void prefetch_line(const T* base, int places) {
  constexpr int kOfLine = 128 / sizeof(T);  // of the cache
  for (int i = thread_id() % wave_size() * kOfLine; i < places; i += wave_size() * kOfLine) {
    prefetch(base + i);
  }
}

// Added to the line, loads of several places before the first is stored.
template <class T>
GPU_DEVICE void add_line(const T* base, T* out, int places, const float* sums) {
  constexpr int kOfLane = 16;
  for (int first = thread_id() % wave_size(); first < places; first += kOfLane * wave_size()) {
    T x[kOfLane];
#pragma unroll
    for (int k = 0; k < kOfLane; ++k) {
      const int i = first + k * wave_size();
      x[k] = base[i < places ? i : first];
    }
#pragma unroll
    for (int k = 0; k < kOfLane; ++k) {
      const int i = first + k * wave_size();
      if (i < places) out[i] = narrow<T>(widen(x[k]) + sums[i]);
    }
  }
}

template <class T>
GPU_KERNEL(kTurnThreads)
scatter_turns(const TurnsCall c) {
  await_earlier();
  GPU_DYNAMIC_SHARED(float, memory);
  const auto waves = static_cast<uint32_t>(kTurnThreads / wave_size());
  const int wave = thread_id() / wave_size(), lane = thread_id() % wave_size();
  const uint32_t step = kTurnItems * wave_size();
  float* const sums = memory + wave * c.places;
  const Claims claims = {
      reinterpret_cast<uint32_t*>(memory) + c.claims + wave * (kClaimedItems * c.claim_words),
      c.claim_words};
  claims.clear();
  for (uint32_t unit = static_cast<uint32_t>(block_id()) * waves + wave; unit < c.units;
       unit += static_cast<uint32_t>(grid_blocks()) * waves) {
    uint32_t line = unit;
    const uint32_t begin = take_remainder(c.of_line, &line) * c.of_chunk;
    const uint32_t end = c.count - begin < c.of_chunk ? c.count : begin + c.of_chunk;
    const Indices index = c.index.from(line * c.index_outer);
    const T* const src = static_cast<const T*>(c.src) + int64_t{line} * c.count;
    Turns<T> next;
    load_turns(index, src, begin, end, &next);
    const int64_t of_line = int64_t{line} * c.places;
    const T* const base = static_cast<const T*>(c.base) + of_line;
    if (c.sums == nullptr) prefetch_line(base, c.places);
    // Of places that this lane alone has looked at since the last barrier.
    for (int i = lane; i < c.places; i += wave_size()) sums[i] = kNone<true>;
    for (uint32_t first = begin; first < end; first += step) {
      const Turns<T> now = next;
      if (end - first > step) load_turns(index, src, first + step, end, &next);
      add_turns(c, now, first, end, sums, claims);
    }
    wave_barrier();
    if (c.sums != nullptr) {
      float* const own = c.sums + int64_t{unit} * c.places;
      for (int i = lane; i < c.places; i += wave_size()) own[i] = sums[i];
    } else {
      add_line(base, static_cast<T*>(c.out) + of_line, c.places, sums);
    }
  }
}

// Of 32 places of a line to a block: each 32 threads add up some chunks.
constexpr int kTurnParts = 32;

template <class T>
GPU_KERNEL(32 * kTurnParts)
scatter_turns_finish(const TurnsCall c) {
  await_earlier();
  GPU_SHARED(float, parts, 32 * kTurnParts);
  const uint32_t tiles = static_cast<uint32_t>(c.places + 31) / 32, chunks = c.of_line.divisor;
  const uint32_t line = static_cast<uint32_t>(block_id()) / tiles;
  const int place = static_cast<int>(block_id() - line * tiles) * 32 + thread_id() % 32;
  const uint32_t part = thread_id() / 32, each = (chunks + kTurnParts - 1) / kTurnParts;
  const uint32_t end = (part + 1) * each < chunks ? (part + 1) * each : chunks;
  const float* const sums = c.sums + (place < c.places ? place : 0);
  float sum = kNone<true>;
#pragma unroll 8
  for (uint32_t chunk = part * each; chunk < end; ++chunk) {
    sum += sums[(int64_t{line} * chunks + chunk) * c.places];
  }
  parts[thread_id()] = sum;
  barrier();
  if (part != 0 || place >= c.places) return;
  for (int p = 1; p < kTurnParts; ++p) sum += parts[p * 32 + thread_id()];
  const int64_t at = int64_t{line} * c.places + place;
  static_cast<T*>(c.out)[at] = narrow<T>(widen(static_cast<const T*>(c.base)[at]) + sum);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_INDEX_ADD_TURNS_H_
