// scatter_add along the last dimension, where its places fit into a wave's part of the block's memory:
// without a sort. A wave has a line, or a chunk of one, and adds its elements there in their order, of
// each lane one at a time; lanes that name the same place take turns. Then it adds what it has to
// self's line; sums of chunks go to scratch memory, and are added up in order. Bound: memory.
#ifndef POLYOPS_GPU_INDEX_ADD_TURNS_H_
#define POLYOPS_GPU_INDEX_ADD_TURNS_H_

#include <bit>
#include <cstdint>

#include "division.h"
#include "embedding/call.h"
#include "gpu.h"
#include "indices.h"
#include "scatter_add.h"

namespace polyops::gpu {
namespace {

constexpr int kTurnThreads = 64;
constexpr int kTurnItems = 4;           // of a lane, all on their way at once
constexpr int64_t kMostPlaces = 8192;   // of a line
constexpr int64_t kTurnShare = 8;       // of the places, that are named at least
constexpr int64_t kWantedUnits = 2048;  // for fewer lines, lines are cut into chunks
constexpr int64_t kLeastChunk = 1024;

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

template <class T>
GPU_DEVICE void add_turns(const TurnsCall& c, const Turns<T>& turns, uint32_t first, uint32_t end,
                          float* sums) {
  uint32_t place[kTurnItems];
  SameLanes same[kTurnItems];
  bool right = true;
#pragma unroll
  for (int k = 0; k < kTurnItems; ++k) {
    const Index x = c.from_end != 0 ? c.index.counted(turns.index[k]) : turns.index[k];
    const uint32_t i = first + k * wave_size() + thread_id() % wave_size();
    right = right && c.index.names(x);
    place[k] = i < end ? c.index.row(x) : 1u << c.bits;
  }
  halt_unless(right);
  same_lanes(place, c.bits + 1, same);
  int most = 1;  // lanes that name one place
#pragma unroll
  for (int k = 0; k < kTurnItems; ++k) {
    if (place[k] >> c.bits == 0 && same[k].all > most) most = same[k].all;
  }
  int rounds = 1;
  while (any_lane(most > rounds)) ++rounds;
#pragma unroll
  for (int k = 0; k < kTurnItems; ++k) {
#pragma unroll 1
    for (int turn = 0; turn < rounds; ++turn) {
      wave_barrier();
      if (place[k] >> c.bits == 0 && same[k].before == turn) sums[place[k]] += widen(turns.x[k]);
    }
  }
}

// Added to the line, loads of several places before the first is stored.
template <class T>
GPU_DEVICE void add_line(const T* base, T* out, int places, const float* sums) {
  constexpr int kOfLane = 8;
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
  GPU_DYNAMIC_SHARED(float, memory);
  const auto waves = static_cast<uint32_t>(kTurnThreads / wave_size());
  const int wave = thread_id() / wave_size(), lane = thread_id() % wave_size();
  const uint32_t step = kTurnItems * wave_size();
  float* const sums = memory + wave * c.places;
  for (uint32_t unit = static_cast<uint32_t>(block_id()) * waves + wave; unit < c.units;
       unit += static_cast<uint32_t>(grid_blocks()) * waves) {
    uint32_t line = unit;
    const uint32_t begin = take_remainder(c.of_line, &line) * c.of_chunk;
    const uint32_t end = c.count - begin < c.of_chunk ? c.count : begin + c.of_chunk;
    const Indices index = c.index.from(line * c.index_outer);
    const T* const src = static_cast<const T*>(c.src) + int64_t{line} * c.count;
    Turns<T> next;
    load_turns(index, src, begin, end, &next);
    // Of places that this lane alone has looked at since the last barrier.
    for (int i = lane; i < c.places; i += wave_size()) sums[i] = kNone<true>;
    for (uint32_t first = begin; first < end; first += step) {
      const Turns<T> now = next;
      if (end - first > step) load_turns(index, src, first + step, end, &next);
      add_turns(c, now, first, end, sums);
    }
    wave_barrier();
    if (c.sums != nullptr) {
      float* const own = c.sums + int64_t{unit} * c.places;
      for (int i = lane; i < c.places; i += wave_size()) own[i] = sums[i];
    } else {
      const int64_t place = int64_t{line} * c.places;
      add_line(static_cast<const T*>(c.base) + place, static_cast<T*>(c.out) + place, c.places,
               sums);
    }
  }
}

// Of 32 places of a line to a block: each 32 threads add up some chunks.
constexpr int kTurnParts = 32;

template <class T>
GPU_KERNEL(32 * kTurnParts)
scatter_turns_finish(const TurnsCall c) {
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

struct TurnPlan {
  int64_t lines, chunks, of_chunk;
  size_t bytes;  // of the chunks' sums
};

// Of the sizes alone, so that sums are the same on each device.
inline TurnPlan turn_plan(const polyops_scatter_add_args& a) {
  const int64_t count = a.index.sizes[a.dim], places = a.dst.sizes[a.dim];
  TurnPlan p = {numel_between(a.dst, 0, a.dim), 1, count, 0};
  if (p.lines < kWantedUnits) {
    p.of_chunk = ceil_div(count, ceil_div(kWantedUnits, p.lines));
    if (p.of_chunk < kLeastChunk) p.of_chunk = kLeastChunk;
    if (p.of_chunk < 2 * places) p.of_chunk = 2 * places;  // sums are not most of what is moved
    p.of_chunk = ceil_div(p.of_chunk, 64 * kTurnItems) * 64 * kTurnItems;
    p.chunks = ceil_div(count, p.of_chunk);
  }
  if (p.chunks > 1) p.bytes = sizeof(float) * static_cast<size_t>(p.lines * p.chunks * places);
  return p;
}

inline const char* turns_supports(const void* data) {
  if (const char* reason = scatter_supports(data)) return reason;
  const auto& a = *static_cast<const polyops_scatter_add_args*>(data);
  if (numel_between(a.dst, a.dim + 1, a.dst.rank) != 1) return "layout";
  const int64_t places = a.dst.sizes[a.dim];
  return places <= kMostPlaces && a.index.sizes[a.dim] * kTurnShare >= places ? nullptr : "size";
}

inline size_t turns_scratch(const void* data, int32_t) {
  return turn_plan(*static_cast<const polyops_scatter_add_args*>(data)).bytes;
}

inline int scatter_by_turns(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_scatter_add_args*>(data);
  const TurnPlan p = turn_plan(a);
  Scattered s;
  scattered(a, &s);
  const int64_t places = a.dst.sizes[a.dim];
  TurnsCall call = {};
  call.index = places_of(a);
  call.src = a.src.data;
  call.base = a.self.data;
  call.out = a.dst.data;
  if (p.chunks > 1) call.sums = static_cast<float*>(ctx->scratch);
  call.index_outer = s.outer_step * (call.index.is_short != 0 ? 1 : 2);
  call.of_line = Division(static_cast<uint32_t>(p.chunks));
  call.units = static_cast<uint32_t>(p.lines * p.chunks);
  call.count = static_cast<uint32_t>(a.index.sizes[a.dim]);
  call.of_chunk = static_cast<uint32_t>(p.of_chunk);
  call.places = static_cast<int32_t>(places);
  call.bits = std::bit_width(static_cast<uint32_t>(places - 1));
  call.from_end = a.from_end;
  constexpr int64_t kMostWaves = kTurnThreads / 32;
  const LaunchShape turns = {ceil_div(p.lines * p.chunks, kMostWaves), kTurnThreads,
                             sizeof(float) * static_cast<size_t>(places * kMostWaves)};
  return with_type(a.dst.dtype, [&]<class T>() {
    const int status = gpu::launch(scatter_turns<T>, turns, ctx, call);
    if (status != POLYOPS_OK || p.chunks == 1) return status;
    const LaunchShape finish = {p.lines * ceil_div(places, 32), 32 * kTurnParts};
    return gpu::launch(scatter_turns_finish<T>, finish, ctx, call);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_INDEX_ADD_TURNS_H_
