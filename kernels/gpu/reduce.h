// One value of all lanes of a team, the lanes that share a row: a power of two of them within a
// wave, by shuffles; whole waves, through shared memory; the blocks of a cluster, through each
// other's. Every lane gets the same bits, whatever the order in which lanes run.
#ifndef POLYOPS_GPU_REDUCE_H_
#define POLYOPS_GPU_REDUCE_H_

#include "gpu.h"

namespace polyops::gpu {
namespace {

// Of `lanes` neighbours, a power of two up to the wave; in a loop, since few lanes take few steps.
// The largest ignores NaN.
GPU_DEVICE float max_of_lanes(float x, int lanes) {
  for (int mask = lanes / 2; mask > 0; mask /= 2) x = fmaxf(x, shuffle_xor(x, mask));
  return x;
}
GPU_DEVICE float sum_of_lanes(float x, int lanes) {
  for (int mask = lanes / 2; mask > 0; mask /= 2) x += shuffle_xor(x, mask);
  return x;
}

// Sums over the team, or its part in this wave.
template <int kSums>
GPU_DEVICE void sum_lanes(float (&x)[kSums], int team) {
#pragma unroll
  for (int mask = wave_size() / 2; mask > 0; mask /= 2) {
    if (mask >= team) continue;
#pragma unroll
    for (int i = 0; i < kSums; ++i) x[i] += shuffle_xor(x[i], mask);
  }
}

// The shared memory of one sum of a block; another one at the same time needs its own.
inline constexpr int kMostWaves = 32;

// The first wave of this thread's team, for which a division may be due.
GPU_DEVICE int first_wave(int team) {
  if (team <= wave_size() || team == block_threads()) return 0;
  return thread_id() / team * (team / wave_size());
}

// Sums over the team, whose first wave is `first` of the block's. `shared`: kSums * kMostWaves
// elements that nobody uses since the last barrier (teams beyond a wave only); they may be used
// again after the next one. meet(): the barrier.
template <int kSums, class Meet>
GPU_DEVICE void sum_team_of(float (&x)[kSums], int team, int first, float* shared, Meet meet) {
  constexpr int kFew = 4;
  if (team < wave_size()) return sum_lanes(x, team);
  sum_lanes(x, wave_size());
  const int waves = team / wave_size();
  if (waves == 1) return;
  const int lane = thread_id() % wave_size();
  if (lane == 0) {
    const int wave = thread_id() / wave_size();
#pragma unroll
    for (int i = 0; i < kSums; ++i) shared[i * kMostWaves + wave] = x[i];
  }
  meet();
  const int slot = waves <= kFew ? lane % kFew : lane;
#pragma unroll
  for (int i = 0; i < kSums; ++i) {
    x[i] = slot < waves ? shared[i * kMostWaves + first + slot] : 0.0f;
  }
  if (waves <= kFew) return sum_lanes(x, kFew);
  sum_lanes(x, wave_size());
}
template <int kSums, class Meet>
GPU_DEVICE void sum_team(float (&x)[kSums], int team, float* shared, Meet meet) {
  sum_team_of(x, team, first_wave(team), shared, meet);
}
template <int kSums>
GPU_DEVICE void sum_team(float (&x)[kSums], int team, float* shared) {
  sum_team(x, team, shared, [] { barrier(); });
}
GPU_DEVICE float sum_of_block(float x, float* shared) {
  float sums[1] = {x};
  sum_team(sums, block_threads(), shared);
  return sums[0];
}

// The most blocks of a cluster that any device has: slots of one value, a power of two.
inline constexpr int kMostCluster = 8;

// One value of each block goes into `slots` (kMostCluster elements) of all, and with the next
// cluster_barrier() is there. Before it all blocks have begun, and nobody uses `slots`.
GPU_DEVICE void send_to_cluster(float x, float* slots) {
  if (thread_id() < cluster_blocks()) cluster_send(slots + cluster_rank(), thread_id(), x);
}
// What a lane has of it, to be merged over kMostCluster lanes.
GPU_DEVICE float from_cluster(const float* slots, float otherwise) {
  const int slot = thread_id() % kMostCluster;
  return slot < cluster_blocks() ? slots[slot] : otherwise;
}

// A value of each block of a cluster, turn after turn, into two tables of kValues * kMostCluster
// elements in turn; a turn has a barrier() before it posts.
template <int kValues>
struct ClusterTable {
  Mailbox* box;
  float* tables;
  int turn = 0;

  GPU_DEVICE float* values(int which) const {
    return tables + (turn % 2 * kValues + which) * kMostCluster;
  }
  GPU_DEVICE void post(int which, float x) const {
    if (thread_id() < cluster_blocks()) {
      mail(box, turn, values(which) + cluster_rank(), thread_id(), x);
    }
  }
  // All values are posted, of all blocks.
  GPU_DEVICE void wait() const { await_mail(box, turn, kValues * cluster_blocks()); }
};

// Sums over the blocks of a cluster, given those of each.
template <int kSums>
GPU_DEVICE void sum_cluster(float (&x)[kSums], ClusterTable<kSums>* table) {
#pragma unroll
  for (int i = 0; i < kSums; ++i) table->post(i, x[i]);
  table->wait();
#pragma unroll
  for (int i = 0; i < kSums; ++i) x[i] = from_cluster(table->values(i), 0.0f);
  ++table->turn;
  sum_lanes(x, kMostCluster);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_REDUCE_H_
