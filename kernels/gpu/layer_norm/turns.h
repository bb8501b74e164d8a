// Which rows a block, or a cluster, takes one after the other.
#ifndef POLYOPS_GPU_LAYER_NORM_TURNS_H_
#define POLYOPS_GPU_LAYER_NORM_TURNS_H_

#include <cstdint>

#include "gpu.h"

namespace polyops::gpu {
namespace {

// In each turn as many rows as it has teams, all of a class, whose rows follow each other by
// `classes`. The first blocks of a class, `longer` of them, have `each` rows in all, the others one
// less; so multiprocessors end together, in whose last turn some teams have nothing.
struct Turns {
  int32_t classes, each, teams, longer;

  GPU_DEVICE uint32_t first(int64_t block) const {
    const auto b = static_cast<uint32_t>(block);
    const auto c = static_cast<uint32_t>(classes);
    const uint32_t of_class = b / c;
    const auto full = static_cast<uint32_t>(longer);
    const uint32_t most = of_class * static_cast<uint32_t>(each);
    return (of_class > full ? most - (of_class - full) : most) * c + b % c;
  }
  GPU_DEVICE int32_t rows_of(int64_t block) const {
    return static_cast<int32_t>(block / classes) < longer ? each : each - 1;
  }
  // Of `rows` in all those before this one are the block's, from its first on.
  GPU_DEVICE uint32_t end(int64_t block, int32_t rows) const {
    const uint32_t mine = first(block) + static_cast<uint32_t>(rows_of(block) * classes);
    return mine < static_cast<uint32_t>(rows) ? mine : static_cast<uint32_t>(rows);
  }
  GPU_DEVICE uint32_t step() const { return static_cast<uint32_t>(teams * classes); }
};

struct Plan {
  Turns turns;
  int64_t blocks;
};

// The rows of each class for so many blocks, of which no two differ by more than one.
inline Plan share_rows(int64_t of_class, int64_t blocks, int teams, int classes) {
  const int64_t each = (of_class + blocks - 1) / blocks;
  const int64_t longer = of_class - blocks * (each - 1);
  return {{classes, static_cast<int32_t>(each), teams, static_cast<int32_t>(longer)},
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
    const int64_t cost = (plan.turns.each + 1) * ((plan.blocks + slots - 1) / slots);
    if (waves > 1 && cost >= best_cost) continue;
    best = plan;
    best_cost = cost;
  }
  return best;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_TURNS_H_
