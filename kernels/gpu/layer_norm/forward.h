// layer_norm and rms_norm of rows whose elements lie next to each other. Bound: memory, one read and one write.
//
// A row's packs stay in registers as they came, 64 bytes per lane, and 16 bits are widened twice:
// layer_norm's are 15 instructions per element of the 27 that fit beside its bytes at 4.3 TB/s. Rows of up to 128 packs
// share a block, others have one of their own; beyond 64 KB, forward_long.h.
//
// Blocks stay for many rows, whose parameters are then in shared memory once (parameters.h): an H200
// reads 2.1 TB/s of rows, and twice that from the second-level cache beside it was its limit. Where
// rows are cut differently, a block takes those that are cut alike, every eighth of 16 bits.
#ifndef POLYOPS_GPU_LAYER_NORM_FORWARD_H_
#define POLYOPS_GPU_LAYER_NORM_FORWARD_H_

#include "moments.h"
#include "parameters.h"

namespace polyops::gpu {
namespace {

constexpr int kForwardThreads = 1024;  // at most: 64 registers
constexpr int kForwardPacks = 4;
constexpr int kShortThreads = 256;  // of blocks whose teams are parts of waves

// P: of weight and bias, null if absent. The bias and the mean are layer_norm's alone.
template <class Norm, class T, class P>
struct ForwardCall {
  const T* src;
  T* dst;
  const P* weight;
  const P* bias;
  Values mean, rstd;
  Walk<2> rows;
  int32_t row_count, n;
  float inv_n, eps;
  bool ragged;     // some row has ends
  int32_t staged;  // packs of the parameters, see Parameters
  Turns turns;
};

template <class Norm, class T, class P>
using ParametersOf = Parameters<T, P, Norm::kParameters>;

template <class Norm, class T, class P>
GPU_DEVICE ParametersOf<Norm, T, P> parameters_of(const ForwardCall<Norm, T, P>& call, int64_t row,
                                                  Words* memory) {
  int64_t at[2];
  call.rows.offsets(row, at);
  ParametersOf<Norm, T, P> parameters = {
      {call.weight}, memory, call.staged, {call.n, misplaced(call.src + at[0]), kPack<T>}};
  if constexpr (Norm::kCentered) parameters.given[1] = call.bias;
  return parameters;
}

template <class Norm, class T, class P>
GPU_DEVICE void store_moments(const ForwardCall<Norm, T, P>& call, int64_t row, const Moments& m) {
  if constexpr (Norm::kCentered) store_value<T>(call.mean, row, m.mean());
  store_value<T>(call.rstd, row, m.rstd());
}

// Of a row's normal value, its weight and its last parameter.
template <class Norm>
GPU_DEVICE float affine(float x, float weight, float bias) {
  if constexpr (!Norm::kCentered) return x * weight;
  return fmaf(x, weight, bias);
}

template <class T, int kPacks>
GPU_DEVICE void load_ends(const Share<T>& of, const T* src, Part<T, kPacks>* x) {
  load_ends(of.cut, src, of.lane, of.team, 0.0f, x->ends);
}

// y of packs first, first + step, ... kQuick: their parameters are all in shared memory, and dst lies
// as src does.
template <class Norm, bool kQuick, class T, class P, int kPacks>
GPU_DEVICE void store_packs(const Words (&x)[kPacks], const Moments& m,
                            const ParametersOf<Norm, T, P>& parameters, T* dst, const Cut<T>& cut,
                            int first, int step) {
  const Grid grid = {cut.n, cut.shift, kPack<T>};
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const int32_t at = first + k * step;
    if (at >= cut.whole) break;
    const int32_t pack = at + (cut.shift != 0);
    float y[kPack<T>], parameter[Norm::kParameters][kPack<T>];
#pragma unroll
    for (int which = 0; which < Norm::kParameters; ++which) {
      if constexpr (kQuick) {
        parameters.fetch(which, pack, parameter[which]);
      } else {
        parameters.load(which, grid, forgotten(pack), parameter[which]);
      }
    }
    unpack<T>(x[k], y);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) {
      y[j] =
          affine<Norm>(m.normal<Norm>(y[j]), parameter[0][j], parameter[Norm::kParameters - 1][j]);
    }
    store_pack(cut, dst, kQuick || cut.fits(dst), at, y);
  }
}

template <class Norm, class T, class P, int kPacks>
GPU_DEVICE void store_chunk(const Words (&x)[kPacks], const Moments& m,
                            const ParametersOf<Norm, T, P>& parameters, T* dst, const Cut<T>& cut,
                            int first, int step) {
  const Grid grid = {cut.n, cut.shift, kPack<T>};
  if (cut.fits(dst) && cut.whole + (cut.shift != 0) <= parameters.here(grid)) {
    store_packs<Norm, true>(x, m, parameters, dst, cut, first, step);
  } else {
    store_packs<Norm, false>(x, m, parameters, dst, cut, first, step);
  }
}

template <class Norm, class T, class P, int kPacks>
GPU_DEVICE void store_ends(const Part<T, kPacks>& x, const Moments& m,
                           const ParametersOf<Norm, T, P>& parameters, T* dst, const Share<T>& of) {
  for_each_end<kMostEnds<T>>(of.cut, of.lane, of.team, [&](int e, int at) {
    dst[at] = narrow<T>(affine<Norm>(m.normal<Norm>(x.ends[e]), parameters.one(0, at),
                                     parameters.one(Norm::kParameters - 1, at)));
  });
}

template <class Norm, class T, class P>
GPU_KERNEL(kForwardThreads)
forward_rows(ForwardCall<Norm, T, P> call, int team) {
  GPU_SHARED(float, shared, 4 * kMomentsShared);
  GPU_DYNAMIC_SHARED(Words, memory);
  const Turns& turns = call.turns;
  const auto rows = static_cast<uint32_t>(call.row_count);
  const int lane = turns.teams == 1 ? thread_id() : thread_id() & (team - 1);
  uint32_t begin = turns.first(block_id());  // the first team's row
  if (begin >= rows) return;
  const ParametersOf<Norm, T, P> parameters = parameters_of(call, begin, memory);
  const uint32_t mine = static_cast<uint32_t>(thread_id() / team * turns.classes);
  Share<T> of(call.src, 0, lane, team);
  for (int turn = 0; turn < turns.count && begin < rows; ++turn) {
    // A team without a row comes along for the shuffles.
    const bool ours = begin + mine < rows;
    const uint32_t row = ours ? begin + mine : begin;
    int64_t at[2];
    call.rows.offsets(row, at);
    const T* src = call.src + at[0];
    if (turn == 0 || misplaced(src) != of.cut.shift) {
      of = Share<T>(src, call.n, lane, team);
    }
    Part<T, kForwardPacks> x;
    load_row(of.cut, src, lane, team, 0.0f, x.packs);
    if (call.ragged) load_ends(of, src, &x);
    const Moments m = row_moments<Norm>(&x, of, call.ragged, shared + turn % 2 * 2 * kMomentsShared,
                                        call.inv_n, call.eps);
    if (turn == 0) {
      parameters.stage();
      barrier();
    }
    if (ours) {
      if (lane == 0) store_moments(call, row, m);
      T* dst = call.dst + at[1];
      store_chunk<Norm>(x.packs, m, parameters, dst, of.cut, lane, team);
      if (call.ragged) store_ends<Norm>(x, m, parameters, dst, of);
    }
    begin += turns.step();
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_FORWARD_H_
