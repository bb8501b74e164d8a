// The first of the most extreme of neighbours: chunks and teams as those of sums (rows.h).
#ifndef POLYOPS_GPU_REDUCTION_EXTREME_ROWS_H_
#define POLYOPS_GPU_REDUCTION_EXTREME_ROWS_H_

#include "extreme.h"
#include "gpu.h"
#include "layout.h"
#include "row.h"
#include "rows.h"

namespace polyops::gpu {
namespace {

template <class T>
struct ExtremeRowsCall {
  Walk<2> kept;  // dst, src
  uint32_t slices;
  RowParts rows;  // of one run; a chunk is one part
  ExtremeResult<T> to;
  Key* keys;  // null: results
};

// Of a lane's packs the first that was the best so far.
template <class Op, class T>
struct BestPack {
  float rank = -__builtin_huge_valf();
  int32_t at;

  GPU_DEVICE explicit BestPack(int32_t first) : at(first) {}
  GPU_DEVICE void see(const Words& words, int32_t pack) {
    const float x = Op::rank(fold_pack<Op, T>(words));
    const bool better = beats(x, rank);
    rank = better ? x : rank;
    at = better ? pack : at;
  }
};

// Of every `lanes`-th pack; at least one is there.
template <class Op, class T>
GPU_DEVICE Key best_of_packs(const T* packs, const Cut<T>& cut, int lane, int lanes) {
  BestPack<Op, T> best(lane);
  int32_t at = lane;
  for (; at + (kRowPacks - 1) * lanes < cut.whole; at += kRowPacks * lanes) {
    Words words[kRowPacks];
#pragma unroll
    for (int k = 0; k < kRowPacks; ++k) words[k] = load_words(packs + (at + k * lanes) * kPack<T>);
#pragma unroll
    for (int k = 0; k < kRowPacks; ++k) best.see(words[k], at + k * lanes);
  }
  if (at < cut.whole) {
    Words words[kRowPacks - 1];
#pragma unroll
    for (int k = 0; k < kRowPacks - 1; ++k) {
      if (at + k * lanes < cut.whole) words[k] = load_words(packs + (at + k * lanes) * kPack<T>);
    }
#pragma unroll
    for (int k = 0; k < kRowPacks - 1; ++k) {
      if (at + k * lanes >= cut.whole) break;
      best.see(words[k], at + k * lanes);
    }
  }
  return key_of(best.rank, cut.of_pack(best.at));
}

// By the number of an element at the ends, or of a pack's first one. A lane's first element at the
// ends is loaded before its packs.
template <class Op, class T>
GPU_DEVICE Key best_of_run(const T* run, const Cut<T>& cut, int lane, int lanes) {
  const bool has_ends = cut.ends() != 0;
  const int end = has_ends && lane < 2 * kPack<T> ? cut.of_end(lane) : -1;
  const float at_end = end >= 0 ? widen(run[end]) : 0;
  Key key = lane < cut.whole ? best_of_packs<Op>(run + cut.head, cut, lane, lanes) : 0;
  if (end >= 0) key = larger_key(key, key_of(Op::rank(at_end), end));
  if (!has_ends) return key;
#pragma unroll 1
  for (int place = lane + lanes; place < 2 * kPack<T>; place += lanes) {
    const int other = cut.of_end(place);
    if (other >= 0) key = larger_key(key, key_of(Op::rank(widen(run[other])), other));
  }
  return key;
}

// The number of the element itself.
template <class Op, class T>
GPU_DEVICE uint32_t place_of(const T* run, const Cut<T>& cut, Key key) {
  const uint32_t at = number_of(key);
  const int from_packs = static_cast<int>(at) - cut.head;
  if (from_packs < 0 || from_packs >= cut.whole * kPack<T>) return at;
  float x[kPack<T>];
  unpack<T>(load_words(run + at), x);
  return at + first_best<Op>(x);
}

GPU_DEVICE Key largest_of_lanes(Key x, int lanes) {
  for (int mask = lanes / 2; mask > 0; mask /= 2) {
    const Key high = shuffle_xor(static_cast<uint32_t>(x >> 32), mask);
    x = larger_key(x, high << 32 | shuffle_xor(static_cast<uint32_t>(x), mask));
  }
  return x;
}

// As merge_team().
GPU_DEVICE Key largest_of_team(Key x, int team, Key* shared) {
  x = largest_of_lanes(x, team < wave_size() ? team : wave_size());
  if (team <= wave_size()) return x;
  const int lane = thread_id() % wave_size();
  if (lane == 0) shared[thread_id() / wave_size()] = x;
  barrier();
  x = lane < block_threads() / wave_size() ? shared[lane] : 0;
  return largest_of_lanes(x, wave_size());
}

template <class Op, class T>
GPU_KERNEL(kRowThreads, kRowBlocks<T>)
find_in_rows(const GPU_CONSTANT ExtremeRowsCall<T> c) {
  await_earlier();
  GPU_SHARED(Key, shared, kMostWaves);
  if (c.keys != nullptr) let_later_begin();
  const RowParts& rows = c.rows;
  const int team = 1 << rows.team_log2;
  const RowTask task(rows, c.slices);
  const auto first = static_cast<int32_t>(task.task - task.slice * rows.chunks) * rows.part;
  int64_t at[2] = {};
  if (task.ours) c.kept.offsets(task.slice, at);
  const T* run = c.to.src + at[1] + (task.ours ? first : 0);
  const Cut<T> cut(run, !task.ours ? 0 : rows.n - first < rows.part ? rows.n - first : rows.part);
  Key key = best_of_run<Op>(run, cut, task.in_team, team);
  key = largest_of_team(key, team, shared);
  if (!task.ours || task.in_team != 0) return;
  const uint32_t number = first + place_of<Op>(run, cut, key);
  if (c.keys != nullptr) {
    c.keys[task.task] = with_number(key, number);
  } else {
    c.to.store(at[0], at[1], number);
  }
}

template <class Op, class T>
int launch_extreme_rows(const ReductionLayout& of, const ExtremeResult<T>& to,
                        const polyops_context* ctx) {
  const RowParts rows = parts_of<T>(of);
  const bool whole = rows.chunks == 1;
  const auto slices = static_cast<uint32_t>(of.kept.numel());
  const ExtremeRowsCall<T> call = {of.kept, slices, rows, to,
                                   whole ? nullptr : static_cast<Key*>(ctx->scratch)};
  const int64_t blocks = divide_up(int64_t{slices} * rows.chunks, kRowThreads >> rows.team_log2);
  const int status = gpu::launch(find_in_rows<Op, T>, {blocks, kRowThreads}, ctx, call);
  if (status != POLYOPS_OK || whole) return status;
  return launch_merge_keys(of, rows.chunks, to, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_REDUCTION_EXTREME_ROWS_H_
