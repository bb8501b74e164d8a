// The same rows as forward.h's, through shared memory: while a row is computed, the copies of the
// block's next one are under way, 64 bytes of a lane. So loads are in flight whatever a row waits for
// between its first load and its last store, with the half of a multiprocessor's threads that 64
// registers leave.
#ifndef POLYOPS_GPU_LAYER_NORM_FORWARD_AHEAD_H_
#define POLYOPS_GPU_LAYER_NORM_FORWARD_AHEAD_H_

#include "forward.h"

namespace polyops::gpu {
namespace {

// A lane's row, or none. Its packs arrive where nobody else looks; the elements at its ends in
// registers. kRagged: some row has ends, or is cut differently and goes by elements.
template <bool kRagged, class Norm, class T, class P>
struct AheadRow {
  Words* memory;
  T* dst;
  float ends[kMostEnds<T>];

  GPU_DEVICE Words* place(int k) const { return memory + k * block_threads() + thread_id(); }

  GPU_DEVICE void open(const ForwardCall<Norm, T, P>& call, uint32_t row, const Share<T>& of) {
    if (row >= static_cast<uint32_t>(call.row_count)) return;
    int64_t at[2];
    call.rows.offsets(row, at);
    const T* src = call.src + at[0];
    dst = call.dst + at[1];
    copy_packs<kForwardPacks>(of.cut, src, of.lane, of.team, kRagged,
                              [&](int k) { return place(k); });
    close_copies();
    if constexpr (kRagged) load_ends(of.cut, src, of.lane, of.team, 0.0f, ends);
  }

  // Waits for its packs; their places are free then. Zeros where there are none.
  GPU_DEVICE void take(bool ours, const Share<T>& of, Part<T, kForwardPacks>* x) const {
    wait_copies<0>();
    const int whole = ours ? of.cut.whole : 0;
#pragma unroll
    for (int k = 0; k < kForwardPacks; ++k) {
      x->packs[k] = {};
      if (of.lane + k * of.team < whole) x->packs[k] = *place(k);
    }
#pragma unroll
    for (int e = 0; e < kMostEnds<T>; ++e) x->ends[e] = kRagged && ours ? ends[e] : 0.0f;
  }
};

template <bool kRagged, class Norm, class T, class P>
GPU_KERNEL(kForwardThreads)
forward_ahead(ForwardCall<Norm, T, P> call, int team) {
  GPU_SHARED(float, shared, 4 * kMomentsShared);
  GPU_DYNAMIC_SHARED(Words, memory);
  const Turns& turns = call.turns;
  const auto rows = static_cast<uint32_t>(call.row_count);
  const int lane = turns.teams == 1 ? thread_id() : thread_id() & (team - 1);
  uint32_t begin = turns.first(block_id());  // the first team's row
  if (begin >= rows) return;
  const uint32_t mine = static_cast<uint32_t>(thread_id() / team * turns.classes);
  int64_t at[2];
  call.rows.offsets(begin, at);
  const Share<T> of(call.src + at[0], call.n, lane, team);
  const ParametersOf<Norm, T, P> parameters = parameters_of(call, begin, memory);
  AheadRow<kRagged, Norm, T, P> next = {memory + parameters.words(), nullptr, {}};
  next.open(call, begin + mine, of);
  for (int turn = 0; turn < turns.count && begin < rows; ++turn) {
    const uint32_t row = begin + mine;
    const bool ours = row < rows;
    Part<T, kForwardPacks> x;
    next.take(ours, of, &x);
    T* const dst = next.dst;
    begin += turns.step();
    if (turn + 1 < turns.count) next.open(call, begin + mine, of);
    const Moments m = row_moments<Norm>(&x, of, kRagged, shared + turn % 2 * 2 * kMomentsShared,
                                        call.inv_n, call.eps);
    if (turn == 0) {
      parameters.stage();
      barrier();
    }
    if (!ours) continue;
    if (lane == 0) store_moments(call, row, m);
    store_chunk<Norm>(x.packs, m, parameters, dst, of.cut, lane, team);
    if constexpr (kRagged) store_ends<Norm>(x, m, parameters, dst, of);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_FORWARD_AHEAD_H_
