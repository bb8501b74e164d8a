// Results of which each chunk left its part in scratch memory: chunks of a result `width` apart,
// results next to each other that lie so. Before they are merged nothing else runs, so latency is
// all there is: the blocks that merge them are there when the last chunk is, and a thread issues
// all of its loads before it uses the first.
#ifndef POLYOPS_GPU_REDUCTION_PARTS_H_
#define POLYOPS_GPU_REDUCTION_PARTS_H_

#include "division.h"
#include "gpu.h"
#include "layout.h"
#include "op.h"
#include "states.h"

namespace polyops::gpu {
namespace {

constexpr int kLeastMergeThreads = 64, kMostMergeThreads = 512;
constexpr int kMergeAtOnce = 9;        // parts of a thread: of rows there are no more
constexpr int kMergeWorth = 4;         // as many are worth another thread
constexpr int kMergeAcrossLog2 = 3;    // a sector of columns,
constexpr int kMergeManyLog2 = 5;      // or a line,
constexpr int64_t kManyMerged = 8192;  // of so many results
// Of waves of 32 lanes: as many as a block has by as many columns.
constexpr int kMergeSlots = kMostMergeThreads / 32 << kMergeManyLog2;

// An op of one number (op.h), as those that merge parts have it.
template <class Op>
struct OneNumber {
  using Numbers = gpu::Numbers<1>;

  GPU_DEVICE static Numbers none() { return {{Op::kNone}}; }
  GPU_DEVICE static Numbers merge(const Numbers& a, const Numbers& b) {
    return {{Op::merge(a.v[0], b.v[0])}};
  }

  struct Finish {
    Result dst;

    GPU_DEVICE void store(int64_t at, const Numbers& x) const { dst.store(at, x.v[0]); }
  };
};

template <class Op>
struct PartsCall {
  const float* parts;
  int64_t pitch;  // parts of all results
  uint32_t chunks, width, results;
  Division by_width;
  int32_t across_log2;  // results of a block
  Walk<2> kept;
  int64_t dst_step;  // between columns
  typename Op::Finish dst;
};

// Of threads that are `across` apart, in the first `across`.
template <class Op>
GPU_DEVICE typename Op::Numbers merge_apart(typename Op::Numbers x, int across, float* shared) {
  using N = typename Op::Numbers;
  const int lane = thread_id() % wave_size(), waves = block_threads() / wave_size();
  x = merge_lanes<Op>(x, wave_size(), across);
  if (waves == 1) return x;
  if (lane < across) {
    put_numbers(shared, kMergeSlots, thread_id() / wave_size() * across + lane, x);
  }
  barrier();
  x = Op::none();
#pragma unroll 1
  for (int at = lane; at < waves * across; at += wave_size()) {
    x = Op::merge(x, get_numbers<N>(shared, kMergeSlots, at));
  }
  return merge_lanes<Op>(x, wave_size(), across);
}

template <class Op>
GPU_KERNEL(kMostMergeThreads)
merge_parts(const GPU_CONSTANT PartsCall<Op> c) {
  await_earlier();
  using N = typename Op::Numbers;
  GPU_SHARED(float, shared, N::kSize* kMergeSlots);
  const int across = 1 << c.across_log2;
  const auto down = static_cast<uint32_t>(thread_id()) >> c.across_log2;
  const auto step = static_cast<uint32_t>(block_threads()) >> c.across_log2;
  const auto result = static_cast<uint32_t>(block_id() << c.across_log2) +
                      static_cast<uint32_t>(thread_id() & (across - 1));
  const uint32_t row = c.by_width.quotient(result);
  const uint32_t column = result - row * c.width;
  N x = Op::none();
  if (result < c.results) {
    const int64_t first = int64_t{row} * c.chunks * c.width + column;
    for (uint32_t chunk = down; chunk < c.chunks; chunk += kMergeAtOnce * step) {
      N parts[kMergeAtOnce];
#pragma unroll
      for (int k = 0; k < kMergeAtOnce; ++k) {
        const uint32_t at = chunk + k * step;
        parts[k] = Op::none();
        if (at < c.chunks) {
          parts[k] = get_numbers<N>(c.parts, c.pitch, first + int64_t{at} * c.width);
        }
      }
#pragma unroll
      for (int k = 0; k < kMergeAtOnce; ++k) x = Op::merge(x, parts[k]);
    }
  }
  x = merge_apart<Op>(x, across, shared);
  if (down != 0 || result >= c.results) return;
  int64_t at[2];
  c.kept.offsets(row, at);
  c.dst.store(at[0] + column * c.dst_step, x);
}

// Of the kernel just launched.
template <class Op>
int launch_merge_parts(const float* parts, const ReductionLayout& of, int64_t chunks,
                       const typename Op::Finish& dst, const polyops_context* ctx) {
  const int64_t results = of.kept.numel() * of.width;
  int across_log2 = of.width >= 1 << kMergeAcrossLog2 ? kMergeAcrossLog2 : 0;
  if (of.width >= 1 << kMergeManyLog2 && results >= kManyMerged) across_log2 = kMergeManyLog2;
  int threads = kLeastMergeThreads;
  while (threads < kMostMergeThreads && threads * kMergeWorth < chunks << across_log2) threads *= 2;
  const PartsCall<Op> call = {parts,
                              results * chunks,
                              static_cast<uint32_t>(chunks),
                              static_cast<uint32_t>(of.width),
                              static_cast<uint32_t>(results),
                              Division(static_cast<uint32_t>(of.width)),
                              across_log2,
                              of.kept,
                              of.dst_step,
                              dst};
  return gpu::launch(merge_parts<Op>, {divide_up(results, 1 << across_log2), threads}, ctx, call);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_REDUCTION_PARTS_H_
