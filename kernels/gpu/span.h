// Elements that lie next to each other, as packs of 16 aligned bytes: the first pack may begin before
// them and the last end behind, so an odd row moves as fast as an even one. Packs that reach out go
// element by element, and nothing outside is touched.
#ifndef POLYOPS_GPU_SPAN_H_
#define POLYOPS_GPU_SPAN_H_

#include <cstdint>

#include "gpu.h"

namespace polyops::gpu {
namespace {

// Index: what counts its elements; of rows 32 bits, which cost less.
template <class T, class Index = int32_t>
struct Span {
  T* base;            // of the first pack; aligned
  int shift;          // elements of the first pack that are not ours
  Index end;          // in elements from base
  Index whole_packs;  // those between the first and the last that reach out

  GPU_DEVICE Span(T* first, Index count)
      : base(first - misplaced(first)),
        shift(misplaced(first)),
        end(shift + count),
        whole_packs(end / kPack<T> - (shift != 0)) {}

  GPU_DEVICE static int misplaced(const T* p) {
    return static_cast<int>(reinterpret_cast<uintptr_t>(p) % 16 / sizeof(T));
  }

  GPU_DEVICE Index packs() const { return (end + kPack<T> - 1) / kPack<T>; }
  GPU_DEVICE bool whole(Index pack) const {
    const Index inner = pack - (shift != 0);
    return inner >= 0 && inner < whole_packs;
  }
  // Whether the element at that place from base is ours.
  GPU_DEVICE bool has(Index at) const { return at >= shift && at < end; }
};

// Packs first, first + step, ... into x[0], x[1], ...; `fill` where there is none. All loads are
// issued before the first is used.
template <int kPacks, class T, class Index>
GPU_DEVICE void load_packs(const Span<const T, Index>& span, Index first, Index step, float fill,
                           float (&x)[kPacks][kPack<T>]) {
  Words words[kPacks];
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const Index pack = first + k * step;
    if (span.whole(pack)) words[k] = load_words(span.base + pack * kPack<T>);
  }
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const Index pack = first + k * step;
    if (span.whole(pack)) {
      unpack<T>(words[k], x[k]);
    } else {
#pragma unroll
      for (int j = 0; j < kPack<T>; ++j) {
        const Index at = pack * kPack<T> + j;
        x[k][j] = span.has(at) ? widen(span.base[at]) : fill;
      }
    }
  }
}

// The same packs of a span that has `like`'s elements: if it is cut in other places, one by one.
template <int kPacks, class T, class U, class Index>
GPU_DEVICE void store_packs(const Span<T, Index>& span, const Span<U, Index>& like, Index first,
                            Index step, const float (&x)[kPacks][kPack<T>]) {
  const Index moved = span.shift - like.shift;
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const Index pack = first + k * step;
    if (moved == 0 && span.whole(pack)) {
      store_words(span.base + pack * kPack<T>, gpu::pack<T>(x[k]));
    } else {
#pragma unroll
      for (int j = 0; j < kPack<T>; ++j) {
        const Index at = pack * kPack<T> + j + moved;
        if (span.has(at)) span.base[at] = narrow<T>(x[k][j]);
      }
    }
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_SPAN_H_
