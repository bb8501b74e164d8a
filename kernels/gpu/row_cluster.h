// A row in the registers of a cluster's blocks.
#ifndef POLYOPS_GPU_ROW_CLUSTER_H_
#define POLYOPS_GPU_ROW_CLUSTER_H_

#include <cstdint>

#include "gpu.h"

namespace polyops::gpu {
namespace {

// Blocks of a row, and threads in each; one block: no cluster takes it.
struct RowCluster {
  int blocks, threads;
};

// Bytes of rows that a multiprocessor has to have under way to be as fast as memory.
constexpr int64_t kUnderWay = 40 << 10;

// For `rows` rows of so many packs each, of which a lane takes up to `each`. Clusters that run at a
// time end together, and what the last ones leave is idle: 256 rows, 60 at a time, take 5 turns; 30 at
// a time take 9 of half the time. So those are taken that leave the least, if by more than a 32nd less
// than others; the fewest blocks, which meet soonest.
template <class... Params>
RowCluster choose_row_cluster(void (*kernel)(Params...), int64_t rows, int64_t packs, int each,
                              int most_threads, const polyops_context* ctx) {
  RowCluster best = {1, 0};
  int64_t least = 0;
  for (int blocks = 2; blocks <= most_cluster(ctx); blocks *= 2) {
    const int64_t of_block = (packs + blocks - 1) / blocks;
    for (int of_lane = each; of_lane >= each / 2; of_lane /= 2) {
      const int64_t threads = (of_block + of_lane * 64 - 1) / (of_lane * 64) * 64;
      if (threads > most_threads) continue;
      const LaunchShape shape = {blocks, static_cast<int>(threads), 0, blocks};
      const int64_t at_a_time = clusters_at_a_time(kernel, shape, ctx);
      const bool few = at_a_time * packs * 16 < kUnderWay * multiprocessors(ctx);
      if (few && at_a_time < rows && best.blocks > 1) continue;
      const int64_t places = (rows + at_a_time - 1) / at_a_time * at_a_time;
      if (best.blocks > 1 && places * 32 >= least * 31) continue;
      best = {blocks, shape.threads};
      least = places;
    }
  }
  return best;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_ROW_CLUSTER_H_
