// What layer_norm and rms_norm of rows whose elements lie next to each other share. Bound: memory,
// one read and one write; 16 bits are widened twice, and take about 19 instructions per element
// (rms_norm: 12) of the 27 that fit beside its bytes at 4.3 TB/s.
//   up to 4096 packs (64 KB)   in registers, a part of a wave or a block per row: forward_rows.h
//   up to 2048, cut            where rows or parameters are not aligned: forward_ragged.h
//   up to 8 times as many      in registers of a cluster's blocks: forward_sections.h
//   beyond, and cut            a cluster that walks rows: forward_cluster.h; where there is none,
//                              or too small a one, a block: forward_long.h. (Aligned rows of
//                              layer_norm, whose parameters would stay in shared memory: 1 to 11 %
//                              slower on an H200 than forward_sections.h.)
//
// Blocks of the last kind stay for some rows, whose parameters are then in shared memory once:
// beside 2.1 TB/s of rows an H200 reads no more than twice that from the second-level cache. Where
// rows are cut differently, a block takes those that are cut alike, every eighth of 16 bits. Rows
// whose elements lie apart: forward_tiles.h, where neighbours are of different rows, and
// forward_strided.h.
#ifndef POLYOPS_GPU_LAYER_NORM_FORWARD_H_
#define POLYOPS_GPU_LAYER_NORM_FORWARD_H_

#include "moments.h"
#include "parameters.h"

namespace polyops::gpu {
namespace {

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

// Of a section of rows that begin in memory as `src` does.
template <class Norm, class T, class P>
GPU_DEVICE ParametersOf<Norm, T, P> parameters_of(const ForwardCall<Norm, T, P>& call,
                                                  const Section& section, const T* src,
                                                  Words* memory) {
  ParametersOf<Norm, T, P> parameters = {
      {section.of(call.weight)}, memory, call.staged, {section.n, misplaced(src), kPack<T>}};
  if constexpr (Norm::kCentered) parameters.given[1] = section.of(call.bias);
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

// y of a pack.
template <class Norm, class T>
GPU_DEVICE void normalize(const Words& x, const Moments& m,
                          const float (&parameters)[Norm::kParameters][kPack<T>],
                          float (&y)[kPack<T>]) {
  unpack<T>(x, y);
#pragma unroll
  for (int j = 0; j < kPack<T>; ++j) {
    y[j] =
        affine<Norm>(m.normal<Norm>(y[j]), parameters[0][j], parameters[Norm::kParameters - 1][j]);
  }
}

// Of packs first, first + step, ... of which all parameters are in shared memory, and dst lies as
// src does. kAhead: those of a pack are read while the one before it is computed.
template <bool kAhead, class Norm, class T, class P, int kPacks>
GPU_DEVICE void store_packs_quick(const Words (&x)[kPacks], const Moments& m,
                                  const ParametersOf<Norm, T, P>& parameters, T* dst,
                                  const Cut<T>& cut, int first, int step) {
  using Given = ParametersOf<Norm, T, P>;
  const int live = cut.whole - first;
  const Words* from = parameters.memory + first + (cut.shift != 0);
  T* to = dst + cut.of_pack(first);
  constexpr int kBuffers = kAhead ? 2 : 1;
  Words raw[kBuffers][Norm::kParameters][Given::kParts];
  if (kAhead && live > 0) parameters.fetch_raw(from, raw[0]);
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    if (k * step >= live) break;
    if constexpr (!kAhead) parameters.fetch_raw(from, raw[0]);
    from += step;
    if (kAhead && k + 1 < kPacks && (k + 1) * step < live) {
      parameters.fetch_raw(from, raw[(k + 1) % kBuffers]);
    }
    float y[kPack<T>], parameter[Norm::kParameters][kPack<T>];
#pragma unroll
    for (int which = 0; which < Norm::kParameters; ++which) {
      Given::unpack_all(raw[k % kBuffers][which], parameter[which]);
    }
    normalize<Norm, T>(x[k], m, parameter, y);
    store_words(to, pack<T>(y));
    to += step * kPack<T>;
  }
}

// The same wherever parameters and dst are.
template <class Norm, class T, class P, int kPacks>
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
      parameters.load(which, grid, forgotten(pack), parameter[which]);
    }
    normalize<Norm, T>(x[k], m, parameter, y);
    store_pack(cut, dst, cut.fits(dst), at, y);
  }
}

template <class Norm, bool kAhead = false, class T, class P, int kPacks>
GPU_DEVICE void store_chunk(const Words (&x)[kPacks], const Moments& m,
                            const ParametersOf<Norm, T, P>& parameters, T* dst, const Cut<T>& cut,
                            int first, int step) {
  const Grid grid = {cut.n, cut.shift, kPack<T>};
  if (cut.fits(dst) && cut.whole + (cut.shift != 0) <= parameters.here(grid)) {
    store_packs_quick<kAhead, Norm>(x, m, parameters, dst, cut, first, step);
  } else {
    store_packs<Norm>(x, m, parameters, dst, cut, first, step);
  }
}

template <class Norm, class T, class P, int kPacks, int kEnds>
GPU_DEVICE void store_ends(const Part<T, kPacks, kEnds>& x, const Moments& m,
                           const ParametersOf<Norm, T, P>& parameters, T* dst, const Share<T>& of) {
  for_each_end<kEnds>(of.cut, of.lane, of.team, [&](int e, int at) {
    dst[at] = narrow<T>(affine<Norm>(m.normal<Norm>(x.ends[e]), parameters.one(0, at),
                                     parameters.one(Norm::kParameters - 1, at)));
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_FORWARD_H_
