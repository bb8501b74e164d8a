// The gradients of rows beyond what a block takes, in one read: clusters of blocks walk rows, each
// block with its section of them. Columns are a thread's for good, of all rows, wherever these
// begin: their sums and weights stay in registers, and a row is found in shared memory, three to
// five of them, where one thread copies it by two instructions.
//
// In a turn a row's sums are added up before the row ahead of it is stored, so that what its blocks
// tell each other is there when it is asked for: nobody waits for it.
#ifndef POLYOPS_GPU_LAYER_NORM_BACKWARD_CLUSTER_H_
#define POLYOPS_GPU_LAYER_NORM_BACKWARD_CLUSTER_H_

#include "cluster_columns.h"
#include "cluster_rows.h"

namespace polyops::gpu {
namespace {

// What the block's threads have in common beside rows, in one piece: so it has one address.
template <class Norm, class T>
struct ClusterDesk {
  float partial[2][Norm::kSums * kMostWaves];  // of the waves, of one row and the next
  ClusterSums<Norm> tables[kMailTurns];
  RowHead heads[kMostStages];
  RowAhead<T> rows[kMostStages];
  Mailbox boxes[2];
  Arrival arrivals[kMostStages];
  // The waves' sums of a row are there; the row before it is stored, and the wave that mails has
  // read those sums. There all lanes arrive, as racecheck knows none that arrives for its wave: 0
  // to 0.6 % of the time (bfloat16 1024x50257: 108.4 us as before, float32 512x65536: 120.0, so
  // 120.7).
  Departures summed[2], stored[2];
};

// kPacked: of aligned rows of 16 bits, by packs.
template <bool kPacked, class Norm, class T, class P>
GPU_KERNEL(kSectionThreads, 1)
backward_cluster(BackwardCall<Norm, T, P> call, ClusterPlan plan) {
  await_earlier();
  if constexpr (!kHasClusters) return;
  constexpr int kSums = Norm::kSums;
  using Desk = ClusterDesk<Norm, T>;
  GPU_SHARED(Desk, desk, 1);
  GPU_DYNAMIC_SHARED(Words, words);
  T* const memory = reinterpret_cast<T*>(words);
  const Section section = section_of_cluster(plan.elements, call.n);
  const auto clusters = static_cast<int32_t>(grid_blocks() / cluster_blocks());
  const auto walker = static_cast<int32_t>(block_id() / cluster_blocks());
  const int32_t count = (call.row_count - walker + clusters - 1) / clusters;
  const int thread = thread_id(), wave = static_cast<uint32_t>(thread) / kHalfWave;
  const Sender<Norm, T, P> sender = {call,        section,    plan.place,    memory,
                                     desk->heads, desk->rows, desk->arrivals};
  open_mailbox(&desk->boxes[0]);
  open_mailbox(&desk->boxes[1]);
  open_departures(desk->summed, 2, kSectionWaves);
  open_departures(desk->stored, 2, kSectionThreads);
  open_arrivals(desk->arrivals, plan.stages);
  if (thread < kMailTurns * kMostCluster && thread % kMostCluster >= cluster_blocks()) {
#pragma unroll
    for (int i = 0; i < kSums; ++i)
      desk->tables[thread / kMostCluster].of[thread % kMostCluster][i] = 0;
  }
  if (thread < plan.stages && thread < count) {
    sender.prepare(walker + thread * clusters, thread);
    sender.send(thread);
    sender.say(thread);
  }
  ColumnShare<kPacked, Norm, T, P> share(thread, section, call.weight);
  const Behind<T, !kPacked> behind(section.n, thread, memory, plan);
  cluster_barrier();  // all have begun
  const auto before = [&](int stage) { return (stage == 0 ? plan.stages : stage) - 1; };
  // Nobody waits for the block's other waves, but the one that mails and the thread that sends;
  // of what is in two places in turn, others are a turn ahead at most.
  int stage = 0, lap = 0;  // of the row that is added up
  for (int turn = -1; turn < count; ++turn) {
    const int next = turn + 1, of_turn = before(stage);
    if (next < count) {
      await_runs(desk->arrivals + stage, lap);
      const RowHead& head = desk->heads[stage];
      T* const grad = memory + stage * 2 * plan.place + head.grad_shift;
      T* const src = memory + (stage * 2 + 1) * plan.place + head.src_shift;
      behind.fix(grad, src);
      float sums[kSums];
      share.add_row(grad + share.columns.first, src + share.columns.first, Normal<Norm>(head), sums,
                    [&] {
                      if (thread != plan.sender || turn <= 0) return;
                      if (turn - 1 + plan.stages >= count) return;
                      await_departures(desk->stored + (turn & 1), static_cast<uint32_t>(turn) / 2);
                      sender.send(before(of_turn));
                    });
      if (call.grad_src != nullptr) {
        float* const of_waves = desk->partial[next & 1];
        sum_lanes(sums, kHalfWave);
        if (turn > 0) {
          await_departures(desk->stored + (next & 1), static_cast<uint32_t>(turn - 1) / 2);
        }
        const bool of_wave = (thread & (kHalfWave - 1)) == 0;
#pragma unroll
        for (int i = 0; i < kSums; ++i) {
          if (of_wave) of_waves[i * kMostWaves + wave] = sums[i];
        }
        depart(desk->summed + (next & 1), of_wave);
        if (wave == kSectionWaves - 2) {
          await_departures(desk->summed + (next & 1), static_cast<uint32_t>(next) / 2);
          mail_sums<Norm>(of_waves, next, desk->boxes, desk->tables);
        }
      }
    }
    if (turn >= 0) {
      if (call.grad_src != nullptr) {
        await_mail(box_of(desk->boxes, turn), turn_of_box(turn), kSums * cluster_blocks());
        const RowHead& head = desk->heads[of_turn];
        const T* const grad = memory + of_turn * 2 * plan.place + head.grad_shift;
        const T* const src = memory + (of_turn * 2 + 1) * plan.place + head.src_shift;
        const Normal<Norm> normal(head);
        float sums[kSums];
        desk->tables[turn & (kMailTurns - 1)].add_up(sums);
        share.store_row(grad + share.columns.first, src + share.columns.first,
                        Gradient<Norm>(normal, sums, call.inv_n), call.grad_src + head.out);
      } else {
        barrier();  // there is no mail that keeps waves together
      }
    }
    const bool sends = thread == plan.sender;
    if (sends && turn > 0 && turn - 1 + plan.stages < count) sender.say(before(of_turn));
    depart(desk->stored + (next & 1));
    if (sends && turn >= 0 && turn + plan.stages < count) {
      sender.prepare(walker + (turn + plan.stages) * clusters, of_turn);
      if (plan.stages == kLeastStages) sender.prefetch(of_turn);
    }
    if (++stage == plan.stages) stage = 0, ++lap;
  }
  if (call.sums == nullptr) return;
  let_later_begin();
  float* const out = call.sums + int64_t{walker} * Norm::kParameters * call.stride;
  share.finish(out + section.begin, call.stride);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_BACKWARD_CLUSTER_H_
