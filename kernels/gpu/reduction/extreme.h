// The first of the most extreme elements: what is compared, and where the winner's number goes.
//
// A lane remembers of packs, or of batches of rows, the first whose best value was the best so far;
// which of its elements it was is looked up at the end, by the one lane that stores a result. So an
// element costs what amax takes for it, and a pack a comparison.
#ifndef POLYOPS_GPU_REDUCTION_EXTREME_H_
#define POLYOPS_GPU_REDUCTION_EXTREME_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "layout.h"
#include "op.h"
#include "parts.h"
#include "tiles.h"

namespace polyops::gpu {
namespace {

// A rank in the high half, and a number in the low one, where a lower number makes a larger key:
// the largest key is that of the first of the best. 0 is no element's.
using Key = uint64_t;

GPU_DEVICE Key key_of(float rank, uint32_t number) {
  const uint32_t bits = float_bits(rank + 0.0f);  // 0 of -0
  uint32_t order = bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
  if (rank != rank) order = ~0u;
  return uint64_t{order} << 32 | static_cast<uint32_t>(~number);
}
GPU_DEVICE uint32_t number_of(Key key) { return ~static_cast<uint32_t>(key); }
GPU_DEVICE Key with_number(Key key, uint32_t number) {
  return key >> 32 << 32 | static_cast<uint32_t>(~number);
}
GPU_DEVICE Key larger_key(Key a, Key b) { return a > b ? a : b; }

// NaN beats all but NaN.
GPU_DEVICE bool beats(float rank, float best) { return best == best && !(rank <= best); }

// The number of the first of the best.
template <class Op, int kCount>
GPU_DEVICE uint32_t first_best(const float (&x)[kCount]) {
  float best = x[0];
#pragma unroll
  for (int j = 1; j < kCount; ++j) best = Op::merge(best, x[j]);
  uint32_t first = kCount - 1;
#pragma unroll
  for (int j = kCount - 2; j >= 0; --j) {
    if (x[j] == best || x[j] != x[j]) first = j;
  }
  return first;
}

// Where results go: one of a number among elements that are `stride` apart.
template <class T>
struct ExtremeResult {
  const T* src;
  int64_t stride;
  int64_t* indices;
  T* values;  // null: not asked for

  GPU_DEVICE void store(int64_t at_dst, int64_t at_src, uint32_t number) const {
    indices[at_dst] = number;
    if (values != nullptr) values[at_dst] = src[at_src + number * stride];
  }
};

// Chunks of a result leave their keys: [outer][chunks][width], of width neighbouring results. They
// are merged as parts are (parts.h).
template <class T>
struct KeysCall {
  const Key* keys;
  Walk<2> outer;  // dst, src
  int64_t dst_step;
  uint32_t results, width, chunks;
  Division by_width;
  int32_t down_log2;  // lanes of a result
  ExtremeResult<T> to;
};

template <class T>
GPU_KERNEL(kFoldThreads, 4)
merge_keys(const GPU_CONSTANT KeysCall<T> c) {
  await_earlier();
  GPU_SHARED(Key, shared, kFoldThreads);
  const int across_log2 = kFoldThreadsLog2 - c.down_log2;
  const int across = 1 << across_log2;
  const auto result =
      static_cast<uint32_t>((block_id() << across_log2) + (thread_id() & (across - 1)));
  const bool ours = result < c.results;
  uint32_t outer = result;
  const uint32_t column = ours ? take_remainder(c.by_width, &outer) : 0;
  Key best = 0;
  if (ours) {
    const Key* keys = c.keys + int64_t{outer} * c.chunks * c.width + column;
    const uint32_t step = 1u << c.down_log2;
    for (uint32_t i = thread_id() >> across_log2; i < c.chunks; i += kMergeAtOnce * step) {
      Key some[kMergeAtOnce];
#pragma unroll
      for (int k = 0; k < kMergeAtOnce; ++k) {
        const uint32_t at = i + k * step;
        some[k] = at < c.chunks ? keys[int64_t{at} * c.width] : 0;
      }
#pragma unroll
      for (int k = 0; k < kMergeAtOnce; ++k) best = larger_key(best, some[k]);
    }
  }
  shared[thread_id()] = best;
  for (int half = kFoldThreads / 2; half >= across; half /= 2) {
    barrier();
    if (thread_id() >= half) continue;
    best = larger_key(best, shared[thread_id() + half]);
    shared[thread_id()] = best;
  }
  if (!ours || thread_id() >= across) return;
  int64_t at[2];
  c.outer.offsets(outer, at);
  c.to.store(at[0] + column * c.dst_step, at[1] + column, number_of(best));
}

template <class T>
int launch_merge_keys(const ReductionLayout& of, int64_t chunks, const ExtremeResult<T>& to,
                      const polyops_context* ctx) {
  const int64_t results = of.kept.numel() * of.width;
  int down = 0;
  while (down < kFoldThreadsLog2 && int64_t{kMergeWorth} << down < chunks) ++down;
  const KeysCall<T> call = {static_cast<const Key*>(ctx->scratch),
                            of.kept,
                            of.dst_step,
                            static_cast<uint32_t>(results),
                            static_cast<uint32_t>(of.width),
                            static_cast<uint32_t>(chunks),
                            Division(static_cast<uint32_t>(of.width)),
                            down,
                            to};
  return gpu::launch(merge_keys<T>, {divide_up(results, kFoldThreads >> down), kFoldThreads}, ctx,
                     call);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_REDUCTION_EXTREME_H_
