// layer_norm and rms_norm of rows that a part of a wave, or a block, holds in registers as they came:
// all of a row's loads, its moments, all of its stores. Rows of others on the same multiprocessor load
// while these are summed or stored.
//
// Where all begin at 16 aligned bytes and so do weight and bias, these come from the first-level cache, which the
// rows leave first. Elsewhere a block takes rows that are cut alike, every eighth of 16 bits, whose
// parameters are in shared memory once; a block with one row alone cuts them as it reads them.
#ifndef POLYOPS_GPU_LAYER_NORM_FORWARD_ROWS_H_
#define POLYOPS_GPU_LAYER_NORM_FORWARD_ROWS_H_

#include "forward.h"

namespace polyops::gpu {
namespace {

constexpr int kRowPacks = 8;       // of a lane
constexpr int kRowThreads = 512;   // of a block at most
constexpr int kAlignedTeams = 128; // threads of blocks with several rows
constexpr int kRaggedTeams = 256;  // which share parameters

// Which lanes share a row, and which rows a block has.
struct Teams {
  int32_t lanes;
  int32_t lanes_log2;    // 31: the block is one team
  int32_t in_block;
  int32_t classes_log2;  // of rows that are cut alike
  int32_t rounds;        // see Share

  GPU_DEVICE int lane() const { return thread_id() & ((uint32_t{1} << lanes_log2) - 1); }
  GPU_DEVICE uint32_t first_row() const {
    const auto block = static_cast<uint32_t>(block_id());
    const uint32_t of_class = block & ((uint32_t{1} << classes_log2) - 1);
    return ((block >> classes_log2) * static_cast<uint32_t>(in_block) << classes_log2) + of_class;
  }
  GPU_DEVICE uint32_t row() const {
    return first_row() + (static_cast<uint32_t>(thread_id()) >> lanes_log2 << classes_log2);
  }
};

template <class T>
GPU_DEVICE void load_packs_once(const Share<T>& of, const T* row, Part<T, kRowPacks>* x) {
#pragma unroll
  for (int k = 0; k < kRowPacks; ++k) {
    const int at = of.lane + k * of.team;
    if (at < of.cut.whole) x->packs[k] = load_words_once(row + of.cut.of_pack(at));
  }
}

// Of rows and parameters that begin at 16 aligned bytes.
template <class Norm, class T, class P>
GPU_DEVICE void store_aligned(const Words (&x)[kRowPacks], const Moments& m,
                              const ParametersOf<Norm, T, P>& parameters, T* dst,
                              const Share<T>& of) {
#pragma unroll
  for (int k = 0; k < kRowPacks; ++k) {
    const int at = of.lane + k * of.team;
    if (at >= of.cut.whole) break;
    float y[kPack<T>], parameter[Norm::kParameters][kPack<T>];
#pragma unroll
    for (int which = 0; which < Norm::kParameters; ++which) {
      parameters.load_aligned(which, at, parameter[which]);
    }
    normalize<Norm, T>(x[k], m, parameter, y);
    store_words(dst + at * kPack<T>, pack<T>(y));
  }
}

template <bool kAligned, class Norm, class T, class P>
GPU_KERNEL(kRowThreads, 2)
forward_rows(ForwardCall<Norm, T, P> call, Teams teams) {
  GPU_SHARED(float, shared, 2 * kMomentsShared);
  GPU_DYNAMIC_SHARED(Words, memory);
  const auto rows = static_cast<uint32_t>(call.row_count);
  const uint32_t row = teams.row();
  const bool ours = row < rows;  // all lanes come to the sums
  int64_t at[2];
  call.rows.offsets(ours ? row : 0, at);
  const T* const src = call.src + at[0];
  const int n = ours ? call.n : 0;
  const Share<T> of(kAligned ? Cut<T>(n / kPack<T>) : Cut<T>(src, n), teams.lane(), teams.lanes,
                    teams.rounds);
  Part<T, kRowPacks> x;
  load_packs_once(of, src, &x);
  const T* first = src;
  if constexpr (!kAligned) {
    load_ends(of.cut, src, of.lane, of.team, 0.0f, x.ends);
    if (teams.first_row() >= rows) return;
    int64_t first_at[2];
    call.rows.offsets(teams.first_row(), first_at);
    first = call.src + first_at[0];
  }
  const ParametersOf<Norm, T, P> parameters = parameters_of(call, {0, call.n}, first, memory);
  if (!kAligned && call.staged > 0) {
    parameters.stage();
    barrier();
  }
  const Moments m = row_moments<Norm>(
      &x, of, !kAligned, shared, call.inv_n, call.eps,
      [&](float pivot, float(&sums)[2], float* room) {
        return combine<Norm>(pivot, sums, of, room, call.inv_n);
      });
  if (!ours) return;
  if (of.lane == 0) store_moments(call, row, m);
  T* const dst = call.dst + at[1];
  if constexpr (kAligned) {
    store_aligned<Norm>(x.packs, m, parameters, dst, of);
  } else {
    store_chunk<Norm>(x.packs, m, parameters, dst, of.cut, of.lane, of.team);
    store_ends<Norm>(x, m, parameters, dst, of);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_FORWARD_ROWS_H_
