// The gradients of aligned rows that are not backward_cluster.h's, layer_norm's of 16 bits and
// float32 beyond what that has shared memory for: clusters of blocks walk rows, each block with its
// section of them, as backward_walk.h. There is room for two sections of 16 bits, of float32 for
// one and a part of the next one, so places go round: a quarter of a section is followed, as soon
// as it is used, by what comes as many quarters later as there are places. So copies are under way
// while a row is summed and its blocks meet, too.
#ifndef POLYOPS_GPU_LAYER_NORM_BACKWARD_SECTIONS_H_
#define POLYOPS_GPU_LAYER_NORM_BACKWARD_SECTIONS_H_

#include "backward_walk.h"

namespace polyops::gpu {
namespace {

constexpr int kQuarters = 4;
// Places, each for a quarter: what 227 KB have room for beside the weight of 16384 elements, two
// sections at most.
template <class T>
constexpr int kRingPlaces = sizeof(T) == 4 ? 5 : 2 * kQuarters;

template <class T>
struct Ring {
  static constexpr int kPlaces = kRingPlaces<T>;
  static constexpr int kEach = kBackwardPacks<T> / kQuarters;  // packs of a lane
  static constexpr int kWords = kPlaces * kEach * 2;           // of a lane
  static constexpr int kNext = 2 * kQuarters - kPlaces;  // quarters that the next row's end follows
  static_assert(kPlaces > kQuarters && kNext >= 0);

  Words* mine;

  // What leads to them is computed once.
  GPU_DEVICE Ring(Words* memory, int before)
      : mine(memory + forgotten(before + thread_id() / kHalfWave * (kWords * kHalfWave) +
                                thread_id() % kHalfWave)) {}
  GPU_DEVICE static int round(int place) { return place < kPlaces ? place : place - kPlaces; }
  // first: the place of the row's first quarter.
  GPU_DEVICE Words* place(int first, int tensor, int pack) const {
    const int in_ring = round(first + pack / kEach) * kEach + pack % kEach;
    return mine + (in_ring * 2 + tensor) * kHalfWave;
  }
  // Begins the copies of a row's quarter to that place of one whose first is there.
  GPU_DEVICE void copy(const Cut<T>& cut, const T* const (&in)[2], int quarter, int first,
                       int to) const {
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const int at = thread_id() + (quarter * kEach + i) * block_threads();
      if (at >= cut.whole) break;
      copy_16_later(place(first, 0, to * kEach + i), in[0] + cut.of_pack(at));
      copy_16_later(place(first, 1, to * kEach + i), in[1] + cut.of_pack(at));
    }
  }
};

// The quarter's part of grad_src.
template <class Norm, class T, class P>
GPU_DEVICE void store_quarter(const BackwardRow<Norm, T, P>& row, const Gradient<Norm>& gradient,
                              const Ring<T>& ring, int first, const Weight<T, P>& weights,
                              const Cut<T>& cut, int quarter) {
#pragma unroll
  for (int i = 0; i < ring.kEach; ++i) {
    const int k = quarter * ring.kEach + i, at = thread_id() + k * block_threads();
    if (at >= cut.whole) break;
    with_pack(ring, first, weights, cut, k, at,
              [&](int, const auto& grad, const auto& x, const auto& weight) {
                float y[kPack<T>];
                gradient.all(grad, x, weight, y);
                store_elements(row.out + cut.of_pack(at), y);
              });
  }
}

// elements: of the sections of a row, but the last.
template <class Norm, class T, class P>
GPU_KERNEL(kBackwardMost.threads, kBackwardMost.blocks)
backward_sections(BackwardCall<Norm, T, P> call, int32_t elements) {
  await_earlier();
  if constexpr (!kHasClusters) return;
  using OfRing = Ring<T>;
  GPU_SHARED(float, shared, 4 * kMostWaves);
  GPU_SHARED(Mailbox, box, 1);
  GPU_SHARED(float, tables, 2 * Norm::kSums * kMostCluster);
  GPU_DYNAMIC_SHARED(Words, memory);
  const int lane = thread_id(), team = block_threads();
  const Section section = section_of_cluster(elements, call.n);
  const int64_t walker = block_id() / cluster_blocks();
  const BlockTurns turns(call.turns, walker, call.row_count);
  Turns::Rows now = turns.at(0), ahead = turns.at(1);
  const Cut<T> cut(section.n / kPack<T>);
  const Weight<T, P> weights = {
      {section.of(call.weight)}, memory, call.staged, {section.n, 0, kPack<T>}};
  const OfRing ring(memory, weights.words());
  ColumnSums<Norm, T> columns = {};
  BackwardRow<Norm, T, P> row = {}, next = {}, later = {};
  const T *in[2] = {}, *in_later[2] = {};
  weights.stage_later();
  close_copies();
  if (now.begin < now.end) {
    row.template find<false>(call, section.begin, now.begin, in);
#pragma unroll
    for (int q = 0; q < kQuarters; ++q) ring.copy(cut, in, q, 0, q);
  }
  close_copies();
  if (ahead.begin < ahead.end) {
    next.template find<false>(call, section.begin, ahead.begin, in);
#pragma unroll
    for (int q = kQuarters; q < ring.kPlaces; ++q) ring.copy(cut, in, q - kQuarters, 0, q);
  }
  close_copies();
  wait_copies<2>();  // the weight
  ClusterTable<Norm::kSums> table = {box, tables};
  open_mailbox(box);
  cluster_barrier();  // all have begun, and see the weight
  int first = 0;
  for (int turn = 0; now.begin < now.end; ++turn) {
    now = ahead;
    ahead = turns.at(turn + 2);
    wait_copies<1>();
    const Normal<Norm> normal(call, row);
    float sums[Norm::kSums] = {};
    sum_row<false>(row, normal, ring, first, weights, cut, lane, team, &columns, sums);
    if (call.grad_src != nullptr) {
      sum_team_of(sums, team, 0, shared + turn % 2 * 2 * kMostWaves, [] { barrier(); });
      sum_cluster(sums, &table);
    }
    const bool has_next = now.begin < now.end;
    const bool has_later = ahead.begin < ahead.end;
    if (has_later) later.template find<false>(call, section.begin, ahead.begin, in_later);
    const Gradient<Norm> gradient(normal, sums, call.inv_n);
#pragma unroll
    for (int q = 0; q < kQuarters; ++q) {
      if (call.grad_src != nullptr) {
        store_quarter(row, gradient, ring, first, weights, cut, q);
      }
      const int quarter = (q + ring.kPlaces) % kQuarters;
      if (q < ring.kNext) {
        if (has_next) ring.copy(cut, in, quarter, first, q);
      } else if (has_later) {
        ring.copy(cut, in_later, quarter, first, q);
      }
      if (q + 1 == ring.kNext || q + 1 == kQuarters) close_copies();
    }
    row = next;
    next = later;
#pragma unroll
    for (int i = 0; i < 2; ++i) in[i] = in_later[i];
    first = ring.round(first + kQuarters);
  }
  if (call.sums != nullptr) let_later_begin();
  finish_columns<false>(call, columns, cut, lane, team, walker, section.begin, memory,
                        weights.words(), ring.kWords);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_BACKWARD_SECTIONS_H_
