// layer_norm and rms_norm of rows that a part of a wave, or a block, holds in registers as they
// came: all of a row's loads, its moments, all of its stores. Others on the same multiprocessor
// load while these are summed or stored. Rows, weight and bias begin at 16 aligned bytes;
// parameters come from the first-level cache, which rows leave first.
#ifndef POLYOPS_GPU_LAYER_NORM_FORWARD_ROWS_H_
#define POLYOPS_GPU_LAYER_NORM_FORWARD_ROWS_H_

#include "forward.h"

namespace polyops::gpu {
namespace {

constexpr int kRowPacks = 8;  // of a lane
constexpr Fitting kRowFitting = {512, 2};
constexpr int kTeamThreads = 128;  // of blocks with several rows

// Which lanes share a row.
struct Teams {
  int32_t lanes;
  int32_t lanes_log2;  // 31: the block is one team
  int32_t in_block;
  int32_t rounds;  // see Share
  bool few;        // rows, which find the parameters in no cache

  GPU_DEVICE int lane() const { return thread_id() & ((uint32_t{1} << lanes_log2) - 1); }
  GPU_DEVICE uint32_t row() const {
    return static_cast<uint32_t>(block_id()) * static_cast<uint32_t>(in_block) +
           (static_cast<uint32_t>(thread_id()) >> lanes_log2);
  }
};

// What a lane has of its row, all loads before the first use.
template <class T>
GPU_DEVICE void load_packs_once(const Share<T>& of, const T* row, Part<T, kRowPacks>* x) {
  const int live = of.cut.whole - of.lane;
  const T* from = row + of.cut.of_pack(of.lane);
#pragma unroll
  for (int k = 0; k < kRowPacks; ++k) {
    if (k * of.team < live) x->packs[k] = load_words_once(from);
    from += of.team * kPack<T>;
  }
}

// Those that the lane will take.
template <class T, class Parameters>
GPU_DEVICE void prefetch_parameters(const Parameters& parameters, const Share<T>& of) {
#pragma unroll 1
  for (int at = of.lane; at < of.cut.whole; at += of.team) {
    for (const auto* p : parameters.given) {
      if (p != nullptr) prefetch(p + at * kPack<T>);
    }
  }
}

// kGiven: no parameter is absent. kEarly: a pack's parameters are under way while all of the one
// before it is computed, as those that come from the second-level cache need; else, which takes
// fewer registers, while its last half is.
template <bool kGiven, bool kEarly, class Norm, class T, class P>
GPU_DEVICE void store_aligned(const Words (&x)[kRowPacks], const Moments& m,
                              const ParametersOf<Norm, T, P>& parameters, T* dst,
                              const Share<T>& of) {
  using Given = ParametersOf<Norm, T, P>;
  const int live = of.cut.whole - of.lane;
  const int step = of.team * kPack<T>;
  int32_t at = of.lane * kPack<T>;
  Words raw[Norm::kParameters][Given::kParts];
  if (live > 0) parameters.template read_aligned<kGiven>(at, raw);
#pragma unroll
  for (int k = 0; k < kRowPacks; ++k) {
    if (k * of.team >= live) break;
    const bool more = k + 1 < kRowPacks && (k + 1) * of.team < live;
    float y[kPack<T>], parameter[Norm::kParameters][kPack<T>];
#pragma unroll
    for (int which = 0; which < Norm::kParameters; ++which) {
      Given::unpack_all(raw[which], parameter[which]);
    }
    if (kEarly && more) parameters.template read_aligned<kGiven>(at + step, raw);
    normalize<Norm, T>(x[k], m, parameter, y);
    store_words(dst + at, pack<T>(y));
    at += step;
    if (!kEarly && more) parameters.template read_aligned<kGiven>(forgotten(at), raw);
  }
}

template <class Norm, class T, class P>
GPU_KERNEL(kRowFitting.threads, kRowFitting.blocks)
forward_rows(ForwardCall<Norm, T, P> call, Teams teams) {
  GPU_SHARED(float, shared, 2 * kMomentsShared);
  const uint32_t row = teams.row();
  const bool ours = row < static_cast<uint32_t>(call.row_count);  // all lanes come to the sums
  int64_t at[2];
  call.rows.offsets(ours ? row : 0, at);
  const Share<T> of(Cut<T>(ours ? call.n / kPack<T> : 0), teams.lane(), teams.lanes, teams.rounds);
  Part<T, kRowPacks> x;
  load_packs_once(of, call.src + at[0], &x);
  const auto parameters = parameters_of(call, {0, call.n}, call.src, nullptr);
  if (teams.few) prefetch_parameters(parameters, of);
  const Moments m = row_moments<Norm>(&x, of, false, shared, call.inv_n, call.eps,
                                      [&](float pivot, float(&sums)[2], float* room) {
                                        return combine<Norm>(pivot, sums, of, room, call.inv_n);
                                      });
  if (!ours) return;
  if (of.lane == 0) store_moments(call, row, m);
  constexpr bool kEarly = sizeof(T) == sizeof(float) || !Norm::kCentered;  // registers
  if (parameters.all_given()) {
    store_aligned<true, kEarly, Norm>(x.packs, m, parameters, call.dst + at[1], of);
  } else {
    store_aligned<false, false, Norm>(x.packs, m, parameters, call.dst + at[1], of);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_FORWARD_ROWS_H_
