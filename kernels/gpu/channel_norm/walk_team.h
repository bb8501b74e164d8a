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

// Of the workspace: what each block has to say, in two places in turn, and a count for each team.
struct ByTeam {
  float* said;  // [teams][2][blocks][kTeamValues]
  uint32_t* counts;
  int32_t blocks;  // of a team
  int32_t turns;   // at most
  int32_t early;   // teams that begin at once
};
constexpr int kTeamValues = 4;

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
  int32_t number;
  int turn = 0;

  GPU_DEVICE WalkTeam(const ByTeam& of, Mailbox*, float*)
      : by(of), number(static_cast<int32_t>(block_id() / of.blocks)) {}
  GPU_DEVICE int blocks() const { return by.blocks; }
  GPU_DEVICE int rank() const { return static_cast<int>(block_id() - number * by.blocks); }
  GPU_DEVICE void open() const {}
  GPU_DEVICE void opened() const { open_blocks(by.counts + number, rank() == 0); }
  // A late team begins when a block of an early one has what it holds of its first channel: from
  // then on some load and store where others wait for each other.
  GPU_DEVICE bool is_late() const { return number >= by.early; }
  GPU_DEVICE void await_early() const { await_blocks(by.counts + number - by.early); }
  // The blocks of a team wait for each other.
  GPU_DEVICE void meet() { blocks_barrier(by.counts + number, turn++, by.blocks); }
  GPU_DEVICE float* said(int of_turn, int block) const {
    return by.said + ((number * 2 + of_turn % 2) * by.blocks + block) * kTeamValues;
  }
  // A turn has a barrier() before it posts.
  GPU_DEVICE void tell(const float (&x)[kTeamValues]) {
    if (thread_id() == 0) store_words(said(turn, rank()), pack<float>(x));
    meet();
  }
  // What a block has said in this turn.
  GPU_DEVICE void hear(int block, float (&x)[kTeamValues]) const {
    unpack<float>(load_words(said(turn - 1, block)), x);
  }
  GPU_DEVICE float size_of(int block, float count, float last) const {
    return block == by.blocks - 1 ? last : count;
  }
  // Around the mean of all, as many blocks as there may be.
  GPU_DEVICE Welford moments(const Welford& w, float count, float last) {
    tell({w.mean, w.square, w.low, 0});
    const int lane = thread_id() % wave_size();
    const float all = fmaf(static_cast<float>(by.blocks - 1), count, last);
    const float weight = reciprocal_fast(all);
    float center = 0, sums[2] = {}, x[kTeamValues];
    for (int i = lane; i < by.blocks; i += wave_size()) {
      hear(i, x);
      center = fmaf(x[0], size_of(i, count, last) * weight, center);
    }
    center = sum_of_lanes(center, wave_size());
    for (int i = lane; i < by.blocks; i += wave_size()) {
      hear(i, x);
      const float d = (x[0] - center) + x[2], whole = d * size_of(i, count, last);
      sums[0] += whole;
      sums[1] += fmaf(whole, d, x[1]);
    }
    sum_lanes(sums, wave_size());
    return moved(center, sums[0], sums[1], all);
  }
  GPU_DEVICE void sum(float (&x)[2]) {
    tell({x[0], x[1], 0, 0});
    x[0] = x[1] = 0;
    for (int i = thread_id() % wave_size(); i < by.blocks; i += wave_size()) {
      float of[kTeamValues];
      hear(i, of);
      x[0] += of[0];
      x[1] += of[1];
    }
    sum_lanes(x, wave_size());
  }
  // Some teams have a channel less than others, and meet as often.
  GPU_DEVICE void close(int turns) {
    if (turns < by.turns) meet();
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
