// Elements that lie next to each other, as packs of 16 aligned bytes: the first pack may begin
// before them and the last end behind. Packs that reach out go element by element, and nothing
// outside is touched. (row.h is the same for rows, whose ends are many.)
#ifndef POLYOPS_GPU_SPAN_H_
#define POLYOPS_GPU_SPAN_H_

#include <cstdint>

#include "gpu.h"

namespace polyops::gpu {
namespace {

template <class T>
struct Span {
  T* base;              // of the first pack; aligned
  int shift;            // elements of the first pack that are not ours
  int64_t end;          // in elements from base
  int64_t whole_packs;  // those between the first and the last that reach out

  GPU_DEVICE Span(T* first, int64_t count)
      : base(first - misplaced(first)),
        shift(misplaced(first)),
        end(shift + count),
        whole_packs(end / kPack<T> - (shift != 0)) {}

  GPU_DEVICE bool whole(int64_t pack) const {
    const int64_t inner = pack - (shift != 0);
    return inner >= 0 && inner < whole_packs;
  }
  // Whether the element at that place from base is ours.
  GPU_DEVICE bool has(int64_t at) const { return at >= shift && at < end; }
};

// Packs first, first + step, ... into x[0], x[1], ...; 0 where there is none. All loads are
// issued before the first is used.
template <int kPacks, class T>
GPU_DEVICE void load_packs(const Span<const T>& span, int64_t first, int64_t step,
                           float (&x)[kPacks][kPack<T>]) {
  Words words[kPacks];
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const int64_t pack = first + k * step;
    if (span.whole(pack)) words[k] = load_words(span.base + pack * kPack<T>);
  }
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const int64_t pack = first + k * step;
    if (span.whole(pack)) {
      unpack<T>(words[k], x[k]);
    } else {
#pragma unroll
      for (int j = 0; j < kPack<T>; ++j) {
        const int64_t at = pack * kPack<T> + j;
        x[k][j] = span.has(at) ? widen(span.base[at]) : 0.0f;
      }
    }
  }
}

template <int kPacks, class T>
GPU_DEVICE void store_packs(const Span<T>& span, int64_t first, int64_t step,
                            const float (&x)[kPacks][kPack<T>]) {
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const int64_t pack = first + k * step;
    if (span.whole(pack)) {
      store_words(span.base + pack * kPack<T>, gpu::pack<T>(x[k]));
    } else {
#pragma unroll
      for (int j = 0; j < kPack<T>; ++j) {
        const int64_t at = pack * kPack<T> + j;
        if (span.has(at)) span.base[at] = narrow<T>(x[k][j]);
      }
    }
  }
}

// Begins to copy a run of elements to the block's memory, by `threads` of it, of which this is that
// one, the 16 bytes that its ends lie in as a whole. Its first element will be at memory +
// misplaced(first).
template <class T>
GPU_DEVICE void fetch_run(const T* first, int32_t count, T* memory, int threads = block_threads(),
                          int thread = thread_id()) {
  if (count <= 0) return;
  const int shift = misplaced(first);
  const int32_t packs = (shift + count + kPack<T> - 1) / kPack<T>;
  for (int32_t pack = thread; pack < packs; pack += threads) {
    copy_16_later(memory + pack * kPack<T>, first - shift + int64_t{pack} * kPack<T>);
  }
}

// The other way round, when the block's threads have met: from its memory, where what goes to first
// is at memory + misplaced(first). By `threads`, of which this is that one.
template <class T>
GPU_DEVICE void store_run(T* first, int32_t count, const T* memory, int threads = block_threads(),
                          int thread = thread_id()) {
  const int32_t shift = misplaced(first), end = shift + count;
  T* const base = first - shift;
  for (int32_t at = thread * kPack<T>; at < end; at += threads * kPack<T>) {
    if (at >= shift && at + kPack<T> <= end) {
      store_words(base + at, load_words(memory + at));
      continue;
    }
#pragma unroll 1
    for (int32_t e = at < shift ? shift : at; e < at + kPack<T> && e < end; ++e)
      base[e] = memory[e];
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_SPAN_H_
