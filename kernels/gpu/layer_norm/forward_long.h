// layer_norm and rms_norm of rows beyond 64 KB that no cluster takes: in chunks of up to 128 KB, of
// which the last stays in registers. Those before it are parked in shared memory, beside the
// parameters; what finds no room there either is read again, from the row's end to its begin, out
// of the second-level cache if it is still there.
#ifndef POLYOPS_GPU_LAYER_NORM_FORWARD_LONG_H_
#define POLYOPS_GPU_LAYER_NORM_FORWARD_LONG_H_

#include "forward.h"

namespace polyops::gpu {
namespace {

constexpr int kLongThreads = 1024;  // at most: 64 registers
constexpr int kLongPacks = 8;

// Each thread parks what is its own, so nobody waits for anybody.
template <class T>
struct LongRow {
  const Share<T>& of;
  const T* src;
  Words* park;
  bool ragged;
  int parked;  // chunks
  float scale;

  GPU_DEVICE int begin(int chunk) const { return chunk * kLongPacks * of.team; }
  GPU_DEVICE int chunks() const {
    const int packs = (of.cut.n / kPack<T> + of.team - 1) / of.team;
    return packs <= kLongPacks ? 1 : (packs + kLongPacks - 1) / kLongPacks;
  }
  GPU_DEVICE Words* place(int chunk, int k) const {
    return park + begin(chunk) + k * of.team + of.lane;
  }
  GPU_DEVICE void load(int chunk, Part<T, kLongPacks>* x) const {
    load_row(of.cut, src, begin(chunk) + of.lane, of.team, 0.0f, x->packs);
    if (scale != 1) make_smaller<T>(x->packs);
  }
  GPU_DEVICE void keep(int chunk, const Part<T, kLongPacks>& x) const {
    if (chunk >= parked) return;
#pragma unroll
    for (int k = 0; k < kLongPacks; ++k) *place(chunk, k) = x.packs[k];
  }
  GPU_DEVICE void fetch(int chunk, Part<T, kLongPacks>* x) const {
    if (chunk >= parked) return load(chunk, x);
#pragma unroll
    for (int k = 0; k < kLongPacks; ++k) x->packs[k] = *place(chunk, k);
  }
};

// Leaves the last chunk in x, and the ends.
template <class Norm, class T>
GPU_DEVICE Moments long_moments(const LongRow<T>& row, float* shared, float inv_n, float eps,
                                Part<T, kLongPacks>* x) {
  const Share<T>& of = row.of;
  const int chunks = row.chunks();
  float pivot = 0, sums[2] = {};
  for (int c = 0; c < chunks; ++c) {
    if (c == 0) {
      if (row.ragged) load_ends(of.cut, row.src, of.lane, of.team, 0.0f, x->ends);
      if (row.scale != 1) make_smaller(x->ends);
    }
    row.load(c, x);
    if (c == 0) {
      pivot = pivot_of<Norm>(*x, of, row.ragged);
      if (row.ragged) add_ends(*x, pivot, of, sums);
    }
    add_packs<T>(x->packs, pivot, of.cut, row.begin(c) + of.lane, of.team, sums);
    if (c + 1 < chunks) row.keep(c, *x);
  }
  return make_moments(combine<Norm>(pivot, sums, of, shared, inv_n), row.scale, inv_n, eps);
}

template <class Norm, class T, class P>
GPU_KERNEL(kLongThreads)
forward_long(ForwardCall<Norm, T, P> call, int parked) {
  await_earlier();
  GPU_SHARED(float, shared, 4 * kMomentsShared);
  GPU_DYNAMIC_SHARED(Words, memory);
  const int team = block_threads(), lane = thread_id();
  const BlockTurns turns(call.turns, block_id(), call.row_count);
  Turns::Rows now = turns.at(0);
  if (now.begin >= now.end) return;
  int64_t first[2];
  call.rows.offsets(now.begin, first);
  const ParametersOf<Norm, T, P> parameters =
      parameters_of(call, {0, call.n}, call.src + first[0], memory);
  for (int turn = 0; now.begin < now.end; ++turn) {
    const uint32_t row = now.begin;
    int64_t at[2];
    call.rows.offsets(row, at);
    const T* src = call.src + at[0];
    const Share<T> of(Cut<T>(src, call.n), lane, team, call.n / kPack<T> / team);
    LongRow<T> whole = {of, src, memory + parameters.words(), call.ragged, parked, 1};
    float* sums = shared + turn % 2 * 2 * kMomentsShared;
    Part<T, kLongPacks> x;
    Moments m = long_moments<Norm>(whole, sums, call.inv_n, call.eps, &x);
    if (kWideRange<T> && !(m.factor > 0)) {  // the squares were infinite, or not a number
      whole.scale = kSmaller;
      m = long_moments<Norm>(whole, sums + kMomentsShared, call.inv_n, call.eps, &x);
    }
    if (turn == 0) {
      parameters.stage();
      barrier();
    }
    if (lane == 0) store_moments(call, row, m);
    T* dst = call.dst + at[1];
    for (int c = whole.chunks() - 1;;) {
      store_chunk<Norm>(x.packs, m, parameters, dst, of.cut, whole.begin(c) + lane, team);
      if (--c < 0) break;
      whole.fetch(c, &x);
    }
    if (call.ragged) store_ends<Norm>(x, m, parameters, dst, of);
    now = turns.at(turn + 1);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_FORWARD_LONG_H_
