// The kernel that walks rows, through shared memory: while a row is computed, the copies of the block's
// next one are under way, 64 KB of a multiprocessor. So loads are in flight whatever a row waits for between its
// first load and its last store, with the half of a multiprocessor's threads that 64 registers leave.
//
// In a cluster each block does the same with its section of the rows, and the blocks tell each other what
// they have summed, by mail: a barrier of theirs waits until the row before is stored.
#ifndef POLYOPS_GPU_LAYER_NORM_FORWARD_WALK_H_
#define POLYOPS_GPU_LAYER_NORM_FORWARD_WALK_H_

#include "forward.h"

namespace polyops::gpu {
namespace {

// kRagged: some row has ends, or is cut differently and goes by elements. kCluster: each block has a
// section of its rows. kThreads: of a block at most, kPacks of a row each.
struct AlignedRows {
  static constexpr bool kRagged = false, kCluster = false;
  static constexpr int kThreads = kForwardThreads, kPacks = kForwardPacks;
};
struct RaggedRows {
  static constexpr bool kRagged = true, kCluster = false;
  static constexpr int kThreads = kForwardThreads, kPacks = kForwardPacks;
};
// With twice the registers: 64 of them spill.
struct ClusterRows {
  static constexpr bool kRagged = true, kCluster = true;
  static constexpr int kThreads = kForwardThreads / 2, kPacks = 2 * kForwardPacks;
};

// A lane's row, or none. Its packs arrive where nobody else looks; the elements at its ends in
// registers.
template <class Form, class Norm, class T, class P>
struct NextRow {
  Words* memory;
  T* dst;
  float ends[kMostEnds<T>];

  GPU_DEVICE Words* place(int k) const { return memory + k * block_threads() + thread_id(); }

  GPU_DEVICE void open(const ForwardCall<Norm, T, P>& call, const Section& section, uint32_t row,
                       const Share<T>& of) {
    if (row >= static_cast<uint32_t>(call.row_count)) return;
    int64_t at[2];
    call.rows.offsets(row, at);
    const T* src = call.src + at[0] + section.begin;
    dst = call.dst + at[1] + section.begin;
    copy_packs<Form::kPacks>(of.cut, src, of.lane, of.team, Form::kRagged,
                             [&](int k) { return place(k); });
    close_copies();
    if constexpr (Form::kRagged) load_ends(of.cut, src, of.lane, of.team, 0.0f, ends);
  }

  // Waits for its packs; their places are free then. Zeros where there are none.
  GPU_DEVICE void take(bool ours, const Share<T>& of, Part<T, Form::kPacks>* x) const {
    wait_copies<0>();
    const int whole = ours ? of.cut.whole : 0;
#pragma unroll
    for (int k = 0; k < Form::kPacks; ++k) {
      x->packs[k] = {};
      if (of.lane + k * of.team < whole) x->packs[k] = *place(k);
    }
#pragma unroll
    for (int e = 0; e < kMostEnds<T>; ++e) x->ends[e] = Form::kRagged && ours ? ends[e] : 0.0f;
  }
};

// Of a whole row, from what each block of the cluster has of it.
template <class Norm>
inline constexpr int kPosted = Norm::kCentered ? kSpreadValues : 1;
template <class Norm>
GPU_DEVICE Spread merge_cluster(const Spread& section, float count, float inv_n,
                                ClusterTable<kPosted<Norm>>* table) {
  if constexpr (!Norm::kCentered) {
    float square[1] = {section.square};
    sum_cluster(square, table);
    return {0, 0, square[0]};
  } else {
    const float posted[kSpreadValues] = {section.pivot, section.further, section.square, count};
#pragma unroll
    for (int i = 0; i < kSpreadValues; ++i) table->post(i, posted[i]);
    table->wait();
    const float* values = table->values(0);
    ++table->turn;
    const int slot = thread_id() % kMostCluster;
    return merge_spreads(values, kMostCluster, slot, slot < cluster_blocks(), kMostCluster, inv_n);
  }
}

// elements: of the sections of a row, but the last; kCluster alone.
template <class Form, class Norm, class T, class P>
GPU_KERNEL(Form::kThreads)
forward_rows(ForwardCall<Norm, T, P> call, int team, int32_t elements) {
  constexpr bool kCluster = Form::kCluster, kRagged = Form::kRagged;
  GPU_SHARED(float, shared, 4 * kMomentsShared);
  GPU_SHARED(Mailbox, box, 1);
  GPU_SHARED(float, tables, (kCluster ? 2 * kPosted<Norm> * kMostCluster : 1));
  GPU_DYNAMIC_SHARED(Words, memory);
  const Turns& turns = call.turns;
  const auto rows = static_cast<uint32_t>(call.row_count);
  const int lane = turns.teams == 1 ? thread_id() : thread_id() & (team - 1);
  Section section = {0, call.n};
  if constexpr (kCluster) section = section_of_cluster(elements, call.n);
  uint32_t begin = turns.first(kCluster ? block_id() / cluster_blocks() : block_id());
  if (begin >= rows) return;  // the first team's row
  const uint32_t mine = static_cast<uint32_t>(thread_id() / team * turns.classes);
  int64_t at[2];
  call.rows.offsets(begin, at);
  const T* const first = call.src + at[0] + section.begin;
  const Share<T> of(first, section.n, lane, team);
  const ParametersOf<Norm, T, P> parameters = parameters_of(call, section, first, memory);
  NextRow<Form, Norm, T, P> next = {memory + parameters.words(), nullptr, {}};
  next.open(call, section, begin + mine, of);
  ClusterTable<kPosted<Norm>> table = {box, tables};
  const float inv_section = kCluster ? reciprocal_fast(static_cast<float>(section.n)) : call.inv_n;
  const auto whole_row = [&](float pivot, float(&sums)[2], float* room) {
    const Spread spread = combine<Norm>(pivot, sums, of, room, inv_section);
    if constexpr (!kCluster) return spread;
    return merge_cluster<Norm>(spread, static_cast<float>(section.n), call.inv_n, &table);
  };
  if constexpr (kCluster) {
    open_mailbox(box);
    cluster_barrier();  // all have begun
  }
  for (int turn = 0; turn < turns.count && begin < rows; ++turn) {
    const uint32_t row = begin + mine;
    const bool ours = row < rows;
    Part<T, Form::kPacks> x;
    next.take(ours, of, &x);
    T* const dst = next.dst;
    begin += turns.step();
    if (turn + 1 < turns.count) next.open(call, section, begin + mine, of);
    const Moments m = row_moments<Norm>(&x, of, kRagged, shared + turn % 2 * 2 * kMomentsShared,
                                        call.inv_n, call.eps, whole_row);
    if (turn == 0) {
      parameters.stage();
      barrier();
    }
    if (!ours) continue;
    if (lane == 0 && section.begin == 0) store_moments(call, row, m);
    store_chunk<Norm>(x.packs, m, parameters, dst, of.cut, lane, team);
    if constexpr (kRagged) store_ends<Norm>(x, m, parameters, dst, of);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_FORWARD_WALK_H_
