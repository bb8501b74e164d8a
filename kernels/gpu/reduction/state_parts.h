// Results of which each chunk left its part in scratch memory: chunks of a result `width` apart,
// results next to each other that lie so.
#ifndef POLYOPS_GPU_REDUCTION_STATE_PARTS_H_
#define POLYOPS_GPU_REDUCTION_STATE_PARTS_H_

#include "division.h"
#include "gpu.h"
#include "layout.h"
#include "rows.h"
#include "states.h"

namespace polyops::gpu {
namespace {

constexpr int kMergeThreads = 256;
constexpr int kMergeAcrossLog2 = 3;  // a sector of columns

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

template <class Op>
GPU_KERNEL(kMergeThreads)
merge_parts(const GPU_CONSTANT PartsCall<Op> c) {
  using N = typename Op::Numbers;
  GPU_SHARED(float, shared, N::kSize* kMergeThreads);
  const int across = 1 << c.across_log2;
  const auto down = static_cast<uint32_t>(thread_id()) >> c.across_log2;
  const auto result = static_cast<uint32_t>(block_id() << c.across_log2) +
                      static_cast<uint32_t>(thread_id() & (across - 1));
  const uint32_t row = c.by_width.quotient(result);
  const uint32_t column = result - row * c.width;
  N x = Op::none();
  if (result < c.results) {
    const int64_t first = int64_t{row} * c.chunks * c.width + column;
#pragma unroll 4
    for (uint32_t chunk = down; chunk < c.chunks; chunk += kMergeThreads >> c.across_log2) {
      x = Op::merge(x, get_numbers<N>(c.parts, c.pitch, first + int64_t{chunk} * c.width));
    }
  }
  put_numbers(shared, kMergeThreads, thread_id(), x);
  for (int half = kMergeThreads / 2; half >= across; half /= 2) {
    barrier();
    if (thread_id() < half) {
      x = Op::merge(x, get_numbers<N>(shared, kMergeThreads, thread_id() + half));
      put_numbers(shared, kMergeThreads, thread_id(), x);
    }
  }
  if (down != 0 || result >= c.results) return;
  int64_t at[2];
  c.kept.offsets(row, at);
  c.dst.store(at[0] + column * c.dst_step, x);
}

template <class Op>
int launch_merge_parts(const float* parts, const ReductionLayout& of, int64_t chunks,
                       const typename Op::Finish& dst, const polyops_context* ctx) {
  const int64_t results = of.kept.numel() * of.width;
  const int across_log2 = of.width >= 1 << kMergeAcrossLog2 ? kMergeAcrossLog2 : 0;
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
  const int64_t blocks = divide_up(results, 1 << across_log2);
  return gpu::launch(merge_parts<Op>, {blocks, kMergeThreads}, ctx, call);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_REDUCTION_STATE_PARTS_H_
