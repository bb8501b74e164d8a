// The losses, or their sum. Bound: memory, each score read once. Of a row the largest score and the
// sum of exponentials are gathered together, in packs of 16 bytes; its target's score is on the way
// meanwhile.
//   up to 256 packs   a part of a wave per row, no barrier between the loads and the loss
//   beyond            a block per row, in turns of kLossPacks packs per thread: nothing of the row
//                     has to be kept, so that blocks are small and many, and load while others
//                     meet. Few rows: a cluster of blocks for each.
// Each block leaves its rows' losses and weights added up in scratch memory; a second kernel adds
// these in order.
#ifndef POLYOPS_GPU_CROSS_ENTROPY_FORWARD_H_
#define POLYOPS_GPU_CROSS_ENTROPY_FORWARD_H_

#include "gpu.h"
#include "load.h"
#include "polyops/ops/cross_entropy.h"
#include "row_sums.h"

namespace polyops::gpu {
namespace {

template <class T>
struct CrossEntropyCall {
  const T* src;
  int64_t src_step;
  Targets targets;
  ClassWeights<T> weights;
  float keep, spread;  // 1 - label_smoothing; label_smoothing / classes
  T* dst;              // with _NONE
  int64_t dst_step;
  float* parts;  // with _MEAN and _SUM: losses and weights of each block
  float* stats;  // null: not wanted
  uint32_t rows;
  int n;
  bool ragged;  // some row has ends
};

// What the loss takes of the row beside its sums, by one lane. Its target is loaded before them.
struct Labelled {
  bool counts = false;
  float x = 0, weight = 0;
};

template <class T>
GPU_DEVICE Labelled label_of(const CrossEntropyCall<T>& c, int64_t target, const T* src) {
  Labelled label;
  label.counts = c.targets.counts(target);
  if (!label.counts) return label;
  label.x = widen(src[target]);
  label.weight = c.weights.at(target);
  return label;
}

// By one lane: writes what there is to write of the row and returns its loss.
template <class T, Smooth kSmooth>
GPU_DEVICE float finish_row(const CrossEntropyCall<T>& c, uint32_t row, const Labelled& label,
                            const RowSums<kSmooth>& sums) {
  const float log_sum = log_close(sums.exps.sum);
  float loss = 0, factor = 0;
  if (label.counts) {
    factor = c.keep * label.weight;
    // In two steps, for both may be large where the loss is not.
    loss = factor * ((sums.exps.max - label.x) + log_sum);
    if constexpr (kSmooth != Smooth::kNone) {
      const float all = kSmooth == Smooth::kEqual ? static_cast<float>(c.n) : sums.weight;
      loss = fmaf(c.spread, fmaf(all, log_sum, sums.below), loss);
      factor = fmaf(c.spread, all, factor);
    }
  }
  if (c.stats != nullptr) {
    float* stats = c.stats + int64_t{row} * POLYOPS_CROSS_ENTROPY_STATS;
    stats[0] = sums.exps.max;
    stats[1] = log_sum;
    stats[2] = factor;
  }
  if (c.dst != nullptr) c.dst[row * c.dst_step] = narrow<T>(loss);
  return loss;
}

// Losses and weights of a block's rows.
template <class T>
GPU_DEVICE void leave_part(const CrossEntropyCall<T>& c, int64_t block, const float (&part)[2]) {
  c.parts[2 * block] = part[0];
  c.parts[2 * block + 1] = part[1];
}

constexpr int kLossTeamThreads = 128;
constexpr int kLossPacks = 4;

// 2^lanes_log2 lanes per row, kPacks packs in each.
template <class T, Smooth kSmooth, int kPacks>
GPU_KERNEL(kLossTeamThreads)
cross_entropy_team(const CrossEntropyCall<T> c, int lanes_log2) {
  await_earlier();
  GPU_SHARED(float, shared, 2 * kMostWaves);
  if (c.parts != nullptr) let_later_begin();
  const int lanes = 1 << lanes_log2, lane = thread_id() & (lanes - 1);
  const uint32_t row = static_cast<uint32_t>(block_id()) * (block_threads() >> lanes_log2) +
                       (thread_id() >> lanes_log2);
  const bool inside = row < c.rows;
  const T* src = c.src + (inside ? row * c.src_step : 0);
  // A team without a row comes along for the shuffles.
  const Cut<T> cut(src, inside ? c.n : 0);
  Words words[kPacks];
  load_cut(cut, src, lane, lanes, kMinusInf, words);
  Labelled label;
  if (inside && lane == 0) label = label_of(c, c.targets.at(row), src);
  RowSums<kSmooth> sums;
  absorb_packs<T, false>(words, cut, lane, lanes, c.weights, &sums);
  if (c.ragged) absorb_row_ends(cut, src, lane, lanes, c.weights, &sums);
  merge_row_lanes<true>(&sums, lanes);
  float part[2] = {0, 0};
  if (inside && lane == 0) {
    part[0] = finish_row(c, row, label, sums);
    part[1] = label.weight;
  }
  if (c.parts == nullptr) return;
  sum_team(part, block_threads(), shared);
  if (thread_id() == 0) leave_part(c, block_id(), part);
}

constexpr int kLossBlockThreads = 256;

template <class T, Smooth kSmooth>
GPU_KERNEL(kLossBlockThreads, 4)
cross_entropy_block(const CrossEntropyCall<T> c) {
  await_earlier();
  GPU_SHARED(float, shared, kRowSums* kMostWaves);
  GPU_SHARED(float, slots, kRowSums* kMostCluster);
  if (c.parts != nullptr) let_later_begin();
  const int blocks = cluster_blocks(), rank = cluster_rank();
  if (blocks > 1) cluster_arrive();
  const int lane = rank * block_threads() + thread_id(), lanes = blocks * block_threads();
  const uint32_t row = static_cast<uint32_t>(block_id()) / static_cast<uint32_t>(blocks);
  const T* src = c.src + row * c.src_step;
  const Cut<T> cut(src, c.n);
  int64_t target = 0;  // waited for when the row has been read
  if (lane == 0) target = c.targets.at(row);
  RowSums<kSmooth> sums;
  Words words[kLossPacks];
  int pack = lane;
  const T* next = src + cut.of_pack(lane);
#pragma unroll 1
  for (; pack - lane + kLossPacks * lanes <= cut.whole; pack += kLossPacks * lanes) {
#pragma unroll
    for (int k = 0; k < kLossPacks; ++k) words[k] = load_words(next + k * lanes * kPack<T>);
    next += kLossPacks * lanes * kPack<T>;
    absorb_packs<T, true>(words, cut, pack, lanes, c.weights, &sums);
  }
  if (pack - lane < cut.whole) {
    load_cut(cut, src, pack, lanes, kMinusInf, words);
    absorb_packs<T, false>(words, cut, pack, lanes, c.weights, &sums);
  }
  if (c.ragged) absorb_row_ends(cut, src, lane, lanes, c.weights, &sums);
  Labelled label;
  if (lane == 0) label = label_of(c, target, src);
  if (blocks > 1) cluster_wait();
  merge_row_block(&sums, shared);
  if (blocks > 1) merge_row_cluster(&sums, slots);
  if (lane != 0) return;
  const float part[2] = {finish_row(c, row, label, sums), label.weight};
  if (c.parts != nullptr) leave_part(c, row, part);
}

constexpr int kLossEndThreads = 1024;
constexpr int kLossEndPacks = 8;  // two parts each, under way at a time

inline LaunchShape end_shape(int64_t parts) {
  const int64_t threads = (parts / 2 / 64 + 1) * 64;
  return {1, threads < kLossEndThreads ? static_cast<int>(threads) : kLossEndThreads};
}

// Bound: latency. total: null if it is not wanted.
template <class T>
GPU_KERNEL(kLossEndThreads)
cross_entropy_end(const float* parts, int count, T* dst, float* total, bool mean) {
  await_earlier();
  GPU_SHARED(float, shared, 2 * kMostWaves);
  float sums[2] = {0, 0};
  const int packs = count / 2, threads = block_threads();
#pragma unroll 1
  for (int first = thread_id(); first < packs; first += kLossEndPacks * threads) {
    Words words[kLossEndPacks] = {};
#pragma unroll
    for (int k = 0; k < kLossEndPacks; ++k) {
      const int pack = first + k * threads;
      if (pack < packs) words[k] = load_words(parts + int64_t{pack} * kPack<float>);
    }
#pragma unroll
    for (int k = 0; k < kLossEndPacks; ++k) {
      sums[0] += float_of_bits(words[k].w[0]) + float_of_bits(words[k].w[2]);
      sums[1] += float_of_bits(words[k].w[1]) + float_of_bits(words[k].w[3]);
    }
  }
  if (count % 2 != 0 && thread_id() == 0) {
    sums[0] += parts[2 * int64_t{count} - 2];
    sums[1] += parts[2 * int64_t{count} - 1];
  }
  sum_team(sums, block_threads(), shared);
  if (thread_id() != 0) return;
  *dst = narrow<T>(mean ? sums[0] / sums[1] : sums[0]);
  if (total != nullptr) *total = sums[1];
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CROSS_ENTROPY_FORWARD_H_
