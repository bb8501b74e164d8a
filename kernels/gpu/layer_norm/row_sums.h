// The sums over a row of the gradients, one or two. Two take little more than one: from the first
// step on, lanes of a wave's upper half go on with the second, the others with the first, until all
// have both.
#ifndef POLYOPS_GPU_LAYER_NORM_ROW_SUMS_H_
#define POLYOPS_GPU_LAYER_NORM_ROW_SUMS_H_

#include "reduce.h"

namespace polyops::gpu {
namespace {

struct TwoSums {
  int half, slot;  // lanes of half a wave, and this one's place there
  bool second;     // whether it has that one

  GPU_DEVICE TwoSums()
      : half(wave_size() / 2),
        slot(thread_id() % half),
        second(thread_id() % wave_size() >= half) {}
  GPU_DEVICE int which() const { return second ? 1 : 0; }

  // Over a team of whole waves, as sum_team_of().
  template <class Meet>
  GPU_DEVICE float of_team(const float (&x)[2], int team, int first, float* shared,
                           Meet meet) const {
    float sum[1] = {(second ? x[1] : x[0]) + shuffle_xor(second ? x[0] : x[1], half)};
    sum_lanes(sum, half);
    const int waves = team / wave_size();
    if (waves == 1) return sum[0];
    float* const mine = shared + which() * kMostWaves;
    if (slot == 0) mine[thread_id() / wave_size()] = sum[0];
    meet();
    const int lanes = waves <= 4 ? 4 : waves <= 8 ? 8 : half;
    const int at = slot & (lanes - 1);
    sum[0] = at < waves ? mine[first + at] : 0.0f;
    if (at + half < waves) sum[0] += mine[first + at + half];
    sum_lanes(sum, lanes);
    return sum[0];
  }
  // Over the blocks of a cluster.
  GPU_DEVICE float of_cluster(float sum, ClusterTable<2>* table) const {
    if (thread_id() < wave_size() && slot < cluster_blocks()) {
      mail(table->box, table->turn, table->values(which()) + cluster_rank(), slot, sum);
    }
    table->wait();
    float all[1] = {from_cluster(table->values(which()), 0.0f)};
    ++table->turn;
    sum_lanes(all, kMostCluster);
    return all[0];
  }
  GPU_DEVICE void to_all(float sum, float (&x)[2]) const {
    const float other = shuffle_xor(sum, half);
    x[0] = second ? other : sum;
    x[1] = second ? sum : other;
  }
};

template <int kSums, class Meet>
GPU_DEVICE void sum_of_team(float (&x)[kSums], int team, int first, float* shared, Meet meet) {
  if constexpr (kSums == 2) {
    if (team >= wave_size()) {
      const TwoSums sums;
      return sums.to_all(sums.of_team(x, team, first, shared, meet), x);
    }
  }
  sum_team_of(x, team, first, shared, meet);
}

// Of blocks of a cluster, each of one team.
template <int kSums>
GPU_DEVICE void sum_of_sections(float (&x)[kSums], float* shared, ClusterTable<kSums>* table) {
  const auto meet = [] { barrier(); };
  if constexpr (kSums == 2) {
    const TwoSums sums;
    const float sum = sums.of_team(x, block_threads(), 0, shared, meet);
    sums.to_all(sums.of_cluster(sum, table), x);
  } else {
    sum_team_of(x, block_threads(), 0, shared, meet);
    sum_cluster(x, table);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_ROW_SUMS_H_
