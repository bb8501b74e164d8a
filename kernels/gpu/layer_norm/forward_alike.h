// layer_norm and rms_norm of rows in registers where not all begin at 16 aligned bytes, but each
// row of the result as that of the input, and every few rows alike. Packs of weight and bias would
// take two loads and a shift each, so a block, or a cluster of blocks for longer rows, stays for
// some rows that are cut alike, every eighth of 16 bits, and has their parameters in shared memory
// as these are cut. No pack asks where it lies, as in forward_ragged.h, and rows come straight to
// registers: twice as many are on a multiprocessor, where some load while others compute.
#ifndef POLYOPS_GPU_LAYER_NORM_FORWARD_ALIKE_H_
#define POLYOPS_GPU_LAYER_NORM_FORWARD_ALIKE_H_

#include "forward_cluster.h"
#include "forward_rows.h"

namespace polyops::gpu {
namespace {

constexpr Fitting kAlikeFitting = {256, 4};
// Lanes of a team at least: one element each at the ends.
template <class T>
constexpr int kAlikeTeam = 2 * kPack<T>;

// Of a row, or a section of it, whose parameters are all in shared memory.
template <class Norm, class T, class P>
GPU_DEVICE void store_alike(const Part<T, kRowPacks, 1>& x, const Moments& m,
                            const ParametersOf<Norm, T, P>& parameters, T* dst,
                            const Share<T>& of) {
  using Given = ParametersOf<Norm, T, P>;
  const int live = of.cut.whole - of.lane;
  T* to = dst + of.cut.of_pack(of.lane);
  const Words* from = parameters.memory + of.lane + (of.cut.shift != 0);
#pragma unroll
  for (int k = 0; k < kRowPacks; ++k) {
    if (k * of.team >= live) break;
    float y[kPack<T>], parameter[Norm::kParameters][kPack<T>];
#pragma unroll
    for (int which = 0; which < Norm::kParameters; ++which) {
      Words words[Given::kParts];
#pragma unroll
      for (int i = 0; i < Given::kParts; ++i) words[i] = from[parameters.place(which, i, 0)];
      Given::unpack_all(words, parameter[which]);
    }
    normalize<Norm, T>(x.packs[k], m, parameter, y);
    store_words(to, pack<T>(y));
    to += of.team * kPack<T>;
    from += of.team;
  }
  store_ends<Norm>(x, m, parameters, dst, of);
}

// The rows of a team, or of a walker. begin: the row of the block's first team, `mine` before this
// one's. whole_row: see row_moments().
template <class Norm, class T, class P, class WholeRow>
GPU_DEVICE void walk_alike(const ForwardCall<Norm, T, P>& call, const Section& section, int count,
                           uint32_t begin, uint32_t mine, Share<T> of,
                           const ParametersOf<Norm, T, P>& parameters, float* shared,
                           WholeRow whole_row) {
  const auto rows = static_cast<uint32_t>(call.row_count);
#pragma unroll 1
  for (int turn = 0; turn < count && begin < rows; ++turn, begin += call.turns.step()) {
    const bool ours = begin + mine < rows;  // all lanes come to the sums
    const uint32_t row = ours ? begin + mine : begin;
    // Or where its packs and their parameters are is kept for the next row, and registers end.
    of.lane = forgotten(of.lane);
    int64_t at[2];
    call.rows.offsets(row, at);
    const T* const src = call.src + at[0] + section.begin;
    Part<T, kRowPacks, 1> x;
    load_packs_once(of, src, &x);
    load_ends(of.cut, src, of.lane, of.team, 0.0f, x.ends);
    if (turn == 0) {
      parameters.stage();
      if (of.team <= wave_size()) barrier();  // beyond that, sums have one
    }
    const Moments m = row_moments<Norm>(&x, of, true, shared + turn % 2 * 2 * kMomentsShared,
                                        call.inv_n, call.eps, whole_row);
    if (!ours) continue;
    if (of.lane == 0 && section.begin == 0) store_moments(call, row, m);
    store_alike<Norm>(x, m, parameters, call.dst + at[1] + section.begin, of);
  }
}

template <class Norm, class T, class P>
GPU_KERNEL(kAlikeFitting.threads, kAlikeFitting.blocks)
forward_alike(ForwardCall<Norm, T, P> call, int team, int rounds) {
  GPU_SHARED(float, shared, 4 * kMomentsShared);
  GPU_DYNAMIC_SHARED(Words, memory);
  const Turns& turns = call.turns;
  const int lane = turns.teams == 1 ? thread_id() : thread_id() & (team - 1);
  const uint32_t begin = turns.first(block_id());
  if (begin >= static_cast<uint32_t>(call.row_count)) return;
  const uint32_t mine = static_cast<uint32_t>(thread_id() / team * turns.classes);
  int64_t at[2];
  call.rows.offsets(begin, at);
  const T* const first = call.src + at[0];
  const Share<T> of(Cut<T>(first, call.n), lane, team, rounds);
  const Section all = {0, call.n};
  walk_alike<Norm>(call, all, turns.of(block_id()), begin, mine, of,
                   parameters_of(call, all, first, memory), shared,
                   [&](float pivot, float(&sums)[2], float* room) {
                     return combine<Norm>(pivot, sums, of, room, call.inv_n);
                   });
}

// elements: of the sections of a row, but the last.
template <class Norm, class T, class P>
GPU_KERNEL(kAlikeFitting.threads, kAlikeFitting.blocks)
forward_alike_sections(ForwardCall<Norm, T, P> call, int32_t elements) {
  GPU_SHARED(float, shared, 4 * kMomentsShared);
  GPU_SHARED(Mailbox, box, 1);
  GPU_SHARED(float, tables, 2 * kPosted<Norm> * kMostCluster);
  GPU_DYNAMIC_SHARED(Words, memory);
  const Section section = section_of_cluster(elements, call.n);
  const int64_t walker = block_id() / cluster_blocks();
  const uint32_t begin = call.turns.first(walker);
  if (begin >= static_cast<uint32_t>(call.row_count)) return;
  int64_t at[2];
  call.rows.offsets(begin, at);
  const T* const first = call.src + at[0] + section.begin;
  const Share<T> of(Cut<T>(first, section.n), thread_id(), block_threads(),
                    section.n / kPack<T> / block_threads());
  ClusterTable<kPosted<Norm>> table = {box, tables};
  const auto count = static_cast<float>(section.n);
  open_mailbox(box);
  cluster_barrier();  // all have begun
  walk_alike<Norm>(call, section, call.turns.of(walker), begin, 0, of,
                   parameters_of(call, section, first, memory), shared,
                   [&](float pivot, float(&sums)[2], float* room) {
                     const Spread spread =
                         combine<Norm>(pivot, sums, of, room, reciprocal_fast(count));
                     return merge_cluster<Norm>(spread, count, call.inv_n, &table);
                   });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_FORWARD_ALIKE_H_
