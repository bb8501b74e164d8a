// A pass of the sort of many lookups, in chunks of a tile, or of as many as it takes for no more
// than kMostChunks.
#ifndef POLYOPS_GPU_EMBEDDING_SORT_CHUNKS_H_
#define POLYOPS_GPU_EMBEDDING_SORT_CHUNKS_H_

#include <cstdint>

#include "gpu.h"
#include "sort.h"

namespace polyops::gpu {
namespace {

constexpr int kMostChunks = 512;
constexpr uint32_t kSortTile = kSortThreads * kSortItems;
// Up to so many, each block adds up the counts of those before its own.
constexpr int kFewChunks = 32;

// counts: of each chunk, of each bin; `all`, if there are more than few chunks, of each bin.
struct SortCall {
  Digit digit;
  uint32_t lookups;
  uint32_t of_chunk;
  int32_t chunks;
  uint32_t* counts;
  uint32_t* all;
  Lookup* to;
  Zeros zeros;  // of blocks behind the chunks'

  GPU_DEVICE uint32_t begin() const { return static_cast<uint32_t>(block_id()) * of_chunk; }
  GPU_DEVICE uint32_t end() const {
    return lookups - begin() < of_chunk ? lookups : begin() + of_chunk;
  }
};

template <class Source>
GPU_KERNEL(kSortThreads)
sort_count(const Source source, const SortCall c) {
  await_earlier();
  GPU_SHARED(uint32_t, counts, kMostBins);
  if (block_id() >= c.chunks) {
    c.zeros.write(block_id() - c.chunks);
    return;
  }
  const int bins = c.digit.bins();
  for (int bin = thread_id(); bin < bins; bin += block_threads()) counts[bin] = 0;
  barrier();
  for (uint32_t first = c.begin(); first < c.end(); first += kSortTile) {
    Lookup x[kSortItems];
    load_tile(source, first, c.end(), x);
#pragma unroll
    for (int k = 0; k < kSortItems; ++k) {
      if (x[k].row != kNoRow) count_one(&counts[c.digit.of(x[k].row)]);
    }
  }
  barrier();
  for (int bin = thread_id(); bin < bins; bin += block_threads()) {
    c.counts[block_id() * bins + bin] = counts[bin];
  }
}

// Of 32 bins to a block: counts become the sums of those of earlier chunks. Each 32 threads have
// some chunks.
constexpr int kStackThreads = 1024;
constexpr int kChunksOfThread = kMostChunks / 32;

GPU_KERNEL(kStackThreads)
sort_stack(const SortCall c) {
  await_earlier();
  GPU_SHARED(uint32_t, sums, kStackThreads);
  const int bin = static_cast<int>(block_id()) * 32 + thread_id() % 32, part = thread_id() / 32;
  const int bins = c.digit.bins();
  uint32_t x[kChunksOfThread], own = 0;
#pragma unroll
  for (int k = 0; k < kChunksOfThread; ++k) {
    const int chunk = part * kChunksOfThread + k;
    x[k] = chunk < c.chunks && bin < bins ? c.counts[chunk * bins + bin] : 0;
    own += x[k];
  }
  sums[thread_id()] = own;
  barrier();
  uint32_t before = 0;
  for (int p = 0; p < part; ++p) before += sums[p * 32 + thread_id() % 32];
  if (bin >= bins) return;
#pragma unroll
  for (int k = 0; k < kChunksOfThread; ++k) {
    const int chunk = part * kChunksOfThread + k;
    if (chunk < c.chunks) c.counts[chunk * bins + bin] = before;
    before += x[k];
  }
  if (part == 31) c.all[bin] = before;
}

// What earlier chunks have of a bin, and all of them.
GPU_DEVICE void sums_of_bin(const SortCall& c, int bin, uint32_t* before, uint32_t* all) {
  const int bins = c.digit.bins(), own = static_cast<int>(block_id());
  if (c.chunks > kFewChunks) {
    *before = c.counts[own * bins + bin];
    *all = c.all[bin];
    return;
  }
  uint32_t count[kFewChunks];  // all of them on the way at once
#pragma unroll
  for (int chunk = 0; chunk < kFewChunks; ++chunk) {
    count[chunk] = chunk < c.chunks ? c.counts[chunk * bins + bin] : 0;
  }
  *before = *all = 0;
#pragma unroll
  for (int chunk = 0; chunk < kFewChunks; ++chunk) {
    if (chunk < own) *before += count[chunk];
    *all += count[chunk];
  }
}

template <class Source>
GPU_KERNEL(kSortThreads)
sort_place(const Source source, const SortCall c) {
  await_earlier();
  GPU_SHARED(uint32_t, base, kMostBins);
  GPU_SHARED(uint32_t, all, kMostBins);
  GPU_SHARED(uint32_t, waves, kMostSortWaves);
  GPU_DYNAMIC_SHARED(uint32_t, counts);
  if (block_id() >= c.chunks) {
    c.zeros.write(block_id() - c.chunks);
    return;
  }
  for (int bin = thread_id(); bin < c.digit.bins(); bin += block_threads()) {
    sums_of_bin(c, bin, &base[bin], &all[bin]);
  }
  barrier();
  add_smaller_bins(c.digit, all, base, waves);
  for (uint32_t first = c.begin(); first < c.end(); first += kSortTile) {
    Lookup x[kSortItems];
    uint32_t rank[kSortItems];
    load_tile(source, first, c.end(), x);
    take_turns(c.digit, x, rank);
    rank_tile(c.digit, x, counts, rank);
    barrier();
    stack_counts(c.digit, counts, base);
    barrier();
    place_tile(c.digit, x, counts, rank, c.to);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_EMBEDDING_SORT_CHUNKS_H_
