// layer_norm and rms_norm of rows that a part of a wave, or a block, holds in registers as they
// came: all of a row's loads, its moments, all of its stores. Others on the same multiprocessor
// load while these are summed or stored. Rows, weight and bias begin at 16 aligned bytes;
// parameters come from the first-level cache. Lost: rows that keep out of that, L1::no_allocate (1
// to 6 % slower on an H200).
#ifndef POLYOPS_GPU_LAYER_NORM_FORWARD_ROWS_H_
#define POLYOPS_GPU_LAYER_NORM_FORWARD_ROWS_H_

#include "forward.h"

namespace polyops::gpu {
namespace {

constexpr int kRowPacks = 8;  // of a lane
// Of rows of up to kRowThreads lanes of so many packs. rms_norm, which has a third less to do per
// pack, gains up to 4 % from half as many in more lanes, of which layer_norm of 16 bits loses up
// to 14.
constexpr int kRowThreads = 512;
template <class Norm>
inline constexpr int kShortPacks = Norm::kParameters == 1 ? kRowPacks / 2 : kRowPacks;
// On a multiprocessor.
constexpr int row_blocks(int packs) { return packs == kRowPacks ? 2 : 3; }
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
template <bool kOnce, class T, int kPacks, int kEnds>
GPU_DEVICE void load_packs(const Share<T>& of, const T* row, Part<T, kPacks, kEnds>* x) {
  const int live = of.cut.whole - of.lane;
  const T* from = row + of.cut.of_pack(of.lane);
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    if (k * of.team < live) x->packs[k] = kOnce ? load_words_once(from) : load_words(from);
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

// The parameters of a lane's packs. kAhead: those of the first are under way while the moments are
// summed, those of each other while all of the one before it is computed, as those that come from
// the second-level cache need; else, which takes fewer registers, while that is stored.
// Given: Parameters or what else reads as they do.
template <bool kAhead, class Given>
struct PackParameters {
  static constexpr int kBuffers = kAhead ? 2 : 1;

  typename Given::Raw raw[kBuffers];

  template <bool kGiven>
  GPU_DEVICE void read(const Given& from, int k, int32_t at) {
    from.template read_pack<kGiven>(at, raw[k % kBuffers]);
  }
  // Before the moments.
  template <class T>
  GPU_DEVICE void open(const Given& from, const Share<T>& of) {
    if (!kAhead || of.lane >= of.cut.whole) return;
    if (from.all_given()) {
      read<true>(from, 0, of.lane * kPack<T>);
    } else {
      read<false>(from, 0, of.lane * kPack<T>);
    }
  }
  template <int kCount, int kElements>
  GPU_DEVICE void take(const Given& from, int k, float (&x)[kCount][kElements]) const {
#pragma unroll
    for (int which = 0; which < kCount; ++which) {
      from.unpack_pack(which, raw[k % kBuffers], x[which]);
    }
  }
};

// kGiven: no parameter is absent.
template <bool kGiven, class Norm, class T, bool kAhead, class Given, int kPacks>
GPU_DEVICE void store_given(const Words (&x)[kPacks], const Moments& m, const Given& parameters,
                            T* dst, const Share<T>& of, PackParameters<kAhead, Given>* ours) {
  const int live = of.cut.whole - of.lane;
  const int step = of.team * kPack<T>;
  int32_t at = of.lane * kPack<T>;
  if (!kAhead && live > 0) ours->template read<kGiven>(parameters, 0, at);
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    if (k * of.team >= live) break;
    const bool more = k + 1 < kPacks && (k + 1) * of.team < live;
    if (kAhead && more) ours->template read<kGiven>(parameters, k + 1, at + step);
    float y[kPack<T>], parameter[Norm::kParameters][kPack<T>];
    ours->take(parameters, k, parameter);
    normalize<Norm, T>(x[k], m, parameter, y);
    store_words(dst + at, pack<T>(y));
    at += step;
    if (!kAhead && more) ours->template read<kGiven>(parameters, k + 1, forgotten(at));
  }
}

// dst: of the first pack.
template <class Norm, bool kAhead, class T, class Given, int kPacks>
GPU_DEVICE void store_row(const Words (&x)[kPacks], const Moments& m, const Given& parameters,
                          T* dst, const Share<T>& of, PackParameters<kAhead, Given>* ours) {
  if (parameters.all_given()) {
    store_given<true, Norm>(x, m, parameters, dst, of, ours);
  } else {
    store_given<false, Norm>(x, m, parameters, dst, of, ours);
  }
}

// kOnce: rows leave the caches first.
template <int kPacks, bool kOnce, class Norm, class T, class P>
GPU_KERNEL(kRowThreads, row_blocks(kPacks))
forward_rows(ForwardCall<Norm, T, P> call, Teams teams) {
  await_earlier();
  GPU_SHARED(float, shared, 2 * kMomentsShared);
  const uint32_t row = teams.row();
  const bool ours = row < static_cast<uint32_t>(call.row_count);  // all lanes come to the sums
  int64_t at[2];
  call.rows.offsets(ours ? row : 0, at);
  const Share<T> of(Cut<T>(ours ? call.n / kPack<T> : 0), teams.lane(), teams.lanes, teams.rounds);
  Part<T, kPacks> x;
  load_packs<kOnce>(of, call.src + at[0], &x);
  const auto parameters = parameters_of(call, {0, call.n}, call.src, nullptr);
  if (teams.few) prefetch_parameters(parameters, of);
  const Moments m = row_moments<Norm>(&x, of, false, shared, call.inv_n, call.eps,
                                      [&](float pivot, float(&sums)[2], float* room) {
                                        return combine<Norm>(pivot, sums, of, room, call.inv_n);
                                      });
  if (!ours) return;
  if (of.lane == 0) store_moments(call, row, m);
  PackParameters<false, ParametersOf<Norm, T, P>> of_packs;
  store_row<Norm>(x.packs, m, parameters, call.dst + at[1], of, &of_packs);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_FORWARD_ROWS_H_
