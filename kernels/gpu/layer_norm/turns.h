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
  int32_t of_class = 0;  // rows, and at most one that there is not; for ClusterTurns

  struct Run {
    uint32_t first, end;  // rows of a class
  };
  // Rows that the blocks before this one have, of those that are shared among them.
  GPU_DEVICE uint32_t before(uint32_t block) const {
    const auto full = static_cast<uint32_t>(longer);
    return block * static_cast<uint32_t>(each) - (block > full ? block - full : 0);
  }
  GPU_DEVICE Run run(uint32_t of, uint32_t from, uint32_t to, int32_t rows) const {
    const auto c = static_cast<uint32_t>(classes);
    const uint32_t end = to * c + of;
    return {from * c + of, end < static_cast<uint32_t>(rows) ? end : static_cast<uint32_t>(rows)};
  }
  GPU_DEVICE Run of(int64_t block, int32_t rows) const {
    const auto b = static_cast<uint32_t>(block);
    const auto c = static_cast<uint32_t>(classes);
    const uint32_t in_class = c == 1 ? b : b / c;
    return run(b - in_class * c, before(in_class), before(in_class + 1), rows);
  }
  GPU_DEVICE uint32_t step() const { return static_cast<uint32_t>(teams * classes); }
};

// Clusters are so few that some would be idle if each had rows of one class alone: they share all
// rows, class after class, so that some have the end of a class and the beginning of the next one.
struct ClusterTurns {
  const Turns& turns;
  uint32_t at, end;  // in that order
  uint32_t of;       // class

  GPU_DEVICE ClusterTurns(const Turns& all, int64_t cluster)
      : turns(all),
        at(all.before(static_cast<uint32_t>(cluster))),
        end(all.before(static_cast<uint32_t>(cluster) + 1)),
        of(at / static_cast<uint32_t>(all.of_class)) {}
  // Those of this class; there may be none.
  GPU_DEVICE Turns::Run run(int32_t rows) const {
    const uint32_t first = of * static_cast<uint32_t>(turns.of_class);
    const uint32_t last = first + static_cast<uint32_t>(turns.of_class);
    return turns.run(of, at - first, (end < last ? end : last) - first, rows);
  }
  // Whether the next class is this cluster's, too. One that begins with the next cluster's rows is,
  // so that a cluster's number and the class' are together that of a part of all rows.
  GPU_DEVICE bool next() {
    at = ++of * static_cast<uint32_t>(turns.of_class);
    return at <= end && of < static_cast<uint32_t>(turns.classes);
  }
};

struct Plan {
  Turns turns;
  int64_t blocks, parts;  // parts of all rows: a block's, or of a cluster those of a class
};

// The rows of each class for so many blocks, of which no two differ by more than one.
inline Plan share_rows(int64_t of_class, int64_t blocks, int teams, int classes) {
  const int64_t each = (of_class + blocks - 1) / blocks;
  const int64_t longer = of_class - blocks * (each - 1);
  return {{classes, static_cast<int32_t>(each), teams, static_cast<int32_t>(longer)},
          blocks * classes,
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

// The same for clusters of one team, `slots` of which run at a time, each of them a block here.
inline Plan plan_clusters(int64_t rows, int classes, int64_t slots) {
  if (rows <= slots) classes = 1;  // a row each
  const int64_t of_class = (rows + classes - 1) / classes, all = of_class * classes;
  Plan plan = share_rows(all, slots < 1 ? 1 : slots < all ? slots : all, 1, 1);
  plan.turns.classes = classes;
  plan.turns.of_class = static_cast<int32_t>(of_class);
  plan.parts = plan.blocks + classes - 1;
  return plan;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_TURNS_H_
