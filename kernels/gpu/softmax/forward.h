// softmax and log_softmax of rows next to each other. A lane holds packs of the row as they are in
// memory, so that 64 elements of 16 bits take 32 registers, and takes exp twice: at 4275 GB/s an
// H200's multiprocessor sees 4.8 elements of 16 bits per clock, 60 % of what its 16 exp per clock
// allow.
//   up to 256 packs (4 KB)   a part of a wave per row, no barrier
//   beyond                   a block per row, one barrier; what is more than 8 packs per thread is
//                            read again, last first, from L2
// Lost: keeping that in shared memory instead, which takes the place of a second block's loads
// (float32 rows of 50257: 84 % of copy without, 76 % with; its gradient in bfloat16: 94 and 77 %).
#ifndef POLYOPS_GPU_SOFTMAX_FORWARD_H_
#define POLYOPS_GPU_SOFTMAX_FORWARD_H_

#include "layout.h"
#include "max_sum.h"
#include "op.h"
#include "row.h"

namespace polyops::gpu {
namespace {

template <class T, class U>
struct ForwardRows {
  const T* src;
  U* dst;
  Walk<2> walk;
  uint32_t rows;
  int n;
  bool ragged;  // some row has ends
};

// Adds packs to what a lane has; of them those k with k * step < live exist in some lane.
template <class T, int kPacks>
GPU_DEVICE void absorb(const Words (&words)[kPacks], int step, int live, MaxSum* sum) {
  float top = kMinusInf;
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    if (k * step >= live) break;
    float x[kPack<T>];
    unpack<T>(words[k], x);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) top = fmaxf(top, x[j]);
  }
  sum->raise_to(top);
  const float shift = shift_of(sum->max);
  float parts[2] = {};
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    if (k * step >= live) break;
    float x[kPack<T>];
    unpack<T>(words[k], x);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) parts[j % 2] += exp_from(x[j], shift);
  }
  sum->sum += parts[0] + parts[1];
}

template <int kEnds>
GPU_DEVICE void absorb_ends(const float (&x)[kEnds], MaxSum* sum) {
#pragma unroll
  for (int e = 0; e < kEnds; ++e) {
    sum->raise_to(x[e]);
    sum->sum += exp_from(x[e], shift_of(sum->max));
  }
}

template <class Normalize, class T, class U, int kPacks>
GPU_DEVICE void store_normalized(const Normalize& normalize, const Cut<T>& cut, U* row, int first,
                                 int step, int live, const Words (&words)[kPacks]) {
  const bool fits = cut.fits(row);
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    if (k * step >= live) break;
    float x[kPack<T>];
    unpack<T>(words[k], x);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) x[j] = normalize(x[j]);
    store_pack(cut, row, fits, first + k * step, x);
  }
}

template <class Normalize, class T, class U, int kEnds>
GPU_DEVICE void store_normalized_ends(const Normalize& normalize, const Cut<T>& cut, U* row,
                                      int lane, int lanes, float (&x)[kEnds]) {
#pragma unroll
  for (int e = 0; e < kEnds; ++e) x[e] = normalize(x[e]);
  store_ends(cut, row, lane, lanes, x);
}

constexpr int kTeamThreads = 128;

// 2^lanes_log2 lanes per row, kPacks packs in each.
template <class Op, class T, class U, int kPacks, int kEnds>
GPU_KERNEL(kTeamThreads)
softmax_team(ForwardRows<T, U> p, int lanes_log2) {
  await_earlier();
  const int lanes = 1 << lanes_log2, lane = thread_id() & (lanes - 1);
  const uint32_t row = static_cast<uint32_t>(block_id()) * (block_threads() >> lanes_log2) +
                       (thread_id() >> lanes_log2);
  int64_t at[2];
  p.walk.offsets(row, at);
  const T* src = p.src + at[0];
  U* dst = p.dst + at[1];
  // A team without a row comes along for the shuffles.
  const Cut<T> cut(src, row < p.rows ? p.n : 0);
  const int live = p.n / kPack<T>;
  Words words[kPacks];
  float ends[kEnds];
  load_row(cut, src, lane, lanes, kMinusInf, words);
  if (p.ragged) load_ends(cut, src, lane, lanes, kMinusInf, ends);
  MaxSum sum;
  absorb<T>(words, lanes, live, &sum);
  if (p.ragged) absorb_ends(ends, &sum);
  const typename Op::template Normalize<U> normalize(merge_lanes(sum, lanes));
  store_normalized(normalize, cut, dst, lane, lanes, live, words);
  if (p.ragged) store_normalized_ends(normalize, cut, dst, lane, lanes, ends);
}

constexpr int kRowPacks = 8;

// 1024 threads leave 64 registers to each.
template <class Op, class T, class U>
GPU_KERNEL(1024)
softmax_block(ForwardRows<T, U> p) {
  await_earlier();
  GPU_SHARED(float, shared, 2 * kMostWaves);
  const int lane = thread_id(), lanes = block_threads(), chunk = kRowPacks * lanes;
  int64_t at[2];
  p.walk.offsets(static_cast<uint32_t>(block_id()), at);
  const T* src = p.src + at[0];
  U* dst = p.dst + at[1];
  const Cut<T> cut(src, p.n);
  const int packs = p.n / kPack<T>;
  Words words[kRowPacks];
  float ends[1] = {kMinusInf};
  MaxSum sum;
  int begin = 0;
  for (;; begin += chunk) {
    load_row(cut, src, begin + lane, lanes, kMinusInf, words);
    if (begin == 0) load_ends(cut, src, lane, lanes, kMinusInf, ends);
    absorb<T>(words, lanes, packs - begin, &sum);
    if (begin + chunk >= packs) break;
  }
  absorb_ends(ends, &sum);
  const typename Op::template Normalize<U> normalize(merge_block(sum, shared));
  for (;;) {
    store_normalized(normalize, cut, dst, begin + lane, lanes, packs - begin, words);
    begin -= chunk;
    if (begin < 0) break;
    load_row(cut, src, begin + lane, lanes, kMinusInf, words);
  }
  store_normalized_ends(normalize, cut, dst, lane, lanes, ends);
}

template <class Op, int kPacks, int kLanes, class T, class U>
int launch_team(const ForwardRows<T, U>& p, int lanes_log2, const polyops_context* ctx) {
  const int64_t rows_per_block = kTeamThreads >> lanes_log2;
  const int64_t blocks = (p.rows + rows_per_block - 1) / rows_per_block;
  return gpu::launch(softmax_team<Op, T, U, kPacks, ends_of<T>(kLanes)>, {blocks, kTeamThreads},
                     ctx, p, lanes_log2);
}

// Threads for rows of that many packs.
inline int block_for(int64_t packs, int packs_per_thread) {
  const int64_t threads = (packs + packs_per_thread * 64 - 1) / (packs_per_thread * 64) * 64;
  return static_cast<int>(threads < 1024 ? threads : 1024);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_SOFTMAX_FORWARD_H_
