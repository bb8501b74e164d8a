// Lookups sorted by their rows, those of one row in the order in which they were made: so that sums
// are the same at each run. A radix sort of up to kMostBits bits at a time. A pass counts the
// digits of each chunk of lookups, and places them behind what smaller digits and earlier chunks
// have; within a chunk, waves take turns of one lookup per lane, and a lane's rank is how many
// before it have its digit. Bound: latency; few lookups are sorted by one block in one launch.
#ifndef POLYOPS_GPU_EMBEDDING_SORT_H_
#define POLYOPS_GPU_EMBEDDING_SORT_H_

#include <cstdint>

#include "gpu.h"
#include "indices.h"
#include "zeros.h"

namespace polyops::gpu {
namespace {

constexpr int kSortItems = 8;  // of a thread, all loaded before the first is ranked
constexpr int kSortThreads = 256;
constexpr int kSortThreadsAlone = 1024;
constexpr int kMostBits = 10;
constexpr int kMostBitsAlone = 9;  // of more waves, whose counts take as much shared memory
constexpr int kMostBins = 1 << kMostBits;
constexpr int kMostSortWaves = kSortThreadsAlone / 32;

struct alignas(8) Lookup {
  uint32_t row;  // as many as there are rows: none, and behind all
  uint32_t at;   // which lookup it was
};
constexpr uint32_t kNoRow = 0xffffffffu;

// Where a pass finds lookups: as they were made, or as the last pass left them.
struct Made {
  using Loaded = Index;
  Indices index;
  int64_t padding;
  int32_t from_end;  // negative indices count from there

  GPU_DEVICE Index load(uint32_t i) const { return index.load(i); }
  GPU_DEVICE Index counted(const Index& x) const { return from_end != 0 ? index.counted(x) : x; }
  GPU_DEVICE bool right(const Index& x) const { return index.names(counted(x)); }
  GPU_DEVICE Lookup lookup(const Index& x, uint32_t i) const {
    const uint32_t row = index.row(counted(x));
    return {row == padding ? index.rows : row, i};
  }
};
struct Left {
  using Loaded = Lookup;
  const Lookup* lookups;

  GPU_DEVICE Lookup load(uint32_t i) const { return lookups[i]; }
  GPU_DEVICE bool right(const Lookup&) const { return true; }
  GPU_DEVICE Lookup lookup(const Lookup& x, uint32_t) const { return x; }
};

struct Digit {
  int shift;
  int bits;

  GPU_DEVICE int bins() const { return 1 << bits; }
  GPU_DEVICE uint32_t of(uint32_t row) const { return row >> shift & ((1u << bits) - 1); }
};

GPU_DEVICE int waves_of_block() { return block_threads() / wave_size(); }
GPU_DEVICE int wave_of_block() { return thread_id() / wave_size(); }

// The sum of x over this block's threads before this one. `waves`: kMostSortWaves elements that
// nobody uses since the last barrier; they may be used again after the next one.
GPU_DEVICE uint32_t sum_before(uint32_t x, uint32_t* waves) {
  uint32_t before = 0, all = x;
  const int lane = thread_id() % wave_size();
#pragma unroll
  for (int mask = 1; mask < wave_size(); mask *= 2) {
    const uint32_t other = shuffle_xor(all, mask);
    if ((lane & mask) != 0) before += other;
    all += other;
  }
  if (lane == 0) waves[wave_of_block()] = all;
  barrier();
  for (int w = 0; w < wave_of_block(); ++w) before += waves[w];
  return before;
}

// What a block takes at a time, from `first` on; each wave has neighbouring lookups.
template <int kItems, class Source>
GPU_DEVICE void load_tile(const Source& source, uint32_t first, uint32_t end, Lookup (&x)[kItems]) {
  first += wave_of_block() * wave_size() * kItems + thread_id() % wave_size();
  typename Source::Loaded loaded[kItems];
  bool right = true;
#pragma unroll
  for (int k = 0; k < kItems; ++k) {
    const uint32_t i = first + k * wave_size();
    loaded[k] = source.load(i < end ? i : end - 1);
  }
#pragma unroll
  for (int k = 0; k < kItems; ++k) right = right && source.right(loaded[k]);
  halt_unless(right);
#pragma unroll
  for (int k = 0; k < kItems; ++k) {
    const uint32_t i = first + k * wave_size();
    x[k] = {kNoRow, 0};
    if (i < end) x[k] = source.lookup(loaded[k], i);
  }
}

// Of each lookup: how many lanes of the wave before this one have its digit, doubled; 1 more if
// none after it has.
template <int kItems>
GPU_DEVICE void take_turns(const Digit& digit, const Lookup (&x)[kItems],
                           uint32_t (&turn)[kItems]) {
  uint32_t label[kItems];  // the digit, and whether there is none
  SameLanes same[kItems];
#pragma unroll
  for (int k = 0; k < kItems; ++k) {
    label[k] = x[k].row == kNoRow ? 1u << digit.bits : digit.of(x[k].row);
  }
  same_lanes(label, digit.bits + 1, same);
#pragma unroll
  for (int k = 0; k < kItems; ++k) {
    turn[k] = 2 * same[k].before + (same[k].before + 1 == same[k].all);
  }
}

// Counts the tile's digits. counts: of each wave, of each bin. turn becomes the rank: what the
// wave's count was when the turn came.
template <int kItems>
GPU_DEVICE void rank_tile(const Digit& digit, const Lookup (&x)[kItems], uint32_t* counts,
                          uint32_t (&turn)[kItems]) {
  uint32_t* const own = counts + wave_of_block() * digit.bins();
  for (int bin = thread_id() % wave_size(); bin < digit.bins(); bin += wave_size()) own[bin] = 0;
#pragma unroll
  for (int k = 0; k < kItems; ++k) {
    wave_barrier();
    const bool counts_too = x[k].row != kNoRow, last = turn[k] % 2 != 0;
    uint32_t* const count = own + digit.of(x[k].row);
    turn[k] = counts_too ? *count + turn[k] / 2 : 0;
    wave_barrier();
    if (counts_too && last) *count = turn[k] + 1;
  }
}

// The waves' counts become what is before each of them, from base on, which grows by the tile.
GPU_DEVICE void stack_counts(const Digit& digit, uint32_t* counts, uint32_t* base) {
  for (int bin = thread_id(); bin < digit.bins(); bin += block_threads()) {
    uint32_t sum = base[bin];
#pragma unroll 4
    for (int w = 0; w < waves_of_block(); ++w) {
      uint32_t* const count = counts + w * digit.bins() + bin;
      const uint32_t own = *count;
      *count = sum;
      sum += own;
    }
    base[bin] = sum;
  }
}

template <int kItems>
GPU_DEVICE void place_tile(const Digit& digit, const Lookup (&x)[kItems], const uint32_t* counts,
                           const uint32_t (&rank)[kItems], Lookup* out) {
  const uint32_t* const own = counts + wave_of_block() * digit.bins();
#pragma unroll
  for (int k = 0; k < kItems; ++k) {
    if (x[k].row != kNoRow) out[own[digit.of(x[k].row)] + rank[k]] = x[k];
  }
}

// base[bin] grows by the sum of all[bin'] with bin' < bin. Threads have neighbouring bins.
GPU_DEVICE void add_smaller_bins(const Digit& digit, const uint32_t* all, uint32_t* base,
                                 uint32_t* waves) {
  const int each = (digit.bins() + block_threads() - 1) / block_threads();
  const int first = thread_id() * each;
  uint32_t own = 0;
  for (int j = 0; j < each; ++j) own += first + j < digit.bins() ? all[first + j] : 0;
  uint32_t sum = sum_before(own, waves);
  for (int j = 0; j < each && first + j < digit.bins(); ++j) {
    base[first + j] += sum;
    sum += all[first + j];
  }
}

// The sum of the waves' counts of a bin.
GPU_DEVICE uint32_t sum_of_waves(const Digit& digit, const uint32_t* counts, int bin) {
  uint32_t sum = 0;
#pragma unroll 4
  for (int w = 0; w < waves_of_block(); ++w) sum += counts[w * digit.bins() + bin];
  return sum;
}

// All passes, of no more lookups than a block takes at a time; they leave them in to0 and to1 in
// turn.
template <class Source>
GPU_KERNEL(kSortThreadsAlone)
sort_alone(const Source made, uint32_t lookups, int passes, int bits, Lookup* to0, Lookup* to1,
           const GPU_CONSTANT Zeros zeros) {
  await_earlier();
  GPU_SHARED(uint32_t, base, kMostBins);
  GPU_SHARED(uint32_t, all, kMostBins);
  GPU_SHARED(uint32_t, waves, kMostSortWaves);
  GPU_DYNAMIC_SHARED(uint32_t, counts);
  if (block_id() > 0) {
    zeros.write(block_id() - 1);
    return;
  }
  for (int p = 0; p < passes; ++p) {
    const Digit digit = {p * bits, bits};
    Lookup x[kSortItems];
    uint32_t rank[kSortItems];
    if (p == 0) {
      load_tile(made, 0, lookups, x);
    } else {
      load_tile(Left{p % 2 != 0 ? to0 : to1}, 0, lookups, x);
    }
    take_turns(digit, x, rank);
    rank_tile(digit, x, counts, rank);
    barrier();
    for (int bin = thread_id(); bin < digit.bins(); bin += block_threads()) {
      all[bin] = sum_of_waves(digit, counts, bin);
      base[bin] = 0;
    }
    barrier();
    add_smaller_bins(digit, all, base, waves);
    barrier();
    stack_counts(digit, counts, base);
    barrier();
    place_tile(digit, x, counts, rank, p % 2 == 0 ? to0 : to1);
    barrier();
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_EMBEDDING_SORT_H_
