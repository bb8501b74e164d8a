// How scores of images by classes by pixels are read: a thread has four pixels of an image and
// walks their classes. Where planes are whole packs its pixels are neighbours, and a class is one
// access; else they are a block's width apart, and a class is four, each of a run of memory for the
// wave.
#ifndef POLYOPS_GPU_CROSS_ENTROPY_PIXELS_PLACE_H_
#define POLYOPS_GPU_CROSS_ENTROPY_PIXELS_PLACE_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "polyops/tensor_view.h"

namespace polyops::gpu {
namespace {

constexpr int kPixelThreads = 128;
constexpr int kQuad = 4;
constexpr int kTile = kPixelThreads * kQuad;

template <class T>
inline constexpr int kQuadWords = static_cast<int>(sizeof(T));

// Of one class.
template <class T>
struct alignas(kQuad * sizeof(T)) Quad {
  uint32_t w[kQuadWords<T>];
} __attribute__((may_alias));

// Classes in a thread's registers, 64 bytes.
template <class T>
inline constexpr int kRows = 16 / static_cast<int>(sizeof(T));

template <class T>
GPU_DEVICE void unpack(const Quad<T>& quad, float (&x)[kQuad]) {
  if constexpr (sizeof(T) == 4) {
#pragma unroll
    for (int j = 0; j < kQuad; ++j) x[j] = float_of_bits(quad.w[j]);
  } else {
#pragma unroll
    for (int i = 0; i < 2; ++i) widen2<T>(quad.w[i], &x[2 * i], &x[2 * i + 1]);
  }
}

template <class T>
GPU_DEVICE Quad<T> pack_quad(const float (&x)[kQuad]) {
  Quad<T> quad;
  if constexpr (sizeof(T) == 4) {
#pragma unroll
    for (int j = 0; j < kQuad; ++j) quad.w[j] = float_bits(x[j]);
  } else {
#pragma unroll
    for (int i = 0; i < 2; ++i) quad.w[i] = narrow2<T>(x[2 * i], x[2 * i + 1]);
  }
  return quad;
}

struct alignas(2) HalfWord {
  uint16_t w;
} __attribute__((may_alias));

// f(j): where the element of its j-th pixel is.
template <class T, class F>
GPU_DEVICE Quad<T> gather_quad(F f) {
  Quad<T> quad;
  if constexpr (sizeof(T) == 4) {
#pragma unroll
    for (int j = 0; j < kQuad; ++j) quad.w[j] = float_bits(*f(j));
  } else {
    uint32_t half[kQuad];
#pragma unroll
    for (int j = 0; j < kQuad; ++j) half[j] = reinterpret_cast<const HalfWord*>(f(j))->w;
#pragma unroll
    for (int i = 0; i < 2; ++i) quad.w[i] = half[2 * i] | half[2 * i + 1] << 16;
  }
  return quad;
}

// The reverse.
template <class T, class F>
GPU_DEVICE void scatter_quad(const Quad<T>& quad, F f) {
#pragma unroll
  for (int j = 0; j < kQuad; ++j) {
    if constexpr (sizeof(T) == 4) {
      *f(j) = float_of_bits(quad.w[j]);
    } else {
      reinterpret_cast<HalfWord*>(f(j))->w = static_cast<uint16_t>(quad.w[j / 2] >> j % 2 * 16);
    }
  }
}

// The sizes of a call, and how its images are cut into tiles.
struct Tiling {
  Division tiles;  // of an image
  uint32_t pixels;
  int classes;
  bool quads;  // pixels are neighbours, in all tensors; of channels_last in the gradient
};

// Of a thread in a block of which so many threads have the tile's pixels, one by one; the next so
// many have the same ones.
template <int kGroup>
struct PlaceOf {
  uint32_t image;
  uint32_t begin;  // of the block's pixels
  uint32_t first;
  uint32_t step;  // to the next of its pixels
  bool inside;    // has pixels
  bool whole;     // all of the block's are there

  GPU_DEVICE explicit PlaceOf(const Tiling& t) {
    image = static_cast<uint32_t>(block_id());
    begin = take_remainder(t.tiles, &image) * (kGroup * kQuad);
    step = t.quads ? 1 : kGroup;
    first = begin + thread_id() % kGroup * (t.quads ? kQuad : 1);
    inside = first < t.pixels;
    whole = t.pixels - begin >= kGroup * kQuad;
  }
  GPU_DEVICE uint32_t pixel(int j) const { return first + j * step; }
  GPU_DEVICE bool has(const Tiling& t, int j) const { return pixel(j) < t.pixels; }
  GPU_DEVICE uint32_t sample(const Tiling& t, int j) const { return image * t.pixels + pixel(j); }
};
using Place = PlaceOf<kPixelThreads>;

template <class T>
struct Scores {
  const T* data;
  int64_t image, plane, pixel;  // strides
};

// Classes begin, begin + 1, ... of them, `rows` of which there are. All loads are issued before the
// first is used: by predicates, for behind a branch each would be waited for. The pixels that an
// image has not are its last one.
template <class T>
GPU_DEVICE void load_rows(const Scores<T>& s, const Tiling& t, const Place& at, int begin, int rows,
                          Quad<T> (&x)[kRows<T>]) {
  const T* p = s.data + at.image * s.image + begin * s.plane + at.first * s.pixel;
  if (t.quads) {
#pragma unroll
    for (int k = 0; k < kRows<T>; ++k) {
      if (k >= rows) continue;
      x[k] = *reinterpret_cast<const Quad<T>*>(p + k * s.plane);
    }
  } else if (at.whole && s.pixel == 1) {
#pragma unroll
    for (int k = 0; k < kRows<T>; ++k) {
      if (k >= rows) continue;
      const T* row = p + k * s.plane;
      x[k] = gather_quad<T>([&](int j) { return row + j * kPixelThreads; });
    }
  } else {
    int64_t step[kQuad];
#pragma unroll
    for (int j = 0; j < kQuad; ++j) {
      step[j] = ((at.has(t, j) ? at.pixel(j) : t.pixels - 1) - at.first) * s.pixel;
    }
#pragma unroll
    for (int k = 0; k < kRows<T>; ++k) {
      if (k >= rows) continue;
      const T* row = p + k * s.plane;
      x[k] = gather_quad<T>([&](int j) { return row + step[j]; });
    }
  }
}

// The next kRows classes, or as many as there are.
template <class T>
GPU_DEVICE void load_classes(const Scores<T>& s, const Tiling& t, const Place& at, int begin,
                             Quad<T> (&x)[kRows<T>]) {
  const int rows = t.classes - begin;
  if (rows >= kRows<T>) {
    load_rows(s, t, at, begin, kRows<T>, x);
  } else {
    load_rows(s, t, at, begin, rows, x);
  }
}

// A class of the thread's pixels; out: where the first one's is.
template <class T, int kGroup>
GPU_DEVICE void store_class(const Tiling& t, const PlaceOf<kGroup>& at, T* out,
                            const float (&x)[kQuad]) {
  if (t.quads) {
    *reinterpret_cast<Quad<T>*>(out) = pack_quad<T>(x);
    return;
  }
#pragma unroll
  for (int j = 0; j < kQuad; ++j) {
    if (at.whole || at.has(t, j)) out[j * kGroup] = narrow<T>(x[j]);
  }
}

// ---- From the host.

inline int64_t tiles_of(int64_t pixels, int tile) { return (pixels + tile - 1) / tile; }

inline int64_t pixel_blocks(const polyops_tensor& src, int tile = kTile) {
  return src.sizes[0] * tiles_of(src.sizes[2], tile);
}

inline Tiling tiling_of(const polyops_tensor& src, bool quads, int tile = kTile) {
  const int64_t pixels = src.sizes[2];
  return {Division(static_cast<uint32_t>(tiles_of(pixels, tile))), static_cast<uint32_t>(pixels),
          static_cast<int>(src.sizes[1]), quads};
}

// Whether quads of pixels lie next to each other in it, aligned.
template <class T>
bool has_quads(const polyops_tensor& t) {
  if (reinterpret_cast<uintptr_t>(t.data) % sizeof(Quad<T>) != 0) return false;
  if (t.sizes[2] % kQuad != 0 || t.strides[2] != 1) return false;
  return (t.sizes[1] == 1 || t.strides[1] % kQuad == 0) &&
         (t.sizes[0] == 1 || t.strides[0] % kQuad == 0);
}

template <class T>
Scores<T> scores_of(const polyops_tensor& t) {
  return {static_cast<const T*>(t.data), t.strides[0], t.strides[1], t.strides[2]};
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CROSS_ENTROPY_PIXELS_PLACE_H_
