// Which rows a block, or a cluster, takes one after the other.
#ifndef POLYOPS_GPU_LAYER_NORM_TURNS_H_
#define POLYOPS_GPU_LAYER_NORM_TURNS_H_

#include <cstdint>

#include "gpu.h"

namespace polyops::gpu {
namespace {

// In each turn the rows of a block lie next to each other, as many as it has teams, beside those of
// the next block, so that what all blocks read at a time is one stretch of memory. (Those of each
// block one after the other instead, as many stretches as blocks: on an H200 float32 gradients of
// 262144x128 122 us for 113, forward 32768x1025 84 for 78.) Of rows that are cut differently a
// block has those of a class, which follow each other by `classes`.
struct Turns {
  int32_t classes, blocks, teams;  // blocks of a class
  int32_t full, rest;              // turns of all teams; rows of a block in the last one

  struct Rows {
    uint32_t begin, end;
  };
};

struct BlockTurns {
  const Turns& turns;
  uint32_t all, in_class, of;

  GPU_DEVICE BlockTurns(const Turns& by, int64_t block, int32_t rows)
      : turns(by), all(static_cast<uint32_t>(rows)) {
    const auto b = static_cast<uint32_t>(block), c = static_cast<uint32_t>(by.classes);
    in_class = c == 1 ? b : b / c;
    of = b - in_class * c;
  }
  // The first team's row, and where there are no more in that turn.
  GPU_DEVICE Turns::Rows at(int turn) const {
    const auto c = static_cast<uint32_t>(turns.classes);
    const auto blocks = static_cast<uint32_t>(turns.blocks);
    const auto teams = static_cast<uint32_t>(turns.teams);
    const auto rest = static_cast<uint32_t>(turn == turns.full ? turns.rest : 0);
    const uint32_t each = turn < turns.full ? teams : rest;
    const uint32_t before = static_cast<uint32_t>(turn) * blocks * teams;
    const uint32_t begin = (before + in_class * each) * c + of, end = begin + each * c;
    return {begin, end < all ? end : all};
  }
};

struct Plan {
  Turns turns;
  int64_t blocks;
};

// The rows of each class for so many blocks, which share those of the last turn.
inline Plan share_rows(int64_t of_class, int64_t blocks, int teams, int classes) {
  const int64_t full = of_class / (blocks * teams), left = of_class - full * blocks * teams;
  return {{classes, static_cast<int32_t>(blocks), teams, static_cast<int32_t>(full),
           static_cast<int32_t>((left + blocks - 1) / blocks)},
          blocks * classes};
}

// As many blocks as run at a time, `slots`; beyond `most_turns` a multiple of them, whose last ones
// fill up what the others leave.
inline Plan plan_turns(int64_t rows, int teams, int classes, int64_t slots, int64_t most_turns) {
  const int64_t of_class = (rows + classes - 1) / classes;
  const int64_t all = (of_class + teams - 1) / teams;
  int64_t blocks = slots > classes ? slots / classes : 1;
  while ((all + blocks - 1) / blocks > most_turns) blocks *= 2;
  return share_rows(of_class, blocks < all ? blocks : all, teams, classes);
}

// The same for clusters of one team, `slots` of which run at a time: as many waves of them, at most
// `most` in all, as take the fewest turns one after the other; to begin is worth another one.
constexpr int kMostClusterWaves = 4;
inline Plan plan_waves(int64_t rows, int classes, int64_t slots, int64_t most) {
  const int64_t of_class = (rows + classes - 1) / classes;
  Plan best = {};
  int64_t best_cost = 0;
  for (int waves = 1; waves <= kMostClusterWaves; ++waves) {
    const int64_t each = (slots * waves < most ? slots * waves : most) / classes;
    const int64_t blocks = each < 1 ? 1 : each < of_class ? each : of_class;
    const Plan plan = share_rows(of_class, blocks, 1, classes);
    const int64_t turns = plan.turns.full + plan.turns.rest;
    const int64_t cost = (turns + 1) * ((plan.blocks + slots - 1) / slots);
    if (waves > 1 && cost >= best_cost) continue;
    best = plan;
    best_cost = cost;
  }
  return best;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_TURNS_H_
