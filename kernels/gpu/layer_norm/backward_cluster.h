// The gradients of rows beyond what a block takes, in one read: clusters of blocks walk rows, each
// block with its section of them. Columns are a thread's for good, of all rows, wherever these
// begin: their sums and weights stay in registers, and a row is found in shared memory, three to
// five of them, where one thread copies it by two instructions.
//
// In a turn a row's sums are added up before the row ahead of it is stored, so that what its blocks
// tell each other is there when it is asked for: nobody waits for it.
#ifndef POLYOPS_GPU_LAYER_NORM_BACKWARD_CLUSTER_H_
#define POLYOPS_GPU_LAYER_NORM_BACKWARD_CLUSTER_H_

#include "backward_finish.h"
#include "backward_row.h"
#include "reduce.h"

namespace polyops::gpu {
namespace {

constexpr int kSectionThreads = 512;
constexpr int kSectionWaves = kSectionThreads / kHalfWave;  // clusters have waves of so many
constexpr int kUnit = 8;                                    // columns that a thread has at a time
constexpr int kUnitStep = kUnit * kSectionThreads;          // from one of its units to the next
// Of a thread at most; weights of 16 bits are two to a register.
template <class P>
constexpr int kUnits = sizeof(P) == 4 ? 3 : 4;
constexpr int kLeastStages = 3, kMostStages = 5;  // rows in shared memory

// Of a section. kPacks: eight side by side, of rows that all begin at 16 aligned bytes; else each
// wave's lanes have theirs in turn.
template <bool kPacks, class T>
struct UnitColumns {
  static constexpr int kStep = kPacks ? 1 : kHalfWave;

  int first;  // of the thread
  int left;   // of the section from there on; those of its wave, where they are the wave's

  GPU_DEVICE UnitColumns(int thread, int count) {
    const int lane = thread % kHalfWave, chunk = (thread - lane) * kUnit;
    first = chunk + (kPacks ? lane * kUnit : lane);
    left = count - (kPacks ? first : chunk);
  }
  GPU_DEVICE bool has(int unit) const { return left > unit * kUnitStep; }
  GPU_DEVICE bool whole(int unit) const {
    return kPacks || left >= unit * kUnitStep + kUnit * kHalfWave;
  }
  GPU_DEVICE bool has(int unit, int j) const {
    return left - thread_id() % kHalfWave > of(unit, j);
  }
  GPU_DEVICE static int of(int unit, int j) { return unit * kUnitStep + j * kStep; }
  GPU_DEVICE static void load(const T* mine, int unit, float (&x)[kUnit]) {
    if constexpr (kPacks) {
      unpack<T>(*reinterpret_cast<const Words*>(mine + of(unit, 0)), x);
    } else {
#pragma unroll
      for (int j = 0; j < kUnit; ++j) x[j] = widen(mine[of(unit, j)]);
    }
  }
};

// The weights of a unit, as they are in memory.
template <class P>
struct UnitWeights {
  static constexpr int kPerWord = 4 / static_cast<int>(sizeof(P));
  uint32_t w[kUnit / kPerWord];

  GPU_DEVICE void set(int j, P x) {
    if constexpr (kPerWord == 1) {
      w[j] = float_bits(x);
    } else {
      uint16_t bits;
      __builtin_memcpy(&bits, &x, sizeof bits);
      w[j / 2] = j % 2 == 0 ? bits : w[j / 2] | uint32_t{bits} << 16;
    }
  }
  GPU_DEVICE void get(float (&x)[kUnit]) const {
#pragma unroll
    for (int i = 0; i < kUnit / kPerWord; ++i) {
      if constexpr (kPerWord == 1) {
        x[i] = float_of_bits(w[i]);
      } else {
        uint32_t both = w[i];
        forget_bits(&both);  // or it would be two registers for good
        widen2<P>(both, &x[2 * i], &x[2 * i + 1]);
      }
    }
  }
};

// A row that is on its way, or has arrived.
struct alignas(16) RowHead {
  float rstd, scale, shift, rest;
  int64_t out;  // from the first row's result on
  int grad_shift, src_shift;
  Words statistics[2];  // the 16 bytes where mean and rstd are, and at which of these
  int at[2];
};

// Of a cluster's blocks.
template <class Norm>
struct alignas(16) ClusterSums {
  float of[kMostCluster][Norm::kSums];

  GPU_DEVICE void add_up(float (&x)[Norm::kSums]) const {
#pragma unroll
    for (int i = 0; i < Norm::kSums; ++i) x[i] = of[0][i];
#pragma unroll
    for (int rank = 1; rank < kMostCluster; ++rank) {
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

// How a block's sections of rows, and what is known of these, come to shared memory.
template <bool kRagged, class Norm, class T, class P>
struct Sender {
  const BackwardCall<Norm, T, P>& call;
  Section section;
  int32_t place;
  T* memory;
  RowHead* heads;
  Arrival* arrivals;

  GPU_DEVICE int packs(int shift) const { return (shift + section.n + kPack<T> - 1) / kPack<T>; }
  GPU_DEVICE void send(uint32_t number, int stage) const {
    RowHead& head = heads[stage];
    BackwardRow<Norm, T, P> row;
    const T* in[2];
    row.template place<kRagged>(call, section.begin, number, in);
    send_tensor(stage, 0, in[0] - row.grad_shift, packs(row.grad_shift));
    send_tensor(stage, 1, in[1] - row.src_shift, packs(row.src_shift));
#pragma unroll
    for (int i = Norm::kCentered ? 0 : 1; i < 2; ++i) {
      const Values& of = i == 0 ? call.mean : call.rstd;
      const char* const p = static_cast<const char*>(of.data) + int64_t{number} * bytes_of(of);
      head.at[i] = misplaced(p);
      copy_16_later(&head.statistics[i], p - misplaced(p));
    }
    close_copies();
    head.out = row.out - call.grad_src;
    head.grad_shift = row.grad_shift;
    head.src_shift = row.src_shift;
  }
  GPU_DEVICE void send_tensor(int stage, int i, const T* from, int packs) const {
    copy_run_later(arrivals + stage, memory + (stage * 2 + i) * place, from, packs * 16);
  }
  GPU_DEVICE static int bytes_of(const Values& v) { return sizeof(T) == 4 || v.is_float ? 4 : 2; }
  // By the same thread, later: when this is said the row has arrived.
  GPU_DEVICE void say(int stage) const {
    RowHead& head = heads[stage];
    wait_copies<0>();
    BackwardRow<Norm, T, P> row;
    if constexpr (Norm::kCentered) row.mean = bits_of(head, 0, call.mean);
    row.rstd = bits_of(head, 1, call.rstd);
    const Normal<Norm> normal(call, row);
    head.rstd = normal.rstd;
    head.scale = normal.scale;
    head.shift = normal.shift;
    head.rest = normal.rest;
    expect_runs(arrivals + stage, 16 * (packs(head.grad_shift) + packs(head.src_shift)));
  }
  GPU_DEVICE static uint32_t bits_of(const RowHead& head, int i, const Values& v) {
    const uint32_t word = head.statistics[i].w[head.at[i] / 4];
    return bytes_of(v) == 4 ? word : word >> head.at[i] % 4 * 8 & 0xffff;
  }
};

// The turns of a block's mail, in two boxes: whoever is a turn ahead of all others has sent for
// three that somebody still looks at.
constexpr int kMailTurns = 4;
GPU_DEVICE Mailbox* box_of(Mailbox* boxes, int turn) { return boxes + turn / 2 % 2; }
GPU_DEVICE int turn_of_box(int turn) { return turn / kMailTurns * 2 + turn % 2; }

// By a wave: the sums of the block's waves to each block of the cluster.
template <class Norm>
GPU_DEVICE void mail_sums(const float* partial, int turn, Mailbox* boxes,
                          ClusterSums<Norm>* tables) {
  constexpr int kSums = Norm::kSums;
  float x[kSums];
  const int lane = thread_id() % kHalfWave;
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

// Zeros behind a section, where lanes have columns of a unit that ends with it. What is copied with
// a row reaches less than two packs beyond it: those are for each row, the rest for good.
template <class T>
struct Behind {
  int near;  // this thread's column of those, or negative

  GPU_DEVICE Behind(int count, int thread, T* memory, const ClusterPlan& plan) : near(-1) {
    constexpr int kWave = kUnit * kHalfWave, kReach = 2 * kPack<T>;
    const int begin = count / kWave * kWave;  // of that unit
    const int at = count + ((thread - count) & (kHalfWave - 1));
    const bool ours = thread / kHalfWave == begin / kWave % (kSectionThreads / kHalfWave);
    if (ours && at < count + kReach && at < begin + kWave) near = at;
    for (int far = count + kReach + thread; far < plan.place; far += kSectionThreads) {
      for (int i = 0; i < 2 * plan.stages; ++i) memory[i * plan.place + far] = narrow<T>(0.0f);
    }
  }
  GPU_DEVICE void fix(T* grad, T* src) const {
    if (near < 0) return;
    grad[near] = narrow<T>(0.0f);
    src[near] = narrow<T>(0.0f);
    before_runs();
  }
};

// A thread's share of all rows of the block.
template <bool kPacks, class Norm, class T, class P>
struct ColumnShare {
  static constexpr int kCount = kUnits<P>;

  UnitColumns<kPacks, T> columns;
  UnitWeights<P> weights[kCount];
  float sums[Norm::kParameters][kCount][kUnit];

  GPU_DEVICE ColumnShare(int thread, const Section& section, const P* weight)
      : columns(thread, section.n), sums{} {
#pragma unroll
    for (int u = 0; u < kCount; ++u) {
#pragma unroll
      for (int j = 0; j < kUnit; ++j) {
        const int at = columns.first + columns.of(u, j);
        const bool given = weight != nullptr && at < section.n;
        weights[u].set(j, given ? weight[section.begin + at] : narrow<P>(1.0f));
      }
    }
  }
  // between(): after the first unit.
  template <class F>
  GPU_DEVICE void add_row(const T* grad, const T* src, const Normal<Norm>& normal,
                          float (&of_row)[Norm::kSums], F between) {
    RowSums<Norm> all;
#pragma unroll
    for (int u = 0; u < kCount; ++u) {
      if (!columns.has(u)) break;
      float g[kUnit], x[kUnit], weight[kUnit];
      columns.load(grad, u, g);
      columns.load(src, u, x);
      weights[u].get(weight);
#pragma unroll
      for (int j = 0; j < kUnit; ++j) {
        all.add(j, normal, g[j], x[j], weight[j], &sums[Norm::kParameters - 1][u][j],
                &sums[0][u][j]);
      }
      if (u == 0) between();
    }
    all.get(normal, of_row);
  }
  GPU_DEVICE void store_row(const T* grad, const T* src, const Gradient<Norm>& gradient,
                            T* out) const {
#pragma unroll
    for (int u = 0; u < kCount; ++u) {
      if (!columns.has(u)) break;
      float g[kUnit], x[kUnit], weight[kUnit], y[kUnit];
      columns.load(grad, u, g);
      columns.load(src, u, x);
      weights[u].get(weight);
      gradient.all(g, x, weight, y);
      T* const to = out + columns.first + columns.of(u, 0);
      if constexpr (kPacks) {
        store_elements(to, y);
      } else if (columns.whole(u)) {
#pragma unroll
        for (int j = 0; j < kUnit; ++j) to[j * columns.kStep] = narrow<T>(y[j]);
      } else {
#pragma unroll
        for (int j = 0; j < kUnit; ++j) {
          if (columns.has(u, j)) to[j * columns.kStep] = narrow<T>(y[j]);
        }
      }
    }
  }
  GPU_DEVICE void finish(float* out, int64_t stride) const {
#pragma unroll
    for (int i = 0; i < Norm::kParameters; ++i) {
      float* const to = out + i * stride + columns.first;
#pragma unroll
      for (int u = 0; u < kCount; ++u) {
        if (!columns.has(u)) break;
#pragma unroll
        for (int j = 0; j < kUnit; j += kPacks ? 4 : 1) {
          if constexpr (kPacks) {
            store_words(to + columns.of(u, j), words_at(sums[i][u], j));
          } else if (columns.has(u, j)) {
            to[columns.of(u, j)] = sums[i][u][j];
          }
        }
      }
    }
  }
};

template <bool kPacks, class Norm, class T, class P>
GPU_KERNEL(kSectionThreads, 1)
backward_cluster(BackwardCall<Norm, T, P> call, ClusterPlan plan) {
  constexpr int kSums = Norm::kSums;
  GPU_SHARED(float, partial, 2 * kSums * kMostWaves);
  GPU_SHARED(Mailbox, boxes, 2);
  GPU_SHARED(ClusterSums<Norm>, tables, kMailTurns);
  GPU_SHARED(Arrival, arrivals, kMostStages);
  GPU_SHARED(Departures, departures, 1);
  GPU_SHARED(RowHead, heads, kMostStages);
  GPU_DYNAMIC_SHARED(Words, words);
  T* const memory = reinterpret_cast<T*>(words);
  const Section section = section_of_cluster(plan.elements, call.n);
  const auto clusters = static_cast<int32_t>(grid_blocks() / cluster_blocks());
  const auto walker = static_cast<int32_t>(block_id() / cluster_blocks());
  const int32_t count = (call.row_count - walker + clusters - 1) / clusters;
  const int thread = thread_id(), wave = thread / kHalfWave;
  const Sender<!kPacks, Norm, T, P> sender = {call, section, plan.place, memory, heads, arrivals};
  open_mailbox(boxes);
  open_mailbox(boxes + 1);
  open_arrivals(arrivals, plan.stages);
  open_departures(departures);
  if (thread < kMailTurns * kMostCluster && thread % kMostCluster >= cluster_blocks()) {
#pragma unroll
    for (int i = 0; i < kSums; ++i) tables[thread / kMostCluster].of[thread % kMostCluster][i] = 0;
  }
  cluster_arrive();
  if (thread < plan.stages && thread < count) {
    sender.send(walker + thread * clusters, thread);
    sender.say(thread);
  }
  ColumnShare<kPacks, Norm, T, P> share(thread, section, call.weight);
  Behind<T> behind(section.n, thread, memory, plan);
  cluster_wait();
  barrier();
  const auto before = [&](int stage) { return (stage == 0 ? plan.stages : stage) - 1; };
  // Of the row that is added up, and of that which is stored.
  int stage = 0, stored = 0, lap = 0;
  for (int turn = -1; turn < count; ++turn) {
    const int next = turn + 1;
    float* const of_waves = partial + next % 2 * kSums * kMostWaves;
    // The place of the row that was stored last is for the one after all that are here.
    const int coming = turn - 1 + plan.stages;
    const bool sends = thread == plan.sender && turn > 0 && coming < count;
    if (next < count) {
      await_runs(arrivals + stage, lap);
      const RowHead& head = heads[stage];
      T* const grad = memory + stage * 2 * plan.place + head.grad_shift;
      T* const src = memory + (stage * 2 + 1) * plan.place + head.src_shift;
      if constexpr (!kPacks) behind.fix(grad, src);
      float sums[kSums];
      share.add_row(grad + share.columns.first, src + share.columns.first, Normal<Norm>(head), sums,
                    [&] {
                      if (!sends) return;
                      await_departures(departures, turn - 1);
                      sender.send(walker + coming * clusters, before(stored));
                    });
      if (call.grad_src != nullptr) {
        sum_lanes(sums, kHalfWave);
#pragma unroll
        for (int i = 0; i < kSums; ++i) {
          if (thread % kHalfWave == 0) of_waves[i * kMostWaves + wave] = sums[i];
        }
      }
    }
    barrier();
    if (call.grad_src != nullptr) {
      if (wave == kSectionWaves - 2 && next < count) mail_sums<Norm>(of_waves, next, boxes, tables);
      if (turn >= 0) {
        await_mail(box_of(boxes, turn), turn_of_box(turn), kSums * cluster_blocks());
        const RowHead& head = heads[stored];
        const T* const grad = memory + stored * 2 * plan.place + head.grad_shift;
        const T* const src = memory + (stored * 2 + 1) * plan.place + head.src_shift;
        const Normal<Norm> normal(head);
        float sums[kSums];
        tables[turn % kMailTurns].add_up(sums);
        share.store_row(grad + share.columns.first, src + share.columns.first,
                        Gradient<Norm>(normal, sums, call.inv_n), call.grad_src + head.out);
      }
    }
    if (turn >= 0) depart(departures);
    if (sends) sender.say(before(stored));
    stored = stage;
    if (++stage == plan.stages) stage = 0, ++lap;
  }
  let_later_begin();
  if (call.sums == nullptr) return;
  float* const out = call.sums + int64_t{walker} * Norm::kParameters * call.stride;
  share.finish(out + section.begin, call.stride);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_BACKWARD_CLUSTER_H_
