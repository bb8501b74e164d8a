// By how many blocks, clusters' or teams', groups are held for their gradient (backward_held.h),
// and in which units.
#ifndef POLYOPS_GPU_GROUP_NORM_BACKWARD_PLAN_H_
#define POLYOPS_GPU_GROUP_NORM_BACKWARD_PLAN_H_

#include "channel_norm/walk_plan.h"
#include "division.h"
#include "held_plan.h"

namespace polyops::gpu {
namespace {

struct HeldUnits {
  int32_t count;          // of a block, at most
  int32_t pieces, parts;  // of a unit; units of a channel
  int32_t strip, strips;  // pieces of one; of a unit
  int team;
  Division by_pieces, by_parts;
  int32_t early = 0;  // pieces of the next group, see prefetch_group()
};

constexpr int64_t kMostUnitParts = 8;  // of a channel, that the workspace always has room for
// Of all channels of all samples, or as many as have so many elements each.
constexpr int64_t kMostUnits = 1 << 16, kUnitElements = 64;
constexpr int64_t kStripPieces = 64;  // or fewer; an odd number cannot be halved

// Parts of a channel, of so many channels of all samples of so many elements.
inline int64_t most_unit_parts(int64_t channels, int64_t pixels) {
  const int64_t units = channels * pixels / kUnitElements;
  const int64_t parts = (units < kMostUnits ? units : kMostUnits) / channels;
  return parts < kMostUnitParts ? kMostUnitParts : parts;
}

// Of groups of `width` channels of so many pieces, by so many blocks: those with a unit more than
// others are at most an eighth larger, if so many parts suffice.
inline HeldUnits divide_units(int64_t width, int64_t pieces, int64_t blocks, int64_t most_parts) {
  int64_t parts = 1, unit = pieces;
  const auto count = [&] { return round_up_quotient(width * parts, blocks); };
  while (unit % 2 == 0 && parts * 2 <= most_parts && count() * blocks * 8 > width * parts * 9) {
    parts *= 2;
    unit /= 2;
  }
  int64_t strip = unit;
  while (strip % 2 == 0 && strip > kStripPieces) strip /= 2;
  return {static_cast<int32_t>(count()),         static_cast<int32_t>(unit),
          static_cast<int32_t>(parts),           static_cast<int32_t>(strip),
          static_cast<int32_t>(unit / strip),    lanes_of(strip, 1, kHalfWave),
          Division(static_cast<uint32_t>(unit)), Division(static_cast<uint32_t>(parts))};
}

// Of a block, for pieces of so many bytes.
inline int64_t shared_of(const HeldUnits& of, int64_t bytes) {
  return of.count * (int64_t{of.pieces} * 2 * bytes + int64_t{of.strips} * 8 + 2 * 4);
}

struct GradientPlan {
  HeldPlan<HeldUnits> held;  // without blocks where there is no room
  int64_t clusters;          // or teams
  bool teams;
};

// By clusters. walking(held): how many of them.
template <class F>
GradientPlan plan_held_gradient(int64_t rows, int64_t width, int64_t pieces, int64_t bytes,
                                F walking, const polyops_context* ctx) {
  const int64_t blocks = held_blocks(rows, width * pieces, 2 * bytes, ctx);
  const HeldUnits shape = divide_units(width, pieces, blocks, kMostUnitParts);
  const int64_t shared = shared_of(shape, bytes);
  if (shared > most_shared(ctx)) return {};
  const auto held =
      plan_blocks(shape, rows, blocks, int64_t{shape.count} * shape.pieces, shared, ctx);
  return {held, held.blocks == 0 ? 0 : walking(held), false};
}

// Of so many packs, as blocks with more of them than others take them.
inline int64_t cost_of_units(const WalkTask& task, const HeldUnits& units, const WalkWay& way,
                             const polyops_context* ctx) {
  WalkTask whole = task;
  if (way.blocks != 0) whole.width = way.blocks * units.count * units.pieces;
  return walk_cost(whole, way, ctx);
}

constexpr int64_t kTeamBesides = 4 << 10;  // bytes of a block's sums and its own arrays

// By teams (channel_norm/walk_team.h), if that is better than `other`, of packs.
inline GradientPlan plan_team_gradient(int64_t rows, int64_t width, int64_t pieces,
                                       int64_t most_parts, const GradientPlan& other,
                                       const polyops_context* ctx) {
  const WalkTask task = {rows, 1, width * pieces, 2, 0, 0};
  // Some blocks have more than their part.
  const WalkTask larger = {rows, 1, task.width + quotient_up(task.width, 8), 2, kTeamBesides, 0};
  const WalkWay way = way_of_teams(larger, ctx);
  if (way.blocks == 0) return other;
  const HeldUnits units = divide_units(width, pieces, way.blocks, most_parts);
  const int64_t shared = shared_of(units, 16);
  if (shared + kHeldSlack > shared_each(ctx, kTeamResident)) return other;
  const auto blocks = static_cast<int64_t>(other.held.blocks);
  const int64_t bytes = static_cast<int64_t>(other.held.shared);
  const WalkWay clusters = {blocks, blocks == 0 ? 0 : resident_blocks(rows * blocks, bytes, ctx),
                            other.clusters};
  if (cost_of_units(task, units, way, ctx) * 9 >=
      cost_of_units(task, other.held.shape, clusters, ctx) * 8) {
    return other;
  }
  const int64_t busy = quotient_up(int64_t{units.count} * units.pieces, kThreadPacks);
  const int64_t most = kResidentThreads / kTeamResident;
  const int64_t threads = quotient_up(busy < most ? busy : most, kWholeWaves) * kWholeWaves;
  return {
      {static_cast<int>(way.blocks), static_cast<int>(threads), units, static_cast<size_t>(shared)},
      way.clusters,
      true};
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_GROUP_NORM_BACKWARD_PLAN_H_
