// Rows that several shares divide: adds up what those before left open, and what the last one had
// until the row's end. A block has every so many of the shares, since those that end such a row are
// often neighbours, and kTileWidth columns; its teams take every so many of a row's shares, and are
// added up in order.
#ifndef POLYOPS_GPU_EMBEDDING_FINISH_H_
#define POLYOPS_GPU_EMBEDDING_FINISH_H_

#include <cstdint>

#include "call.h"
#include "gpu.h"

namespace polyops::gpu {
namespace {

constexpr int kFinishThreads = 256;
// Of a block, as many as leave so many blocks: most of them end no row that others began.
constexpr int kLeastFinishShares = 4;
constexpr int64_t kFinishBlocks = 2048;
constexpr int kTileLanes = 16;
constexpr int kTileWidth = 4 * kTileLanes;
constexpr int kTileTeams = kFinishThreads / kTileLanes;

// What shares before that one, every kTileTeams-th from the last on, left open of the row.
GPU_DEVICE void add_shares(const GradCall& c, uint32_t row, int64_t last, int column,
                           float (&sum)[4]) {
  constexpr int kLoads = 4;
  for (int64_t share = last; share >= 0; share -= kLoads * kTileTeams) {
    Divided divided[kLoads];
    Words words[kLoads];
#pragma unroll
    for (int k = 0; k < kLoads; ++k) {
      const int64_t at = share - k * kTileTeams;
      divided[k] = {kNoRow, 0, kNoRow, 0};
      if (at >= 0) divided[k] = c.divided[at];
    }
#pragma unroll
    for (int k = 0; k < kLoads; ++k) {
      if (divided[k].open != row) continue;
      words[k] =
          load_words(c.open_sums + int64_t{divided[k].open_slot} * c.padded_columns + column);
    }
#pragma unroll
    for (int k = 0; k < kLoads; ++k) {
      if (divided[k].open != row) return;
      float x[4];
      unpack<float>(words[k], x);
#pragma unroll
      for (int j = 0; j < 4; ++j) sum[j] += x[j];
    }
  }
}

template <class T, bool kAdds>
GPU_KERNEL(kFinishThreads)
embedding_finish(const GradCall c, uint32_t shares, uint32_t of_block, int tiles) {
  await_earlier();
  GPU_SHARED(uint32_t, some, kFinishThreads);  // shares that end a row that others began
  GPU_SHARED(uint32_t, waves, kMostSortWaves);
  GPU_SHARED(uint32_t, count, 1);
  GPU_SHARED(float, sums, kTileTeams* kTileWidth);
  const auto group = static_cast<uint32_t>(block_id()) / static_cast<uint32_t>(tiles);
  const int tile = static_cast<int>(static_cast<uint32_t>(block_id()) - group * tiles) * kTileWidth;
  const auto thread = static_cast<uint32_t>(thread_id());
  const uint32_t groups = (shares + of_block - 1) / of_block;
  const uint32_t share = thread * groups + group;
  const bool has = thread < of_block && share < shares;
  const uint32_t ends = has && c.divided[share].ended != kNoRow ? 1 : 0;
  const uint32_t before = sum_before(ends, waves);
  if (ends != 0) some[before] = share;
  if (thread_id() == kFinishThreads - 1) *count = before + ends;
  barrier();
  const int lane = 4 * (thread_id() % kTileLanes), team = thread_id() / kTileLanes;
  for (uint32_t i = 0; i < *count; ++i) {
    const Divided divided = c.divided[some[i]];
    float sum[4] = {kNone<kAdds>, kNone<kAdds>, kNone<kAdds>, kNone<kAdds>};
    if (tile + lane < c.columns) {
      add_shares(c, divided.ended, int64_t{some[i]} - 1 - team, tile + lane, sum);
    }
#pragma unroll
    for (int j = 0; j < 4; ++j) sums[team * kTileWidth + lane + j] = sum[j];
    barrier();
    const int column = tile + thread_id();
    if (thread_id() < kTileWidth && column < c.columns) {
      float all = kNone<kAdds>;
      for (int t = 0; t < kTileTeams; ++t) all += sums[t * kTileWidth + thread_id()];
      all += c.ended_sums[int64_t{divided.ended_slot} * c.padded_columns + column];
      T* const out = static_cast<T*>(c.out) + place_of(c, column, c.out_step);
      out[int64_t{divided.ended} * c.width] = narrow<T>(all);
    }
    barrier();
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_EMBEDDING_FINISH_H_
