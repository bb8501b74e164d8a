// layer_norm and rms_norm of rows in registers, as forward_rows.h, where some row or parameter
// begins between 16 aligned bytes. Packs of weight and bias would take two loads and a shift each,
// so a block stays for many rows that are cut alike, every eighth of 16 bits, and has their
// parameters in shared memory; each team's next row arrives there while it computes one.
#ifndef POLYOPS_GPU_LAYER_NORM_FORWARD_RAGGED_H_
#define POLYOPS_GPU_LAYER_NORM_FORWARD_RAGGED_H_

#include "forward_rows.h"
#include "next_row.h"

namespace polyops::gpu {
namespace {

// With 96 registers, in blocks of any size: with 80 many spill, with 96 those of mixed dtypes, few.
constexpr Fitting kRaggedFitting = {320, 2};
constexpr int kRaggedRow = 256;    // threads of a row at most
constexpr int kRaggedTeams = 128;  // of a block of several rows

template <class Norm, class T, class P>
GPU_KERNEL(kRaggedFitting.threads, kRaggedFitting.blocks)
forward_ragged(ForwardCall<Norm, T, P> call, int team, int rounds) {
  GPU_SHARED(float, shared, 4 * kMomentsShared);
  GPU_DYNAMIC_SHARED(Words, memory);
  const int lane = call.turns.teams == 1 ? thread_id() : thread_id() & (team - 1);
  const BlockTurns turns(call.turns, block_id(), call.row_count);
  Turns::Rows now = turns.at(0);
  if (now.begin >= now.end) return;
  const uint32_t mine = static_cast<uint32_t>(thread_id() / team * call.turns.classes);
  int64_t at[2];
  call.rows.offsets(now.begin, at);
  const T* const first = call.src + at[0];
  const Share<T> of(Cut<T>(first, call.n), lane, team, rounds);
  const ParametersOf<Norm, T, P> parameters = parameters_of(call, {0, call.n}, first, memory);
  NextRow<T, kRowPacks> next(memory + parameters.words());
  if (now.begin + mine < now.end) next.open(call, 0, now.begin + mine, of);
#pragma unroll 1
  for (int turn = 0; now.begin < now.end; ++turn) {
    const uint32_t row = now.begin + mine;
    const bool ours = row < now.end;  // all lanes come to the sums
    Part<T, kRowPacks> x;
    next.take(of, &x);
    T* const dst = next.dst;
    now = turns.at(turn + 1);
    if (now.begin + mine < now.end) next.open(call, 0, now.begin + mine, of);
    const Moments m =
        row_moments<Norm>(&x, of, true, shared + turn % 2 * 2 * kMomentsShared, call.inv_n,
                          call.eps, [&](float pivot, float(&sums)[2], float* room) {
                            return combine<Norm, true>(pivot, sums, of, room, call.inv_n);
                          });
    if (turn == 0) {
      parameters.stage();
      barrier();
    }
    if (!ours) continue;
    if (lane == 0) store_moments(call, row, m);
    store_chunk<Norm>(x.packs, m, parameters, dst, of.cut, lane, team);
    store_ends<Norm>(x, m, parameters, dst, of);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_FORWARD_RAGGED_H_
