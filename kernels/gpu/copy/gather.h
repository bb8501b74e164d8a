// Copies to one dense run of memory from wherever the elements are: a thread puts packs of 16
// aligned bytes together. The two innermost dimensions it counts on; where they end it takes its
// place apart anew. Elements of neighbours are read by neighbours: what one does not use of a
// sector the L1 has for another.
#ifndef POLYOPS_GPU_COPY_GATHER_H_
#define POLYOPS_GPU_COPY_GATHER_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "span.h"
#include "walk.h"

namespace polyops::gpu {
namespace {

constexpr int kGatherThreads = 256;
// A thread's packs: as many as make 8 loads, or one.
template <class T>
inline constexpr int kGatherPacks = kPack<T> < 8 ? 8 / kPack<T> : 1;

struct Gather {
  const void* src;
  void* dst;
  uint32_t count;                    // elements
  int rank;                          // 2 at least
  Division sizes[POLYOPS_MAX_RANK];  // innermost first
  int64_t steps[POLYOPS_MAX_RANK];   // of the source, in elements
};

// dst is one run, in the order of its memory.
inline bool is_dense_result(const Walk<2>& walk) {
  int64_t step = 1;
  for (int d = 0; d < walk.rank; ++d) {
    if (walk.strides[1][d] != step) return false;
    step *= walk.sizes[d];
  }
  return true;
}

inline Gather make_gather(const Walk<2>& walk, const void* src, void* dst) {
  Gather g = {};
  g.src = src;
  g.dst = dst;
  g.count = static_cast<uint32_t>(walk.numel());
  g.rank = walk.rank < 2 ? 2 : walk.rank;
  for (int d = 0; d < g.rank; ++d) {
    g.sizes[d] = Division(d < walk.rank ? static_cast<uint32_t>(walk.sizes[d]) : 1);
    g.steps[d] = d < walk.rank ? walk.strides[0][d] : 0;
  }
  return g;
}

// Where the elements of a run of the result are, from any one on.
class GatherPlace {
 public:
  GPU_DEVICE GatherPlace(const Gather& g, uint32_t index) { seek(g, index); }

  GPU_DEVICE int64_t offset() const { return offset_; }

  GPU_DEVICE void next(const Gather& g) {
    ++index_;
    offset_ += g.steps[0];
    if (++inner_ < g.sizes[0].divisor) return;
    inner_ = 0;
    offset_ += g.steps[1] - g.sizes[0].divisor * g.steps[0];
    if (++outer_ == g.sizes[1].divisor) seek(g, index_);
  }

 private:
  GPU_DEVICE void seek(const Gather& g, uint32_t index) {
    index_ = index;
    inner_ = take_remainder(g.sizes[0], &index);
    outer_ = take_remainder(g.sizes[1], &index);
    offset_ = inner_ * g.steps[0] + outer_ * g.steps[1];
#pragma unroll 1
    for (int d = 2; d < g.rank; ++d) offset_ += take_remainder(g.sizes[d], &index) * g.steps[d];
  }

  uint32_t index_, inner_, outer_;
  int64_t offset_;
};

// A pack of elements that are there.
template <class T>
GPU_DEVICE void gather_pack(const Gather& g, uint32_t first, T (&x)[kPack<T>]) {
  GatherPlace place(g, first);
#pragma unroll
  for (int i = 0; i < kPack<T>; ++i) {
    x[i] = static_cast<const T*>(g.src)[place.offset()];
    if (i + 1 < kPack<T>) place.next(g);
  }
}

template <class T>
GPU_DEVICE Words words_of(const T (&x)[kPack<T>]) {
  constexpr int kBits = 8 * sizeof(T), kIn = sizeof(T) < 4 ? 4 / sizeof(T) : 1;
  Words words;
#pragma unroll
  for (int k = 0; k < 4; ++k) {
    if constexpr (sizeof(T) == 8) {
      words.w[k] = static_cast<uint32_t>(x[k / 2] >> 32 * (k % 2));
    } else {
      uint32_t word = 0;
#pragma unroll
      for (int i = 0; i < kIn; ++i) word |= uint32_t{x[kIn * k + i]} << (kBits * i % 32);
      words.w[k] = word;
    }
  }
  return words;
}

template <class T>
GPU_KERNEL(kGatherThreads)
copy_gathered(const GPU_CONSTANT Gather g) {
  await_earlier();
  const Span<T> span(static_cast<T*>(g.dst), g.count);
  const int64_t first = block_id() * (kGatherThreads * kGatherPacks<T>)+thread_id();
  T x[kGatherPacks<T>][kPack<T>];
#pragma unroll
  for (int k = 0; k < kGatherPacks<T>; ++k) {
    const int64_t pack = first + k * kGatherThreads;
    if (span.whole(pack)) {
      gather_pack<T>(g, static_cast<uint32_t>(pack * kPack<T> - span.shift), x[k]);
    }
  }
#pragma unroll
  for (int k = 0; k < kGatherPacks<T>; ++k) {
    const int64_t pack = first + k * kGatherThreads;
    if (span.whole(pack)) {
      store_words(span.base + pack * kPack<T>, words_of<T>(x[k]));
      continue;
    }
#pragma unroll 1
    for (int64_t at = pack * kPack<T>; at < (pack + 1) * kPack<T>; ++at) {
      if (!span.has(at)) continue;
      const GatherPlace place(g, static_cast<uint32_t>(at - span.shift));
      span.base[at] = static_cast<const T*>(g.src)[place.offset()];
    }
  }
}

inline int64_t gather_blocks(int64_t count, int pack, int packs) {
  const int64_t all = count / pack + 2;  // the result's first and last may reach out
  return (all + kGatherThreads * packs - 1) / (kGatherThreads * packs);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_COPY_GATHER_H_
