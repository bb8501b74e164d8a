// The gradients of layer_norm and rms_norm for rows whose elements lie next to each other. Bound:
// memory, 3 elements moved per element: a row's packs of grad and src are read once, into shared
// memory, and used twice, for its two sums and for grad_src. Of rows beyond 16384 elements each
// block of a cluster has a section: backward_cluster.h.
//
// Blocks stay for many rows. Each lane owns some columns and sums their grad_weight and grad_bias
// over its rows in registers; the block's sums go to its row of the workspace, which column_sums()
// adds up in order. So results repeat bit for bit without an atomic. layer_norm's take 64 registers
// per lane, which leaves 16 waves to a multiprocessor: too few to hide memory, so the next row's
// copies are under way while this one is computed, 64 KB of them.
//
// A lane's columns are fixed only among rows that are cut alike: a block takes every eighth row or
// so where there are others.
#ifndef POLYOPS_GPU_LAYER_NORM_BACKWARD_H_
#define POLYOPS_GPU_LAYER_NORM_BACKWARD_H_

#include "layout.h"
#include "parameters.h"

namespace polyops::gpu {
namespace {

// Of the longest rows: 128 registers. Shorter ones have blocks that fit better, see
// Norm::kBackward.
constexpr Fitting kBackwardMost = {512, 1};
template <class T>
constexpr int kBackwardPacks = 32 / kPack<T>;

template <class Norm, class T, class P>
struct BackwardCall {
  const T* grad;
  const T* src;
  T* grad_src;  // null: not wanted
  const P* weight;
  Values mean, rstd;
  float* sums;  // [blocks][grad_weight, grad_bias if any][stride]; null: none is wanted
  int64_t stride;
  Walk<3> rows;      // of grad, src, grad_src
  uint32_t step[3];  // bytes from row to row, if all are aligned and that is all there is to it
  bool one_step;
  int32_t row_count, n;
  float inv_n;
  bool ragged;     // some row has ends
  int32_t staged;  // packs of the weight, see Parameters
  int32_t slots;   // see Slots
  Turns turns;
};

// Where a thread's packs of a row arrive: kBackwardPacks, then those that its elements at the ends
// lie in; of grad and src in turn. Nobody else looks there. Those of kHalfWave threads lie side by
// side, so that places of a thread in a stage are a constant apart.
template <class T>
struct Slots {
  Words* mine;
  int of_stage;  // words

  GPU_DEVICE Slots(Words* memory, int per_tensor, int stages)
      : of_stage(2 * per_tensor * kHalfWave) {
    mine = memory + thread_id() / kHalfWave * (stages * of_stage) + thread_id() % kHalfWave;
  }
  // Of a thread.
  GPU_DEVICE int words(int stages) const { return stages * of_stage / kHalfWave; }
  GPU_DEVICE Words* place(int stage, int tensor, int slot) const {
    return mine + stage * of_stage + (slot * 2 + tensor) * kHalfWave;
  }
};

// A branch per pack: predicates took what leads to its addresses into each of them. A src that is
// cut otherwise than grad goes by elements, as does such a grad.
template <bool kRagged, class T>
GPU_DEVICE void copy_rows(const Cut<T>& cut, const T* (&rows)[2], int lane, int team,
                          const Slots<T>& slots, int stage) {
  if (!kRagged || (cut.fits(rows[0]) && cut.fits(rows[1]))) {
    const int step = team * kPack<T>;
    const T* grad = rows[0] + cut.of_pack(lane);
    const T* src = rows[1] + cut.of_pack(lane);
#pragma unroll
    for (int k = 0; k < kBackwardPacks<T>; ++k) {
      if (lane + k * team >= cut.whole) break;
      copy_16_later(slots.place(stage, 0, k), grad);
      copy_16_later(slots.place(stage, 1, k), src);
      grad += step;
      src += step;
    }
  } else {
#pragma unroll 1
    for (int i = 0; i < 2; ++i) {
      copy_misfit<kBackwardPacks<T>>(cut, i == 0 ? rows[0] : rows[1], lane, team,
                                     [&](int k) { return slots.place(stage, i, k); });
    }
  }
  if constexpr (kRagged) {
    for_each_end<kMostEnds<T>>(cut, lane, team, [&](int e, int at) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        copy_16_later(slots.place(stage, i, kBackwardPacks<T> + e),
                      rows[i] + at - misplaced(rows[i] + at));
      }
    });
  }
}

// Of an end's 16 bytes the element at that place of them.
template <class T>
GPU_DEVICE float pick(const Words* words, int at) {
  T x;
  __builtin_memcpy(&x, reinterpret_cast<const T*>(words) + (at & (kPack<T> - 1)), sizeof(T));
  return widen(x);
}

// grad_weight, grad_bias, as many as there are parameters.
template <class Norm, class T>
struct ColumnSums {
  float packs[Norm::kParameters][kBackwardPacks<T>][kPack<T>];
  float ends[Norm::kParameters][kMostEnds<T>];
};

// In one instruction; by way of an integer its loads and stores would be generic ones.
template <class T>
GPU_DEVICE T* in_row(T* first, uint32_t row, uint32_t step) {
  char* const bytes = const_cast<char*>(reinterpret_cast<const char*>(first));
  return reinterpret_cast<T*>(bytes + uint64_t{row} * step);
}

// A team's row, or none.
template <class Norm, class T, class P>
struct BackwardRow {
  int grad_shift, src_shift;  // as misplaced()
  T* out;
  uint32_t mean, rstd;  // as they are in memory: to widen them is to wait for them

  // What follows its first `begin` elements; in[0] and in[1] become where those of grad and src
  // are.
  template <bool kRagged>
  GPU_DEVICE void place(const BackwardCall<Norm, T, P>& call, int32_t begin, uint32_t row,
                        const T* (&in)[2]) {
    if (!kRagged && call.one_step) {
      in[0] = in_row(call.grad + begin, row, call.step[0]);
      in[1] = in_row(call.src + begin, row, call.step[1]);
      out = in_row(call.grad_src + begin, row, call.step[2]);
    } else {
      int64_t at[3];
      call.rows.offsets(row, at);
      in[0] = call.grad + begin + at[0];
      in[1] = call.src + begin + at[1];
      out = call.grad_src + begin + at[2];
    }
    grad_shift = misplaced(in[0]);
    src_shift = misplaced(in[1]);
  }
  template <bool kRagged>
  GPU_DEVICE void find(const BackwardCall<Norm, T, P>& call, int32_t begin, uint32_t row,
                       const T* (&in)[2]) {
    place<kRagged>(call, begin, row, in);
    if constexpr (Norm::kCentered) mean = load_bits<T>(call.mean, row);
    rstd = load_bits<T>(call.rstd, row);
  }
  // Begins its copies, too, if it is before the end.
  template <bool kRagged>
  GPU_DEVICE void open(const BackwardCall<Norm, T, P>& call, int32_t begin, uint32_t row,
                       uint32_t end, const Cut<T>& cut, int lane, int team, const Slots<T>& slots,
                       int stage) {
    if (row >= end) return;
    const T* in[2];
    find<kRagged>(call, begin, row, in);
    copy_rows<kRagged>(cut, in, lane, team, slots, stage);
  }
};

// x_hat = (x - mean) rstd as `rest` times what near() makes of x in one instruction: rstd without
// its fraction, a power of two, is taken into the difference, which is rounded once, and whose
// products are in the range of those of x_hat. Where that takes the mean out of range, only
// elements equal to it can be meant.
template <class Norm>
struct Normal {
  float rstd, scale, shift, rest;

  template <class Head>
  GPU_DEVICE explicit Normal(const Head& of)
      : rstd(of.rstd), scale(of.scale), shift(of.shift), rest(of.rest) {}
  template <class T, class P>
  GPU_DEVICE Normal(const BackwardCall<Norm, T, P>& call, const BackwardRow<Norm, T, P>& row)
      : rstd(value_of_bits<T>(call.rstd, row.rstd)), scale(rstd), shift(0), rest(1) {
    if constexpr (!Norm::kCentered) return;
    const float mean = value_of_bits<T>(call.mean, row.mean);
    constexpr uint32_t kLeast = 1u << 23, kMost = 253u << 23, kOne = 127u << 23;
    uint32_t power = float_bits(rstd) & 0x7f800000u;
    power = power < kLeast ? kLeast : power > kMost ? kMost : power;
    if (!(fabsf(mean * float_of_bits(power)) < __builtin_huge_valf())) power = kOne;
    scale = float_of_bits(power);
    shift = -mean * scale;
    rest = rstd * float_of_bits(2 * kOne - power);
  }
  GPU_DEVICE float near(float x) const {
    return Norm::kCentered ? fmaf(x, scale, shift) : x * scale;
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_BACKWARD_H_
