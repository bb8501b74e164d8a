// By how many blocks channels are walked over, see walk.h and walk_team.h.
#ifndef POLYOPS_GPU_CHANNEL_NORM_WALK_PLAN_H_
#define POLYOPS_GPU_CHANNEL_NORM_WALK_PLAN_H_

#include "layer_norm/layout.h"
#include "shared_memory.h"
#include "walk.h"
#include "walk_team.h"

namespace polyops::gpu {
namespace {

struct WalkPlan {
  ChannelWalk shape;
  int blocks, threads;  // of a cluster, of a block
  int64_t clusters;
  size_t bytes;
  bool teams;  // rather than clusters
};

// Rows of `width` packs of a channel, of `inputs` tensors that are read; `besides`: bytes of a
// block for what else it keeps; `most`: of its packs, where a cluster can have more blocks.
struct WalkTask {
  int64_t channels, rows, width;
  int inputs;
  int64_t besides, most;
  bool beyond = false;  // teams, or clusters all at once, may have some packs too many

  int64_t packs() const { return rows * width; }
  int64_t bytes() const { return packs() * 16 * inputs; }
};

// How a task is taken apart.
struct WalkWay {
  int64_t blocks = 0;    // of a cluster
  int64_t resident = 0;  // blocks of a multiprocessor
  int64_t clusters = 0;
  bool teams = false;
};

constexpr int64_t kWalkBesides = 1280;        // bytes of a block's own arrays
constexpr int64_t kWalkResident = 1024;       // threads of a multiprocessor, for their registers
constexpr int64_t kLeastWalkPacks = 4;        // of a thread and a tensor, where there are as many
constexpr int64_t kLeastWalkBytes = 8 << 10;  // worth another block
constexpr int64_t kEarlyBytes = 128 << 10;    // prefetched by all blocks of a multiprocessor
constexpr int64_t kLeastEarlyRun = 1024;      // by a thread

inline int64_t quotient_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Blocks of so many bytes that a multiprocessor has room for.
inline int64_t room_for_blocks(int64_t bytes, const polyops_context* ctx) {
  return blocks_that_share(ctx, bytes + kWalkBesides);
}

// No more than it could get.
inline int64_t resident_blocks(int64_t blocks, int64_t bytes, const polyops_context* ctx) {
  const int64_t room = room_for_blocks(bytes, ctx);
  const int64_t wanted = quotient_up(blocks, multiprocessors(ctx));
  return room < wanted ? room : wanted;
}

// Clusters that walk, of so many that find room at the same time, or a few less: all as many turns.
inline int64_t walking_clusters(int64_t channels, int64_t at_a_time) {
  if (at_a_time < 1) at_a_time = 1;
  return quotient_up(channels, quotient_up(channels, at_a_time));
}

// Packs of each tensor that a block has room for.
inline int64_t walk_room(const WalkTask& task, const WalkWay& way, const polyops_context* ctx) {
  const int64_t bytes = way.teams ? shared_each(ctx, way.resident) : most_shared(ctx);
  return (bytes - kWalkBesides - task.besides) / (16 * task.inputs);
}

// Packs of a block with so much room, where some may be beyond that.
inline int64_t with_beyond(int64_t room) { return room + room / 7; }

// at_a_time: see plan_walk().
template <class F>
WalkWay way_to_walk(const WalkTask& task, F at_a_time, const polyops_context* ctx) {
  int64_t blocks = 1;
  while (blocks < most_cluster(ctx) && blocks * 2 <= task.packs() &&
         (task.bytes() > blocks * task.most || (task.channels * blocks < multiprocessors(ctx) &&
                                                task.bytes() > blocks * kLeastWalkBytes))) {
    blocks *= 2;
  }
  const int64_t part = quotient_up(task.packs(), blocks) * 16 * task.inputs;
  const int64_t room = resident_blocks(task.channels * blocks, part + task.besides, ctx);
  const int64_t resident = room == 0 ? 1 : room;
  const int64_t clusters = walking_clusters(task.channels, at_a_time(blocks) * resident);
  // Too large: worth it if few multiprocessors are without a block.
  if (room == 0 && clusters * blocks * 4 < multiprocessors(ctx) * 3) return {};
  return {blocks, resident, clusters};
}

// Of so many bytes, that a block prefetches. (As long as blocks wait for each other memory brings a
// little more than that, and the cache has room for results beside it.)
inline int64_t early_packs(int64_t resident, int64_t bytes) {
  return kEarlyBytes / (resident * bytes);
}

inline WalkPlan plan_of(const WalkTask& task, const WalkWay& way, const polyops_context* ctx) {
  const auto i32 = [](int64_t x) { return static_cast<int32_t>(x); };
  const int64_t part = quotient_up(task.packs(), way.blocks);
  int64_t threads = kWalkResident / way.resident / kWholeWaves * kWholeWaves;
  const int64_t busy = quotient_up(part, kLeastWalkPacks * kWholeWaves) * kWholeWaves;
  if (threads > busy) threads = busy;
  if (threads < kWholeWaves) threads = kWholeWaves;
  const int64_t room = walk_room(task, way, ctx), places = part < room ? part : room;
  const int64_t bytes = places * task.inputs * 16 + task.besides;
  int64_t early = early_packs(way.resident, 16 * task.inputs);
  // Forward teams are slower for it: float32 group_norm of 1x256x512x512 157 us on an H200, and
  // 167.
  const bool forward_teams = way.teams && task.inputs == 1;
  if (forward_teams || places != part || task.width * 16 < kLeastEarlyRun) early = 0;
  const ChannelWalk walk = {
      i32(task.channels),
      i32(task.packs()),
      i32(task.width),
      i32(task.channels * task.width),
      Division(static_cast<uint32_t>(task.width)),
      i32(part),
      i32(threads / task.width * task.channels * task.width + threads % task.width),
      i32(threads % task.width),
      i32(quotient_up(quotient_up(places, threads), kWalkStages)),
      i32(places),
      i32(early)};
  return {walk,         static_cast<int>(way.blocks), static_cast<int>(threads),
          way.clusters, static_cast<size_t>(bytes),   way.teams};
}

constexpr int64_t kTeamResident = 2;      // of a multiprocessor: one works where another waits
constexpr int64_t kMostTeamBlocks = 512;  // of a grid
constexpr int64_t kTeamTries = 8;         // numbers of turns
constexpr int64_t kTurnPacks = 2048;      // as dear as a turn's wait, of a team or a block alone
constexpr size_t kTeamScratch = kMostTeamBlocks * (2 * sizeof(Said) + sizeof(uint32_t));

// Packs that come and go by way of a multiprocessor. A task that is in no way walked over reads all
// of them twice.
inline int64_t walk_cost(const WalkTask& task, const WalkWay& way, const polyops_context* ctx) {
  if (way.blocks == 0) {
    const int64_t moved = task.channels * task.packs() * (2 * task.inputs + 1);
    return quotient_up(moved, multiprocessors(ctx));
  }
  const int64_t part = quotient_up(task.packs(), way.blocks), room = walk_room(task, way, ctx);
  const int64_t again = part < room ? 0 : part - room;
  const int64_t moved = (task.inputs + 1) * part + task.inputs * again;
  const bool waits = way.teams || way.resident == 1;
  const int64_t wait = waits ? kTurnPacks : 0;
  return quotient_up(task.channels, way.clusters) * (way.resident * moved + wait);
}

// By teams, of tasks that almost fill the chip's shared memory, or more than that.
inline WalkWay way_of_teams(const WalkTask& task, const polyops_context* ctx) {
  int64_t slots = kTeamResident * multiprocessors(ctx);
  if (slots > kMostTeamBlocks) slots = kMostTeamBlocks;
  const int64_t room = walk_room(task, {0, kTeamResident, 0, true}, ctx);
  if (room < 1 || task.channels * task.packs() * 4 < slots * room * 3) return {};
  const int64_t least = quotient_up(task.packs(), task.beyond ? with_beyond(room) : room);
  if (least > slots) return {};
  const int64_t first = quotient_up(task.channels, slots / least);
  WalkWay best;
  for (int64_t turns = first < 2 ? 2 : first; turns < first + kTeamTries; ++turns) {
    const int64_t teams = quotient_up(task.channels, turns);
    const WalkWay way = {slots / teams, kTeamResident, teams, true};
    if (way.blocks < 2 || way.blocks < least) continue;
    // Each block has some of a channel.
    if ((way.blocks - 1) * quotient_up(task.packs(), way.blocks) >= task.packs()) continue;
    if (best.blocks == 0 || walk_cost(task, way, ctx) < walk_cost(task, best, ctx)) best = way;
  }
  return best;
}

// By clusters that all find room at once, of fewer blocks, which are alone on a multiprocessor.
template <class F>
WalkWay way_at_once(const WalkTask& task, F at_a_time, const polyops_context* ctx) {
  for (int64_t blocks = 1; task.beyond && blocks <= most_cluster(ctx); blocks *= 2) {
    const WalkWay way = {blocks, 1, task.channels};
    if (quotient_up(task.packs(), blocks) > with_beyond(walk_room(task, way, ctx))) continue;
    return task.channels > at_a_time(blocks) ? WalkWay{} : way;
  }
  return {};
}

// at_a_time(blocks): clusters of so many that run at the same time, each block on a multiprocessor
// of its own. Without blocks where there is no way.
template <class F>
WalkPlan plan_walk(const WalkTask& task, F at_a_time, const polyops_context* ctx) {
  if (task.rows * task.channels * task.width > kMostElements) return {};
  WalkWay way = way_to_walk(task, at_a_time, ctx);
  const WalkWay at_once = way_at_once(task, at_a_time, ctx);
  if (at_once.blocks != 0 && walk_cost(task, at_once, ctx) < walk_cost(task, way, ctx)) {
    way = at_once;
  }
  const WalkWay teams = way_of_teams(task, ctx);
  // They must be worth their waiting.
  if (teams.blocks != 0 && walk_cost(task, teams, ctx) * 9 < walk_cost(task, way, ctx) * 8) {
    way = teams;
  }
  if (way.blocks == 0) return {};
  return plan_of(task, way, ctx);
}

// Of so few teams, whose channels are large, half begin late. On an H200 group_norm of float32
// 1x256x512x512 176 and 157 us, of bfloat16 1x128x1024x1024 186 and 171, of float32 1x128x512x512
// 94 and 90, its gradient 160 and 137; of bfloat16 2x512x128x128, 32 teams, 29.7 and 32.9.
constexpr int64_t kFewTeams = 8;

// Teams of so many blocks; `scratch`: kTeamScratch bytes.
inline ByTeam by_team(void* scratch, int64_t blocks, int64_t teams, int64_t channels) {
  auto* const said = static_cast<Said*>(scratch);
  auto* const counts = reinterpret_cast<uint32_t*>(said + teams * blocks * 2);
  return {said, counts, static_cast<int32_t>(blocks),
          static_cast<int32_t>(quotient_up(channels, teams)),
          static_cast<int32_t>(teams <= kFewTeams ? quotient_up(teams, 2) : teams)};
}

// `clustered` and `teamed` take the shape, `args` and what blocks are of.
template <class Clustered, class Teamed, class... Args>
int launch_planned(const WalkPlan& plan, Clustered clustered, Teamed teamed,
                   const polyops_context* ctx, const Args&... args) {
  LaunchShape shape = {plan.clusters * plan.blocks, plan.threads, plan.bytes};
  if (!plan.teams) {
    shape.cluster = plan.blocks;
    return launch(clustered, shape, ctx, plan.shape, args..., ByCluster{});
  }
  shape.whole = true;
  const ByTeam by = by_team(ctx->scratch, plan.blocks, plan.clusters, plan.shape.channels);
  return launch(teamed, shape, ctx, plan.shape, args..., by);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CHANNEL_NORM_WALK_PLAN_H_
