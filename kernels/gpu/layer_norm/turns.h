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

  struct Run {
    uint32_t first, end;  // rows, of those of the block's class
  };
  GPU_DEVICE Run of(int64_t block, int32_t rows) const {
    const auto b = static_cast<uint32_t>(block);
    const auto c = static_cast<uint32_t>(classes);
    const uint32_t of_class = c == 1 ? b : b / c;
    const auto full = static_cast<uint32_t>(longer);
    const auto most = static_cast<uint32_t>(each);
    const uint32_t before = of_class * most - (of_class > full ? of_class - full : 0);
    const uint32_t first = before * c + (b - of_class * c);
    const uint32_t end = first + (of_class < full ? most : most - 1) * c;
    return {first, end < static_cast<uint32_t>(rows) ? end : static_cast<uint32_t>(rows)};
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
