// layer_norm and rms_norm of rows beyond what a block has room for: a cluster of blocks that walks
// rows, each block with its section of them, through shared memory: while a section is computed,
// the copies of the next one are under way, so that loads are in flight whatever a row waits for.
// The blocks tell each other what they have summed by mail: a barrier of theirs waits until the row
// before is stored.
#ifndef POLYOPS_GPU_LAYER_NORM_FORWARD_CLUSTER_H_
#define POLYOPS_GPU_LAYER_NORM_FORWARD_CLUSTER_H_

#include "next_row.h"

namespace polyops::gpu {
namespace {

// With 128 registers: 64 of them spill.
constexpr int kClusterThreads = 512;
constexpr int kClusterPacks = 8;

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

// elements: of the sections of a row, but the last.
template <class Norm, class T, class P>
GPU_KERNEL(kClusterThreads)
forward_cluster(ForwardCall<Norm, T, P> call, int32_t elements) {
  await_earlier();
  GPU_SHARED(float, shared, 4 * kMomentsShared);
  GPU_SHARED(Mailbox, box, 1);
  GPU_SHARED(float, tables, 2 * kPosted<Norm> * kMostCluster);
  GPU_DYNAMIC_SHARED(Words, memory);
  const int lane = thread_id(), team = block_threads();
  const Section section = section_of_cluster(elements, call.n);
  const int64_t walker = block_id() / cluster_blocks();
  const BlockTurns turns(call.turns, walker, call.row_count);
  Turns::Rows now = turns.at(0);
  if (now.begin >= now.end) return;
  int64_t at[2];
  call.rows.offsets(now.begin, at);
  const T* const first = call.src + at[0] + section.begin;
  const Share<T> of(Cut<T>(first, section.n), lane, team, section.n / kPack<T> / team);
  const ParametersOf<Norm, T, P> parameters = parameters_of(call, section, first, memory);
  NextRow<T, kClusterPacks, kClusterEnds> next(memory + parameters.words());
  next.open(call, section.begin, now.begin, of);
  ClusterTable<kPosted<Norm>> table = {box, tables};
  const auto count = static_cast<float>(section.n);
  const auto whole_row = [&](float pivot, float(&sums)[2], float* room) {
    const Spread spread = combine<Norm, true>(pivot, sums, of, room, reciprocal_fast(count));
    return merge_cluster<Norm>(spread, count, call.inv_n, &table);
  };
  open_mailbox(box);
  cluster_barrier();  // all have begun
  for (int turn = 0; now.begin < now.end; ++turn) {
    Part<T, kClusterPacks, kClusterEnds> x;
    next.take(of, &x);
    T* const dst = next.dst;
    const uint32_t row = now.begin;
    now = turns.at(turn + 1);
    if (now.begin < now.end) next.open(call, section.begin, now.begin, of);
    const Moments m = row_moments<Norm>(&x, of, true, shared + turn % 2 * 2 * kMomentsShared,
                                        call.inv_n, call.eps, whole_row);
    if (turn == 0) {
      parameters.template stage<2>();
      barrier();
    }
    if (lane == 0 && section.begin == 0) store_moments(call, row, m);
    store_chunk<Norm, sizeof(P) == sizeof(T)>(x.packs, m, parameters, dst, of.cut, lane, team);
    store_ends<Norm>(x, m, parameters, dst, of);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_FORWARD_CLUSTER_H_
