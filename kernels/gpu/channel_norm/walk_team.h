// The blocks that share a channel while they walk (walk.h): a cluster, or a team of any number of a
// grid's blocks, all of which are at work at once. Clusters leave some multiprocessors without a
// block and have a few sizes alone; teams take a while longer to tell each other something, by way
// of the workspace.
#ifndef POLYOPS_GPU_CHANNEL_NORM_WALK_TEAM_H_
#define POLYOPS_GPU_CHANNEL_NORM_WALK_TEAM_H_

#include "grid_barrier.h"
#include "reduce.h"
#include "welford.h"

namespace polyops::gpu {
namespace {

constexpr int kWalkValues = 3;  // that blocks of a cluster send each other of a channel's moments

struct ByCluster {};

// Of the workspace: what each block has to say, in two places in turn.
struct ByTeam {
  Said* said;      // [teams][2][blocks]
  int32_t blocks;  // of a team
  int32_t turns;   // at most
  int32_t early;   // teams that begin at once
};
constexpr int kHeard = 4;  // blocks that a lane listens to at the same time

// turn: of this channel, from 0.
template <int kValues, class By>
struct WalkTeam;

template <int kValues>
struct WalkTeam<kValues, ByCluster> {
  static constexpr bool kHoldsAll = false;  // there may be packs beyond shared memory
  ClusterTable<kValues> table;

  GPU_DEVICE WalkTeam(const ByCluster&, Mailbox* box, float* tables) : table{box, tables} {}
  GPU_DEVICE int blocks() const { return cluster_blocks(); }
  GPU_DEVICE int rank() const { return cluster_rank(); }
  GPU_DEVICE void open() const {
    if (blocks() == 1) return;
    open_mailbox(table.box);
    cluster_arrive();
  }
  GPU_DEVICE void opened() const {
    if (blocks() > 1) cluster_wait();
  }
  GPU_DEVICE static constexpr bool is_late() { return false; }
  GPU_DEVICE void await_early() const {}
  // count: elements of any block but the last.
  GPU_DEVICE Welford moments(const Welford& w, float count, float last) {
    if (blocks() == 1) return w;
    table.post(0, w.mean);
    table.post(1, w.square);
    table.post(2, w.low);
    table.wait();
    const int slot = thread_id() % kMostCluster;
    const Welford one = {from_cluster(table.values(0), 0.0f), from_cluster(table.values(1), 0.0f),
                         slot < blocks() - 1 ? count
                         : slot < blocks()   ? last
                                             : 0.0f,
                         from_cluster(table.values(2), 0.0f)};
    const float all = fmaf(static_cast<float>(blocks() - 1), count, last);
    const float first = table.values(0)[0];
    ++table.turn;
    return merged(one, first, all, kMostCluster);
  }
  GPU_DEVICE void sum(float (&x)[kValues]) {
    if (blocks() > 1) sum_cluster(x, &table);
  }
  GPU_DEVICE void close(int) const {}
};

template <int kValues>
struct WalkTeam<kValues, ByTeam> {
  static constexpr bool kHoldsAll = true;
  ByTeam by;
  float* heard;  // by the block's first wave
  int32_t number;
  int turn = 0;

  GPU_DEVICE WalkTeam(const ByTeam& of, Mailbox*, float* tables)
      : by(of), heard(tables), number(static_cast<int32_t>(block_id() / of.blocks)) {}
  GPU_DEVICE int blocks() const { return by.blocks; }
  GPU_DEVICE int rank() const { return static_cast<int>(block_id() - number * by.blocks); }
  GPU_DEVICE void open() const {}
  GPU_DEVICE void opened() const {
    open_blocks(place(number, 0) + rank(), place(number, 1) + rank());
  }
  // A block of a late team begins when one of an early team, as a rule that of its multiprocessor,
  // has what it holds of its first channel: from then on some load and store where others wait for
  // each other.
  GPU_DEVICE bool is_late() const { return number >= by.early; }
  GPU_DEVICE void await_early() const { await_block(place(number - by.early, 0) + rank()); }
  GPU_DEVICE Said* place(int team, int of_turn) const {
    return by.said + (team * 2 + of_turn % 2) * by.blocks;
  }
  // In the first wave, f(block, what it has said) for each of the team's. A turn has a barrier()
  // before it.
  template <class F>
  GPU_DEVICE void exchange(float a, float b, float c, F f) {
    Said* const places = place(number, turn++);
    const auto now = static_cast<uint32_t>(turn);
    if (thread_id() == 0) say(places + rank(), {{a, b, c}, now});
    meet_blocks();
    if (thread_id() >= wave_size()) return;
    for (int first = thread_id(); first - thread_id() < by.blocks; first += kHeard * wave_size()) {
      Said said[kHeard];
      hear(places, first, by.blocks, now, said);
#pragma unroll
      for (int j = 0; j < kHeard; ++j) f(first + j * wave_size(), said[j]);
    }
  }
  // Around the mean of the first block, see merged(); f is called by all lanes.
  GPU_DEVICE Welford moments(const Welford& w, float count, float last) {
    const float all = fmaf(static_cast<float>(by.blocks - 1), count, last);
    float center = 0, sums[2] = {};
    exchange(w.mean, w.square, w.low, [&](int block, const Said& said) {
      if (block == thread_id()) center = sum_of_lanes(block == 0 ? said.x[0] : 0.0f, wave_size());
      if (block >= by.blocks) return;
      const float d = (said.x[0] - center) + said.x[2];
      const float whole = d * (block == by.blocks - 1 ? last : count);
      sums[0] += whole;
      sums[1] += fmaf(whole, d, said.x[1]);
    });
    if (thread_id() < wave_size()) {
      sum_lanes(sums, wave_size());
      const Welford merged = moved(center, sums[0], sums[1], all);
      if (thread_id() == 0) {
        heard[0] = merged.mean;
        heard[1] = merged.square;
        heard[2] = merged.low;
      }
    }
    barrier();
    return {heard[0], heard[1], all, heard[2]};
  }
  GPU_DEVICE void sum(float (&x)[2]) {
    float sums[2] = {};
    exchange(x[0], x[1], 0, [&](int, const Said& said) {
      sums[0] += said.x[0];
      sums[1] += said.x[1];
    });
    if (thread_id() < wave_size()) {
      sum_lanes(sums, wave_size());
      if (thread_id() == 0) heard[0] = sums[0], heard[1] = sums[1];
    }
    barrier();
    x[0] = heard[0], x[1] = heard[1];
  }
  // Some teams have a channel less than others, and meet as often.
  GPU_DEVICE void close(int turns) {
    if (turns < by.turns) meet_blocks();
  }
};

// begin(): loads of the first channel.
template <class Team, class F>
GPU_DEVICE void open_team(const Team& team, F begin) {
  team.open();
  if (!team.is_late()) begin();
  team.opened();
  if (!team.is_late()) return;
  team.await_early();
  begin();
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CHANNEL_NORM_WALK_TEAM_H_
