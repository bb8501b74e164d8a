// Which kernel takes which rows, and how many blocks.
#ifndef POLYOPS_GPU_CROSS_ENTROPY_PLAN_H_
#define POLYOPS_GPU_CROSS_ENTROPY_PLAN_H_

#include <cstdint>

#include "backward.h"
#include "few.h"
#include "forward.h"

namespace polyops::gpu {
namespace {

// Lanes for rows of that many packs, so many to each, as a power of two.
inline int lanes_log2_for(int packs, int packs_each, int most_log2) {
  int log2 = 2;
  while (log2 < most_log2 && packs > packs_each << log2) ++log2;
  return log2;
}

constexpr int kTeamLanesLog2 = 5;

// Packs in a lane of a team: more where rows are long, so that fewer lanes' worth of what a row
// takes beside its elements is waited for.
inline int team_packs(int packs) { return packs <= 64 ? 4 : 8; }
constexpr int kTeamPacks = 8 << kTeamLanesLog2;

inline int team_lanes_log2(int packs) {
  return lanes_log2_for(packs, team_packs(packs), kTeamLanesLog2);
}

// A row to a thread, to a part of a wave, to a block or several.
enum class Way { kFew, kTeam, kBlock };

inline bool is_aligned(const polyops_tensor& t) {
  return reinterpret_cast<uintptr_t>(t.data) % 16 == 0;
}

template <class T>
Way way_of(const polyops_tensor& src) {
  const int64_t n = src.sizes[1];
  const bool few =
      fits_shelf<T>(n) && is_aligned(src) && (src.sizes[0] == 1 || src.strides[0] == n);
  if (few) return Way::kFew;
  return n / kPack<T> <= kTeamPacks ? Way::kTeam : Way::kBlock;
}

// Parts of the loss that forward leaves; one for each of its blocks, or cluster of blocks.
template <class T>
int64_t parts_of(Way way, int64_t rows, int64_t n) {
  if (way == Way::kBlock) return rows;
  const int packs = static_cast<int>(n / kPack<T>);
  const int of_block =
      way == Way::kFew ? kFewThreads * few_turns(rows) : kLossTeamThreads >> team_lanes_log2(packs);
  return (rows + of_block - 1) / of_block;
}

template <class T>
bool is_ragged(const polyops_tensor& t) {
  return t.sizes[1] % kPack<T> != 0 || (t.sizes[0] > 1 && t.strides[0] % kPack<T> != 0) ||
         !is_aligned(t);
}

// Blocks for each row: enough that all rows keep the device busy to the end, or as many as it has
// room for at a time, but none that has less than two turns.
inline int row_blocks(int64_t rows, int packs, int threads, const polyops_context* ctx) {
  constexpr int64_t kBlocksEach = 16, kAtATime = 4;  // of a multiprocessor
  const int most = most_cluster(ctx);
  const int64_t at_a_time = multiprocessors(ctx) * kAtATime;
  const auto fill_it = [&](int64_t n) { return n <= at_a_time && n * 10 >= at_a_time * 9; };
  int blocks = 1;
  while (blocks < most && rows * blocks < multiprocessors(ctx) * kBlocksEach &&
         !fill_it(rows * blocks) && packs >= int64_t{blocks} * threads * kLossPacks * 4) {
    blocks *= 2;
  }
  return blocks;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CROSS_ENTROPY_PLAN_H_
