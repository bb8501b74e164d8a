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

// Of the workspace: what each block has to say, in two places in turn, and a count for each team of
// how often that was.
struct ByTeam {
  Said* said;  // [teams][2][blocks]
  uint32_t* counts;
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
  static constexpr bool kFirst = false;  // what a block has to say its first wave alone must know
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

// What blocks tell each other the first wave of each adds up, for all of them.
template <int kValues>
struct WalkTeam<kValues, ByTeam> {
  static constexpr bool kHoldsAll = true;
  static constexpr bool kFirst = true;
  ByTeam by;
  float* sums;  // of the team, by the first wave
  int32_t number;
  int turn = 0;

  GPU_DEVICE WalkTeam(const ByTeam& of, Mailbox*, float* tables)
      : by(of), sums(tables), number(static_cast<int32_t>(block_id() / of.blocks)) {}
  GPU_DEVICE int blocks() const { return by.blocks; }
  GPU_DEVICE int rank() const { return static_cast<int>(block_id() - number * by.blocks); }
  GPU_DEVICE void open() const {}
  GPU_DEVICE void opened() const {
    if (thread_id() == 0) {
      say(places(0) + rank(), {});
      say(places(1) + rank(), {});
    }
    open_blocks(by.counts + number, rank() == 0);
  }
  // A late team begins when a block of an early one has what it holds of its first channel: from
  // then on some load and store where others wait for each other.
  GPU_DEVICE bool is_late() const { return number >= by.early; }
  GPU_DEVICE void await_early() const { await_blocks(by.counts + number - by.early, 1); }
  GPU_DEVICE Said* places(int of_turn) const {
    return by.said + (number * 2 + of_turn % 2) * by.blocks;
  }
  // Thread 0 says it; in the first wave f(first block of this lane's, what it and those a wave
  // further on each have said, in all kHeard). That all have, one thread learns from the count:
  // all of them looking for what was said until it is there slow down everything else.
  template <class F>
  GPU_DEVICE void exchange(float a, float b, float c, F f) {
    Said* const of_turn = places(turn++);
    const auto now = static_cast<uint32_t>(turn);
    if (thread_id() == 0) {
      say(of_turn + rank(), {{a, b, c}, now});
      count_block(by.counts + number);
    }
    meet_blocks();
    if (thread_id() >= wave_size()) return;
    await_blocks(by.counts + number, now * by.blocks);
    for (int first = 0; first < by.blocks; first += kHeard * wave_size()) {
      Said said[kHeard];
      hear(of_turn, first + thread_id(), by.blocks, now, said);
      f(first + thread_id(), said);
    }
  }
  // w: in the first wave. Around the mean of the first blocks, as many as are heard at the same
  // time.
  GPU_DEVICE Welford moments(const Welford& w, float count, float last) {
    const float all = fmaf(static_cast<float>(by.blocks - 1), count, last);
    const int some = by.blocks < kHeard * wave_size() ? by.blocks : kHeard * wave_size();
    const float weight =
        reciprocal_fast(some == by.blocks ? all : static_cast<float>(some) * count);
    float center = 0, of_lane[2] = {};
    exchange(w.mean, w.square, w.low, [&](int first, const Said(&said)[kHeard]) {
      float sizes[kHeard];
#pragma unroll
      for (int j = 0; j < kHeard; ++j) {
        const int block = first + j * wave_size();
        sizes[j] = block < by.blocks - 1 ? count : block < by.blocks ? last : 0.0f;
      }
      if (first < wave_size()) {
#pragma unroll
        for (int j = 0; j < kHeard; ++j) center = fmaf(said[j].x[0], sizes[j] * weight, center);
        center = sum_of_lanes(center, wave_size());
      }
#pragma unroll
      for (int j = 0; j < kHeard; ++j) {
        const float d = (said[j].x[0] - center) + said[j].x[2], whole = d * sizes[j];
        of_lane[0] += whole;
        of_lane[1] += fmaf(whole, d, said[j].x[1]);
      }
    });
    if (thread_id() < wave_size()) {
      sum_lanes(of_lane, wave_size());
      const Welford merged = moved(center, of_lane[0], of_lane[1], all);
      if (thread_id() == 0) sums[0] = merged.mean, sums[1] = merged.square, sums[2] = merged.low;
    }
    barrier();
    return {sums[0], sums[1], all, sums[2]};
  }
  GPU_DEVICE void sum(float (&x)[2]) {
    float of_lane[2] = {};
    exchange(x[0], x[1], 0, [&](int, const Said(&said)[kHeard]) {
#pragma unroll
      for (int j = 0; j < kHeard; ++j) {
        of_lane[0] += said[j].x[0];
        of_lane[1] += said[j].x[1];
      }
    });
    if (thread_id() < wave_size()) {
      sum_lanes(of_lane, wave_size());
      if (thread_id() == 0) sums[0] = of_lane[0], sums[1] = of_lane[1];
    }
    barrier();
    x[0] = sums[0], x[1] = sums[1];
  }
  // Some teams have a channel less than others, and meet as often.
  GPU_DEVICE void close(int turns) const {
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
