// The kernel that walks rows; see backward.h.
#ifndef POLYOPS_GPU_LAYER_NORM_BACKWARD_WALK_H_
#define POLYOPS_GPU_LAYER_NORM_BACKWARD_WALK_H_

#include "backward_finish.h"
#include "backward_row.h"

namespace polyops::gpu {
namespace {

// kRagged: some row begins or ends between 16 aligned bytes, which takes registers and a fifth more
// instructions. stages: rows whose copies are under way or in use at a time, 1 or 2.
template <bool kRagged, class Norm, class T, class P, int kThreads, int kBlocks>
GPU_KERNEL(kThreads, kBlocks)
backward_rows(BackwardCall<Norm, T, P> call, int team, int stages) {
  await_earlier();
  GPU_SHARED(float, shared, 4 * kMostWaves);
  GPU_DYNAMIC_SHARED(Words, memory);
  if (call.sums != nullptr) let_later_begin();
  const int team_id = thread_id() / team, lane = thread_id() % team;
  const int first = first_wave(team);
  const BlockTurns turns(call.turns, block_id(), call.row_count);
  Turns::Rows now = turns.at(0);
  const uint32_t mine = static_cast<uint32_t>(team_id * call.turns.classes);
  int64_t at[3];
  call.rows.offsets(now.begin < now.end ? now.begin : 0, at);
  const Cut<T> cut = kRagged ? Cut<T>(call.grad + at[0], call.n) : Cut<T>(call.n / kPack<T>);
  const Weight<T, P> weights = {{call.weight}, memory, call.staged, {call.n, cut.shift, kPack<T>}};
  const Slots<T> slots(memory + weights.words(), kRagged ? call.slots : kBackwardPacks<T>, stages);
  ColumnSums<Norm, T> columns = {};
  BackwardRow<Norm, T, P> row = {};
  if constexpr (kRagged) {
    weights.stage_later();
    close_copies();
  }
  row.template open<kRagged>(call, 0, now.begin + mine, now.end, cut, lane, team, slots, 0);
  if constexpr (!kRagged) weights.stage_later();
  close_copies();
  if constexpr (kRagged) {
    wait_copies<1>();
    barrier();
  }
  for (int turn = 0; now.begin < now.end; ++turn) {
    const bool ours = now.begin + mine < now.end;
    const int stage = stages == 2 ? turn % 2 : 0;
    now = turns.at(turn + 1);
    BackwardRow<Norm, T, P> next = row;
    if (stages == 2) {
      next.template open<kRagged>(call, 0, now.begin + mine, now.end, cut, lane, team, slots,
                                  1 - stage);
      close_copies();
      wait_copies<1>();
    } else {
      wait_copies<0>();
    }
    if (!kRagged && turn == 0) barrier();  // the weight is there
    const Normal<Norm> normal(call, row);
    float sums[Norm::kSums] = {};
    if (ours) {
      sum_row<kRagged>(row, normal, slots, stage, weights, cut, lane, team, &columns, sums);
    }
    if (call.grad_src != nullptr) {
      sum_team_of(sums, team, first, shared + turn % 2 * 2 * kMostWaves,
                  [&] { team_barrier(team_id, team); });
      if (ours) {
        store_row<kRagged>(row, Gradient<Norm>(normal, sums, call.inv_n), slots, stage, weights,
                           cut, lane, team);
      }
    }
    if (stages == 1) {
      next.template open<kRagged>(call, 0, now.begin + mine, now.end, cut, lane, team, slots, 0);
      close_copies();
    }
    row = next;
  }
  finish_columns<kRagged>(call, columns, cut, lane, team, block_id(), 0, memory, weights.words(),
                          slots.words(stages));
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_BACKWARD_WALK_H_
