// scatter_add by turns (turns.h), from the host: how lines are cut into chunks, and the launches.
#ifndef POLYOPS_GPU_INDEX_ADD_BY_TURNS_H_
#define POLYOPS_GPU_INDEX_ADD_BY_TURNS_H_

#include <bit>
#include <cstdint>

#include "gpu.h"
#include "indices.h"
#include "scatter_add.h"
#include "turns.h"

namespace polyops::gpu {
namespace {

constexpr int64_t kMostPlaces = 8192;   // of a line
constexpr int64_t kTurnShare = 8;       // of the places, that are named at least
constexpr int64_t kWantedUnits = 2048;  // for fewer lines, lines are cut into chunks
constexpr int64_t kLeastChunk = 1024;

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
  call.claims = static_cast<int32_t>(places * kMostWaves + 3) / 4 * 4;
  call.claim_words = static_cast<int32_t>(ceil_div(places, 128) * 4);
  const LaunchShape turns = {
      ceil_div(p.lines * p.chunks, kMostWaves), kTurnThreads,
      4 * static_cast<size_t>(call.claims + kMostWaves * kClaimedItems * call.claim_words)};
  if (static_cast<int64_t>(turns.shared_bytes) > most_shared(ctx)) return POLYOPS_DECLINED;
  return with_type(a.dst.dtype, [&]<class T>() {
    const int status = gpu::launch(scatter_turns<T>, turns, ctx, call);
    if (status != POLYOPS_OK || p.chunks == 1) return status;
    const LaunchShape finish = {p.lines * ceil_div(places, 32), 32 * kTurnParts};
    return gpu::launch(scatter_turns_finish<T>, finish, ctx, call);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_INDEX_ADD_BY_TURNS_H_
