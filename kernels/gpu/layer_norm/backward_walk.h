// The kernel that walks rows; see backward.h.
#ifndef POLYOPS_GPU_LAYER_NORM_BACKWARD_WALK_H_
#define POLYOPS_GPU_LAYER_NORM_BACKWARD_WALK_H_

#include "backward_row.h"

namespace polyops::gpu {
namespace {

// kRagged: some row begins or ends between 16 aligned bytes, which takes registers and a fifth more
// instructions. kCluster: each block has a section of its rows.
struct AlignedRows {
  static constexpr bool kRagged = false, kCluster = false;
};
struct RaggedRows {
  static constexpr bool kRagged = true, kCluster = false;
};
struct RaggedSections {
  static constexpr bool kRagged = true, kCluster = true;
};

// The sums of all teams of a block go to its row of the workspace by way of `shared`, as the lanes'
// own stores there would be a few bytes of a sector each: first a team's of one parameter. each:
// elements of it per team; the first whole pack is as aligned as the memory.
template <class T>
GPU_DEVICE int before_columns(const Cut<T>& cut) {
  return -cut.head & 3;
}
template <class T>
GPU_DEVICE void put_columns(const float (&packs)[kBackwardPacks<T>][kPack<T>],
                            const float (&ends)[kMostEnds<T>], const Cut<T>& cut, int lane,
                            int team, int each, float* shared) {
  float* const mine = shared + before_columns(cut) + thread_id() / team * each;
#pragma unroll
  for (int k = 0; k < kBackwardPacks<T>; ++k) {
    const int at = lane + k * team;
    if (at >= cut.whole) break;
#pragma unroll
    for (int j = 0; j < kPack<T>; j += 4) {
      const float(&x)[kPack<T>] = packs[k];
      *reinterpret_cast<Words*>(mine + cut.of_pack(at) + j) = {
          {float_bits(x[j]), float_bits(x[j + 1]), float_bits(x[j + 2]), float_bits(x[j + 3])}};
    }
  }
  for_each_end<kMostEnds<T>>(cut, lane, team, [&](int e, int at) { mine[at] = ends[e]; });
}

// Then 4 columns of all teams to a thread.
template <class Norm, class T>
GPU_DEVICE void store_columns(const Cut<T>& cut, int teams, int each, const float* shared,
                              float* out, int64_t stride) {
  const int before = before_columns(cut);
  const int groups = (before + cut.n + 3) / 4;
  for (int32_t i = thread_id(); i < Norm::kParameters * groups; i += block_threads()) {
    const int parameter = i < groups ? 0 : 1;
    const int at = (i - parameter * groups) * 4, first = at - before;
    const float* from = shared + parameter * teams * each + at;
    float sum[4] = {};
#pragma unroll 4
    for (int t = 0; t < teams; ++t) {
      const Words x = *reinterpret_cast<const Words*>(from);
#pragma unroll
      for (int j = 0; j < 4; ++j) sum[j] += float_of_bits(x.w[j]);
      from += each;
    }
    float* const to = out + parameter * stride + first;
    if (before == 0 && first + 4 <= cut.n) {
      store_words(to, pack<float>(sum));
    } else {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (first + j >= 0 && first + j < cut.n) to[j] = sum[j];
      }
    }
  }
}

// Of all rows of the block, which needs nothing in `memory` any more.
template <class Norm, class T, class P>
GPU_DEVICE void finish_columns(const BackwardCall<Norm, T, P>& call,
                               const ColumnSums<Norm, T>& columns, const Cut<T>& cut, int lane,
                               int team, int64_t walker, int32_t begin, Words* memory) {
  if (call.sums == nullptr) return;
  wait_copies<0>();
  const int teams = call.turns.teams;
  float* const all = reinterpret_cast<float*>(memory);
  float* const out = call.sums + walker * Norm::kParameters * call.stride + begin;
  barrier();
#pragma unroll
  for (int i = 0; i < Norm::kParameters; ++i) {
    put_columns<T>(columns.packs[i], columns.ends[i], cut, lane, team, call.columns,
                   all + i * teams * call.columns);
  }
  barrier();
  store_columns<Norm>(cut, teams, call.columns, all, out, call.stride);
}

// stages: rows whose copies are under way or in use at a time, 1 or 2. elements: of the sections of
// a row, but the last; kCluster alone.
template <class Form, class Norm, class T, class P, int kThreads, int kBlocks>
GPU_KERNEL(kThreads, kBlocks)
backward_rows(BackwardCall<Norm, T, P> call, int team, int stages, int32_t elements) {
  constexpr bool kCluster = Form::kCluster, kRagged = Form::kRagged;
  GPU_SHARED(float, shared, 4 * kMostWaves);
  GPU_SHARED(Mailbox, box, 1);
  GPU_SHARED(float, tables, (kCluster ? 2 * Norm::kSums * kMostCluster : 1));
  GPU_DYNAMIC_SHARED(Words, memory);
  let_later_begin();
  const Turns& turns = call.turns;
  const int team_id = thread_id() / team, lane = thread_id() % team;
  const int first = kCluster ? 0 : first_wave(team);
  Section section = {0, call.n};
  if constexpr (kCluster) section = section_of_cluster(elements, call.n);
  const int64_t walker = kCluster ? block_id() / cluster_blocks() : block_id();
  const uint32_t end = turns.end(walker, call.row_count);
  uint32_t begin = turns.first(walker);  // the first team's row
  const uint32_t mine = static_cast<uint32_t>(team_id * turns.classes);
  int64_t at[3];
  call.rows.offsets(begin < end ? begin : 0, at);
  const Cut<T> cut =
      kRagged ? Cut<T>(call.grad + at[0] + section.begin, section.n) : Cut<T>(section.n / kPack<T>);
  const Weight<T, P> weights = {
      {section.of(call.weight)}, memory, call.staged, {section.n, cut.shift, kPack<T>}};
  const Slots<T> slots(memory + weights.words(), kRagged ? call.slots : kBackwardPacks<T>, stages);
  ColumnSums<Norm, T> columns = {};
  BackwardRow<Norm, T, P> row = {};
  weights.stage_later();
  close_copies();
  row.template open<kRagged>(call, section.begin, begin + mine, end, cut, lane, team, slots, 0);
  close_copies();
  wait_copies<1>();
  barrier();
  ClusterTable<Norm::kSums> table = {box, tables};
  if constexpr (kCluster) {
    open_mailbox(box);
    cluster_barrier();  // all have begun
  }
  for (int turn = 0; begin < end; ++turn) {
    const bool ours = begin + mine < end;
    const int stage = stages == 2 ? turn % 2 : 0;
    begin += turns.step();
    BackwardRow<Norm, T, P> next = row;
    if (stages == 2) {
      next.template open<kRagged>(call, section.begin, begin + mine, end, cut, lane, team, slots,
                                  1 - stage);
      close_copies();
      wait_copies<1>();
    } else {
      wait_copies<0>();
    }
    const Normal<Norm> normal(call, row);
    float sums[Norm::kSums] = {};
    if (ours) {
      sum_row<kRagged>(row, normal, slots, stage, weights, cut, lane, team, &columns, sums);
    }
    if (call.grad_src != nullptr) {
      sum_team_of(sums, team, first, shared + turn % 2 * 2 * kMostWaves, [&] {
        if constexpr (kCluster) return barrier();  // of one team: no more than one of them is taken
        team_barrier(team_id, team);
      });
      if constexpr (kCluster) sum_cluster(sums, &table);
      if (ours) {
        store_row<kRagged>(row, Gradient<Norm>(normal, sums, call.inv_n), slots, stage, weights,
                           cut, lane, team);
      }
    }
    if (stages == 1) {
      next.template open<kRagged>(call, section.begin, begin + mine, end, cut, lane, team, slots,
                                  0);
      close_copies();
    }
    row = next;
  }
  finish_columns(call, columns, cut, lane, team, walker, section.begin, memory);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_BACKWARD_WALK_H_
