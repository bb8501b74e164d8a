// The kernel that walks rows; see backward.h.
#ifndef POLYOPS_GPU_LAYER_NORM_BACKWARD_WALK_H_
#define POLYOPS_GPU_LAYER_NORM_BACKWARD_WALK_H_

#include "backward_finish.h"
#include "backward_row.h"
#include "row_sums.h"

namespace polyops::gpu {
namespace {

// kEnds: of a lane, where some row begins or ends between 16 aligned bytes, which takes registers
// and instructions. kCluster: each block has a section of its rows.
struct AlignedRows {
  static constexpr bool kCluster = false;
  template <class T>
  static constexpr int kEnds = 0;
};
struct RaggedRows {
  static constexpr bool kCluster = false;
  template <class T>
  static constexpr int kEnds = kMostEnds<T>;
};
struct RaggedSections {
  static constexpr bool kCluster = true;
  template <class T>
  static constexpr int kEnds = kClusterEnds;
};

// How a block walks. stages: rows whose copies are under way or in use at a time, 1 or 2.
struct Walking {
  int team, stages;
  Section section;
  Words* memory;
  float* shared;  // 4 * kMostWaves elements
};

// The rows of a run, whose sums of columns are those of that part of all rows. begun(): that all
// blocks of the cluster have.
template <class Form, class Norm, class T, class P, class Begun>
GPU_DEVICE void walk_run(const BackwardCall<Norm, T, P>& call, const Walking& by,
                         const Turns::Run& run, int64_t part, ClusterTable<Norm::kSums>* table,
                         Begun begun) {
  constexpr bool kCluster = Form::kCluster;
  constexpr int kEnds = Form::template kEnds<T>;
  constexpr bool kRagged = kEnds > 0;
  const int team = by.team, stages = by.stages;
  const int team_id = thread_id() / team, lane = thread_id() % team;
  const int first = kCluster ? 0 : first_wave(team);
  const Section& section = by.section;
  const uint32_t end = run.end;
  uint32_t begin = run.first;  // the first team's row
  const uint32_t mine = static_cast<uint32_t>(team_id * call.turns.classes);
  int64_t at[3];
  call.rows.offsets(begin < end ? begin : 0, at);
  const Cut<T> cut =
      kRagged ? Cut<T>(call.grad + at[0] + section.begin, section.n) : Cut<T>(section.n / kPack<T>);
  const Weight<T, P> weights = {
      {section.of(call.weight)}, by.memory, call.staged, {section.n, cut.shift, kPack<T>}};
  const Slots<T> slots(by.memory + weights.words(), kRagged ? call.slots : kBackwardPacks<T>,
                       stages);
  ColumnSums<Norm, T, kEnds> columns = {};
  BackwardRow<Norm, T, P> row = {};
  row.template open<kEnds>(call, section.begin, begin + mine, end, cut, lane, team, slots, 0);
  weights.stage_later();
  close_copies();
  begun();
  for (int turn = 0; begin < end; ++turn) {
    const bool ours = begin + mine < end;
    const int stage = stages == 2 ? turn % 2 : 0;
    begin += call.turns.step();
    BackwardRow<Norm, T, P> next = row;
    if (stages == 2) {
      next.template open<kEnds>(call, section.begin, begin + mine, end, cut, lane, team, slots,
                                1 - stage);
      close_copies();
      wait_copies<1>();
    } else {
      wait_copies<0>();
    }
    if (turn == 0) barrier();  // the weight is there
    const Normal<Norm> normal(call, row);
    float sums[Norm::kSums] = {};
    if (ours) {
      sum_row<kEnds>(row, normal, slots, stage, weights, cut, lane, team, &columns, sums);
    }
    // Of one stage, as float32 has: each pack the one before it as soon as that is stored.
    bool replaces = false;
    if (call.grad_src != nullptr) {
      float* const shared = by.shared + turn % 2 * 2 * kMostWaves;
      if constexpr (kCluster) {
        sum_of_sections(sums, shared, table);
      } else {
        sum_of_team(sums, team, first, shared, [&] { team_barrier(team_id, team); });
      }
      const T* in[2] = {};
      if (sizeof(T) == 4 && stages == 1 && begin + mine < end) {
        next.find(call, section.begin, begin + mine, in);
        replaces = are_packs<kEnds>(cut, in);
      }
      if (ours) {
        store_row<kEnds>(row, Gradient<Norm>(normal, sums, call.inv_n), slots, stage, weights, cut,
                         lane, team, [&](int k, int at) {
                           if (replaces) copy_pack(cut, in, k, at, slots, 0);
                         });
      }
      if (replaces) copy_ends<kEnds>(cut, in, lane, team, slots, 0);
    }
    if (stages == 1) {
      if (!replaces) {
        next.template open<kEnds>(call, section.begin, begin + mine, end, cut, lane, team, slots,
                                  0);
      }
      close_copies();
    }
    row = next;
  }
  if constexpr (kCluster) let_later_begin();
  finish_columns<kEnds>(call, columns, cut, lane, team, part, section.begin, by.memory,
                        weights.words(), slots.words(stages));
}

// elements: of the sections of a row, but the last; kCluster alone.
template <class Form, class Norm, class T, class P, int kThreads, int kBlocks>
GPU_KERNEL(kThreads, kBlocks)
backward_rows(BackwardCall<Norm, T, P> call, int team, int stages, int32_t elements) {
  constexpr bool kCluster = Form::kCluster;
  GPU_SHARED(float, shared, 4 * kMostWaves);
  GPU_SHARED(Mailbox, box, 1);
  GPU_SHARED(float, tables, (kCluster ? 2 * Norm::kSums * kMostCluster : 1));
  GPU_DYNAMIC_SHARED(Words, memory);
  if constexpr (!kCluster) let_later_begin();
  ClusterTable<Norm::kSums> table = {box, tables};
  Walking by = {team, stages, {0, call.n}, memory, shared};
  if constexpr (kCluster) {
    by.section = section_of_cluster(elements, call.n);
    open_mailbox(box);
    cluster_arrive();
    const int64_t cluster = block_id() / cluster_blocks();
    bool all_begun = false;
    ClusterTurns turns(call.turns, cluster);
    do {
      if (all_begun) barrier();  // nobody needs anything of the class before
      walk_run<Form>(call, by, turns.run(call.row_count), cluster + turns.of, &table, [&] {
        if (!all_begun) cluster_wait();
      });
      all_begun = true;
    } while (turns.next());
  } else {
    const Turns::Run run = call.turns.of(block_id(), call.row_count);
    walk_run<Form>(call, by, run, block_id(), &table, [] {});
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_BACKWARD_WALK_H_
