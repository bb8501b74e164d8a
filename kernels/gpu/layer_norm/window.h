// Elements of a row as packs cut where another row is: pack k holds elements k * kCount - shift to
// (k + 1) * kCount - shift, whatever the alignment of the memory. Where the cuts agree it is one
// aligned access; where they do not, two and a shift (15 instructions per pack of 16 bits, against
// 8 loads).
//
// Loads are of 16 aligned bytes if one element in them is ours: what lies beside it in the same 16
// bytes can be read, in no page of its own, and is thrown away. Nothing else is stored.
#ifndef POLYOPS_GPU_LAYER_NORM_WINDOW_H_
#define POLYOPS_GPU_LAYER_NORM_WINDOW_H_

#include "gpu.h"
#include "row.h"

namespace polyops::gpu {
namespace {

// The same, for a rare path: what follows from it is not prepared, in registers, ahead of the
// branch or of a loop around it.
GPU_DEVICE int32_t forgotten(int32_t x) {
  auto bits = static_cast<uint32_t>(x);
  forget_bits(&bits);
  return static_cast<int32_t>(bits);
}

// Packs of a row of n elements whose first pack begins `shift` elements before it.
struct Grid {
  int32_t n, shift, count;  // elements per pack

  GPU_DEVICE int32_t first(int32_t pack) const { return pack * count - shift; }
  GPU_DEVICE bool whole(int32_t pack) const {
    const int32_t at = first(pack);
    return at >= 0 && at + count <= n;
  }
  GPU_DEVICE bool has(int32_t at) const { return static_cast<uint32_t>(at) < uint32_t(n); }
};

// U: what lies in memory; kCount elements of it per pack, 16 or 32 bytes.
template <class U, int kCount>
struct Window {
  static constexpr int kPer = kPack<U>;
  static constexpr int kParts = kCount / kPer;

  const U* base;  // aligned
  int32_t end;    // in elements from base
  int32_t moved;  // of the memory's cuts against the packs'

  GPU_DEVICE Window(const U* p, const Grid& cut)
      : base(p - misplaced(p)), end(misplaced(p) + cut.n), moved(misplaced(p) - cut.shift) {}

  GPU_DEVICE Words part(int32_t at) const {
    Words words = {};
    if (static_cast<uint32_t>(at) < static_cast<uint32_t>(end)) words = load_words(base + at);
    return words;
  }

  GPU_DEVICE void load(int32_t pack, Words (&out)[kParts]) const {
    const int32_t rest = moved & (kPer - 1);
    const int32_t at = pack * kCount + moved - rest;
#pragma unroll
    for (int i = 0; i < kParts; ++i) out[i] = part(at + i * kPer);
    if (rest != 0) shift(rest, part(at + kParts * kPer), out);
  }

  // Drops the first `rest` elements of out and fills up with `next`.
  GPU_DEVICE static void shift(int32_t rest, const Words& next, Words (&out)[kParts]) {
    constexpr int kWords = 4 * kParts;
    rest = forgotten(rest);
    uint32_t w[kWords + 4];
#pragma unroll
    for (int i = 0; i < kWords; ++i) w[i] = out[i / 4].w[i % 4];
#pragma unroll
    for (int i = 0; i < 4; ++i) w[kWords + i] = next.w[i];
    const int words = rest * static_cast<int>(sizeof(U)) / 4;
#pragma unroll
    for (int i = 0; i < kWords + 2; ++i) w[i] = (words & 2) != 0 ? w[i + 2] : w[i];
#pragma unroll
    for (int i = 0; i < kWords + 1; ++i) w[i] = (words & 1) != 0 ? w[i + 1] : w[i];
    if constexpr (sizeof(U) == 2) {
      const bool odd = (rest & 1) != 0;
#pragma unroll
      for (int i = 0; i < kWords; ++i) w[i] = odd ? w[i] >> 16 | w[i + 1] << 16 : w[i];
    }
#pragma unroll
    for (int i = 0; i < kWords; ++i) out[i / 4].w[i % 4] = w[i];
  }
};

// A value as the words that mask_row() fills with.
template <class T>
GPU_DEVICE uint32_t fill_bits(float x) {
  if constexpr (sizeof(T) == 4) {
    return float_bits(x);
  } else {
    return narrow2<T>(x, x);
  }
}

// The words with `fill` (in both halves of it, for 16 bits) in place of what is not the row's.
template <class T>
GPU_DEVICE void mask_words(const Grid& cut, int32_t pack, uint32_t fill, Words* words) {
  const int32_t first = forgotten(cut.first(pack));
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    uint32_t ours = 0;
    if constexpr (sizeof(T) == 4) {
      ours = cut.has(first + i) ? 0xffffffffu : 0;
    } else {
      if (cut.has(first + 2 * i)) ours = 0xffffu;
      if (cut.has(first + 2 * i + 1)) ours |= 0xffff0000u;
    }
    words->w[i] = (words->w[i] & ours) | (fill & ~ours);
  }
}

// Packs first, first + step, ...: all loads are issued before the first is used.
template <int kPacks, class T>
GPU_DEVICE void load_window(const Window<T, kPack<T>>& row, int32_t first, int32_t step,
                            Words (&x)[kPacks]) {
  const int32_t rest = row.moved & (kPack<T> - 1);
  const int32_t moved = row.moved - rest;
#pragma unroll
  for (int k = 0; k < kPacks; ++k) x[k] = row.part((first + k * step) * kPack<T> + moved);
  if (rest == 0) return;
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {  // what is still missing lies in a cache
    Words one[1] = {x[k]};
    const int32_t next = forgotten(first + k * step + 1) * kPack<T> + moved;
    Window<T, kPack<T>>::shift(rest, row.part(next), one);
    x[k] = one[0];
  }
}

template <int kPacks, class T>
GPU_DEVICE void mask_row(const Grid& cut, int32_t first, int32_t step, uint32_t fill,
                         Words (&x)[kPacks]) {
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    if (!cut.whole(first + k * step)) mask_words<T>(cut, first + k * step, fill, &x[k]);
  }
}

// A pack of the row at p, from values.
template <class T>
GPU_DEVICE void store_window(T* p, const Grid& cut, int32_t pack, const float (&y)[kPack<T>]) {
  if (misplaced(p) == cut.shift && cut.whole(pack)) {
    store_words(p + cut.first(pack), gpu::pack<T>(y));
    return;
  }
  const int32_t first = forgotten(cut.first(pack));
#pragma unroll
  for (int j = 0; j < kPack<T>; ++j) {
    if (cut.has(first + j)) p[first + j] = narrow<T>(y[j]);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_WINDOW_H_
