// layer_norm and rms_norm of rows in registers, as forward_rows.h, where some row or parameter
// begins between 16 aligned bytes: rows are cut where memory is, and what is left at their ends
// goes by elements. Packs of weight and bias would take two loads and a shift each, so many rows
// find copies of these in the workspace, one for each way in which rows are cut.
#ifndef POLYOPS_GPU_LAYER_NORM_FORWARD_RAGGED_H_
#define POLYOPS_GPU_LAYER_NORM_FORWARD_RAGGED_H_

#include "forward_rows.h"

namespace polyops::gpu {
namespace {

// Threads of a row at most, and so many such blocks: with 80 registers, as with 64 many spill.
constexpr int kRaggedRow = 256;
constexpr int kRaggedBlocks = 3;
constexpr int kCutThreads = 128;

// weight and bias, or weight alone, of rows that begin `shift` elements after 16 aligned bytes:
// from such a row's first pack on, at 16 aligned bytes; what is absent, too. Read as Parameters
// are.
template <class T, class P, int kCount>
struct CutParameters {
  static constexpr int kParts = kPack<T> / kPack<P>;
  static constexpr int kCopies = kPack<T> * kCount;
  using Raw = Words[kCount][kParts];

  P* copies;       // [kPack<T>][kCount][stride]; null: there are none
  int32_t stride;  // whole packs

  GPU_DEVICE P* of(int shift, int which) const {
    return copies + (shift * kCount + which) * stride;
  }
  GPU_DEVICE void make(const P* weight, const P* bias, int32_t n) const {
    const int32_t packs = stride / kPack<P>;
    const int32_t index = static_cast<int32_t>(block_id()) * kCutThreads + thread_id();
    const int32_t copy = index / packs, first = index % packs * kPack<P>;
    const int shift = copy / kCount, which = copy % kCount;
    if (shift >= kPack<T>) return;
    const P* const from = which == 0 ? weight : bias;
    const int32_t at = first + (-shift & (kPack<T> - 1));
    float x[kPack<P>];
#pragma unroll
    for (int j = 0; j < kPack<P>; ++j) {
      x[j] = which == 0 ? 1.0f : -0.0f;
      if (from != nullptr && at + j < n) x[j] = widen(from[at + j]);
    }
    store_words(of(shift, which) + first, pack<P>(x));
  }
};

// Of a row.
template <class T, class P, int kCount>
struct CutAlike {
  using Raw = typename CutParameters<T, P, kCount>::Raw;

  const P* first;
  int32_t stride;

  template <bool kGiven>
  GPU_DEVICE void read_pack(int32_t at, Raw& words) const {
#pragma unroll
    for (int which = 0; which < kCount; ++which) {
#pragma unroll
      for (int i = 0; i < kPack<T> / kPack<P>; ++i) {
        words[which][i] = load_words(first + which * stride + at + i * kPack<P>);
      }
    }
  }
  GPU_DEVICE void unpack_pack(int which, const Raw& words, float (&x)[kPack<T>]) const {
    Parameters<T, P, kCount>::unpack_all(words[which], x);
  }
};

template <class T, class P, int kCount>
GPU_KERNEL(kCutThreads)
cut_parameters(const P* weight, const P* bias, int32_t n, CutParameters<T, P, kCount> cut) {
  await_earlier();
  let_later_begin();
  cut.make(weight, bias, n);
}

// From memory again, for few rows, or results that are cut otherwise.
template <class Norm, class T, class P>
GPU_DEVICE void store_anywhere(const Share<T>& of, const T* src, const Moments& m,
                               const ParametersOf<Norm, T, P>& parameters, T* dst) {
  const Grid grid = {of.cut.n, of.cut.shift, kPack<T>};
  const bool fits = of.cut.fits(dst);
#pragma unroll 1
  for (int at = of.lane; at < of.cut.whole; at += of.team) {
    float y[kPack<T>], parameter[Norm::kParameters][kPack<T>];
#pragma unroll
    for (int which = 0; which < Norm::kParameters; ++which) {
      parameters.load(which, grid, at + (of.cut.shift != 0), parameter[which]);
    }
    unpack<T>(load_words(src + of.cut.of_pack(at)), y);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) {
      y[j] = affine<Norm>(m.normal<Norm>(y[j] * m.scale), parameter[0][j],
                          parameter[Norm::kParameters - 1][j]);
    }
    store_pack(of.cut, dst, fits, at, y);
  }
}

template <class Norm, class T, class P>
GPU_KERNEL(kRaggedRow, kRaggedBlocks)
forward_ragged(ForwardCall<Norm, T, P> call, Teams teams,
               CutParameters<T, P, Norm::kParameters> cut) {
  await_earlier();
  GPU_SHARED(float, shared, 2 * kMomentsShared);
  const uint32_t row = teams.row();
  const bool ours = row < static_cast<uint32_t>(call.row_count);  // all lanes come to the sums
  int64_t at[2];
  call.rows.offsets(ours ? row : 0, at);
  const T* const src = call.src + at[0];
  T* const dst = call.dst + at[1];
  const Share<T> of(ours ? Cut<T>(src, call.n) : Cut<T>(0), teams.lane(), teams.lanes,
                    teams.rounds);
  Part<T, kRowPacks> x;
  load_packs<false>(of, src, &x);
  T ends[kMostEnds<T>] = {};  // as they are in memory: to widen them is to wait for them
  for_each_end<kMostEnds<T>>(of.cut, of.lane, of.team, [&](int e, int at) { ends[e] = src[at]; });
  const ParametersOf<Norm, T, P> parameters = parameters_of(call, {0, call.n}, src, nullptr);
  if (teams.few) prefetch_parameters(parameters, of);
#pragma unroll
  for (int e = 0; e < kMostEnds<T>; ++e) x.ends[e] = widen(ends[e]);
  const Moments m = row_moments<Norm>(&x, of, true, shared, call.inv_n, call.eps,
                                      [&](float pivot, float(&sums)[2], float* room) {
                                        return combine<Norm>(pivot, sums, of, room, call.inv_n);
                                      });
  if (!ours) return;
  if (of.lane == 0) store_moments(call, row, m);
  if (cut.copies != nullptr && of.cut.fits(dst)) {
    using Alike = CutAlike<T, P, Norm::kParameters>;
    PackParameters<false, Alike> of_packs;
    store_given<true, Norm>(x.packs, m, Alike{cut.of(of.cut.shift, 0), cut.stride},
                            dst + of.cut.head, of, &of_packs);
  } else {
    store_anywhere<Norm>(of, src, m, parameters, dst);
  }
  store_ends<Norm>(x, m, parameters, dst, of);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_FORWARD_RAGGED_H_
