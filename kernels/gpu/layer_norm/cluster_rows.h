// How the rows that a cluster of blocks walks come to each block's shared memory, and their sums
// from block to block; see backward_cluster.h.
#ifndef POLYOPS_GPU_LAYER_NORM_CLUSTER_ROWS_H_
#define POLYOPS_GPU_LAYER_NORM_CLUSTER_ROWS_H_

#include "backward.h"
#include "reduce.h"

namespace polyops::gpu {
namespace {

constexpr int kSectionThreads = 512;
constexpr int kSectionWaves = kSectionThreads / kHalfWave;  // clusters have waves of so many
constexpr int kUnit = 8;                                    // columns that a thread has at a time
constexpr int kUnitStep = kUnit * kSectionThreads;          // from one of its units to the next
constexpr int kLeastStages = 3, kMostStages = 5;            // rows in shared memory

// What is to be known of a row that has arrived.
struct alignas(16) RowHead {
  float rstd, scale, shift, rest;
  int64_t out;  // from the first row's result on
  int grad_shift, src_shift;
};
// And of one that is on its way.
template <class T>
struct alignas(16) RowAhead {
  Words statistics[2];  // the 16 bytes where mean and rstd are, and at which of these
  int at[2];
  const T* from[2];  // grad and src, so many packs of each
  int packs[2], shifts[2];
  int64_t out;
};

// Of a cluster's blocks.
template <class Norm>
struct alignas(16) ClusterSums {
  float of[kMostCluster][Norm::kSums];

  GPU_DEVICE void add_up(float (&x)[Norm::kSums]) const {
#pragma unroll
    for (int i = 0; i < Norm::kSums; ++i) x[i] = 0;
    add<0>(x);
    if (cluster_blocks() > kMostCluster / 2) add<kMostCluster / 2>(x);
  }
  template <int kFirst>
  GPU_DEVICE void add(float (&x)[Norm::kSums]) const {
#pragma unroll
    for (int rank = kFirst; rank < kFirst + kMostCluster / 2; ++rank) {
#pragma unroll
      for (int i = 0; i < Norm::kSums; ++i) x[i] += of[rank][i];
    }
  }
};

// Which rows a cluster takes, and where a row of so many `elements` of a section is: grad, then
// src, `place` elements each.
struct ClusterPlan {
  int stages;
  int32_t elements, place;
  int sender;  // of whose wave all have columns
};

// How a block's sections of rows, and what is known of these, come to shared memory: by one thread,
// which looks at a row a turn before there is room for it.
template <class Norm, class T, class P>
struct Sender {
  const BackwardCall<Norm, T, P>& call;
  Section section;
  int32_t place;
  T* memory;
  RowHead* heads;
  RowAhead<T>* rows;
  Arrival* arrivals;

  GPU_DEVICE void prepare(uint32_t number, int stage) const {
    RowAhead<T>& ahead = rows[stage];
#pragma unroll
    for (int i = Norm::kCentered ? 0 : 1; i < 2; ++i) {
      const Values& of = i == 0 ? call.mean : call.rstd;
      const char* const p = static_cast<const char*>(of.data) + int64_t{number} * bytes_of(of);
      ahead.at[i] = misplaced(p);
      copy_16_later(&ahead.statistics[i], p - misplaced(p));
    }
    close_copies();
    BackwardRow<Norm, T, P> row;
    const T* in[2];
    row.template place<true>(call, section.begin, number, in);
    ahead.out = row.out - call.grad_src;
    const int shifts[2] = {row.grad_shift, row.src_shift};
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      ahead.shifts[i] = shifts[i];
      ahead.from[i] = in[i] - shifts[i];
      ahead.packs[i] = (shifts[i] + section.n + kPack<T> - 1) / kPack<T>;
    }
  }
  // Where few rows have room here a cache has the next one.
  GPU_DEVICE void prefetch(int stage) const {
    const RowAhead<T>& ahead = rows[stage];
#pragma unroll
    for (int i = 0; i < 2; ++i) prefetch_run(ahead.from[i], ahead.packs[i] * 16);
  }
  GPU_DEVICE void send(int stage) const {
    const RowAhead<T>& ahead = rows[stage];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      copy_run_later(arrivals + stage, memory + (stage * 2 + i) * place, ahead.from[i],
                     ahead.packs[i] * 16);
    }
  }
  // Without this nobody sees that it has arrived.
  GPU_DEVICE void say(int stage) const {
    const RowAhead<T>& ahead = rows[stage];
    wait_copies<0>();
    BackwardRow<Norm, T, P> row;
    if constexpr (Norm::kCentered) row.mean = bits_of(ahead, 0, call.mean);
    row.rstd = bits_of(ahead, 1, call.rstd);
    const Normal<Norm> normal(call, row);
    heads[stage] = {normal.rstd, normal.scale,    normal.shift,   normal.rest,
                    ahead.out,   ahead.shifts[0], ahead.shifts[1]};
    expect_runs(arrivals + stage, 16 * (ahead.packs[0] + ahead.packs[1]));
  }
  GPU_DEVICE static int bytes_of(const Values& v) { return sizeof(T) == 4 || v.is_float ? 4 : 2; }
  GPU_DEVICE static uint32_t bits_of(const RowAhead<T>& ahead, int i, const Values& v) {
    const uint32_t word = ahead.statistics[i].w[ahead.at[i] / 4];
    return bytes_of(v) == 4 ? word : word >> ahead.at[i] % 4 * 8 & 0xffff;
  }
};

// The turns of a block's mail, in two boxes: whoever is a turn ahead of all others has sent for
// three that somebody still looks at.
constexpr int kMailTurns = 4;
GPU_DEVICE Mailbox* box_of(Mailbox* boxes, uint32_t turn) { return boxes + turn / 2 % 2; }
GPU_DEVICE int turn_of_box(uint32_t turn) {
  return static_cast<int>(turn / kMailTurns * 2 + turn % 2);
}

// By a wave: the sums of the block's waves to each block of the cluster.
template <class Norm>
GPU_DEVICE void mail_sums(const float* partial, uint32_t turn, Mailbox* boxes,
                          ClusterSums<Norm>* tables) {
  constexpr int kSums = Norm::kSums;
  float x[kSums];
  const int lane = thread_id() & (kHalfWave - 1);
#pragma unroll
  for (int i = 0; i < kSums; ++i) {
    x[i] = lane < kSectionWaves ? partial[i * kMostWaves + lane] : 0.0f;
  }
  sum_lanes(x, kHalfWave);
  const int which = lane % kSums, to = lane / kSums;
  if (to < cluster_blocks()) {
    mail(box_of(boxes, turn), turn_of_box(turn),
         &tables[turn % kMailTurns].of[cluster_rank()][which], to,
         which == 0 ? x[0] : x[kSums - 1]);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_CLUSTER_ROWS_H_
