// The usual windows of three dimensions, and of planes 3x3 at stride 2, of 16-bit elements in
// contiguous images: a thread has a
// pack of columns, two to a word, and their neighbours, and goes along the depth. It looks for the
// largest element of each column of the window first, both columns of a word at once, and keeps a
// frame's for the windows behind; where it was, 8 bits say. A window's columns then compete as
// integers, of which the upper half is the element, in an order that integers have, and the lower
// one prefers the first place; ties between columns are decided by it. The result is read again
// from its place, so that it is the element to the bit. A NaN wins, and has its window looked
// through again. Bound: memory, the image once and its results: some 65 instructions per result of
// 3x3x3, where elements one by one take 245.
#ifndef POLYOPS_GPU_MAX_POOL_WORDS_H_
#define POLYOPS_GPU_MAX_POOL_WORDS_H_

#include <cstdint>
#include <type_traits>

#include "gpu.h"
#include "pool2d/forward.h"
#include "pool2d/largest.h"
#include "pool2d/layout.h"
#include "pool2d/tap.h"
#include "volume.h"
#include "windows.h"

namespace polyops::gpu {
namespace {

// How a thread's columns lie, with those of its neighbours: words on the left, its own, on the
// right.
template <class C, int kWords_, int kPadding_>
struct Columns {
  static constexpr int kPadding = kPadding_;
  static constexpr int kWords = kWords_;
  static constexpr int kLeft = kPadding > 0 ? 1 : 0;
  static constexpr int kRight = C::kSize - C::kStride > kPadding ? 1 : 0;
  static constexpr int kAll = kLeft + kWords + kRight;
  static constexpr int kResults = 2 * kWords / C::kStride;
  // Of all columns the first of a result's.
  GPU_DEVICE static constexpr int first(int result) {
    return 2 * kLeft + result * C::kStride - kPadding;
  }
};

// Where in a window, in a word's halves: the sooner, the larger. frame and row are below 4, a
// column, which is added later on, is below 16.
constexpr uint32_t kOfBoth = 0x00010001;
GPU_DEVICE constexpr uint32_t code_of(int frame, int row) {
  return kOfBoth * static_cast<uint32_t>(255 - frame * 64 - row * 16);
}

// What any key is larger than.
constexpr int kNoKey = -0x7fffffff - 1;

// The largest elements of columns, and their codes.
template <class T, int kAll>
struct ColumnWords {
  uint32_t value[kAll], code[kAll];

  GPU_DEVICE void take(int n, uint32_t x, uint32_t x_code) {
    const uint32_t larger = larger2<T>(x, value[n]);
    value[n] = max2<T>(value[n], x);
    code[n] = (x_code & larger) | (code[n] & ~larger);
  }
};

// As integers: the element, in its order, and the code, from which its column is subtracted.
template <class T, int kAll>
GPU_DEVICE void keys_of(const ColumnWords<T, kAll>& columns, int (&keys)[2 * kAll]) {
#pragma unroll
  for (int n = 0; n < kAll; ++n) {
    const uint32_t value = without_minus_zero2<T>(columns.value[n]);
    const uint32_t ordered = value ^ ((value >> 15 & kOfBoth) * 0x7fff);
    const uint32_t code = columns.code[n] - static_cast<uint32_t>(2 * n | (2 * n + 1) << 16);
    keys[2 * n] = static_cast<int>(ordered << 16 | (code & 0xffff));
    keys[2 * n + 1] = static_cast<int>((ordered & 0xffff0000) | code >> 16);
  }
}

template <class T>
GPU_DEVICE bool is_nan_key(int key) {
  return key >> 16 > (std::is_same_v<T, bf16> ? 0x7f80 : 0x7c00);
}

// The place of the last NaN of a window that has one.
template <class T, class C>
GPU_DEVICE int last_nan(const T* src, const Axes<Axis>& axes, int d0, int h0, int w0) {
  int found = 0;
#pragma unroll 1
  for (int i = 0; i < C::kDeepSize * C::kSize * C::kSize; ++i) {
    const int d = nearest(d0 + i / (C::kSize * C::kSize), axes.deep.in);
    const int h = nearest(h0 + i / C::kSize % C::kSize, axes.high.in);
    const int place = axes.place(d, h, nearest(w0 + i % C::kSize, axes.wide.in));
    const float x = widen(src[place]);
    if (x != x && place > found) found = place;
  }
  return found;
}

// A row's words, from its column on that is this thread's first.
template <class T, class Lay>
GPU_DEVICE void load_row_words(const T* row, int before, int behind, uint32_t (&words)[Lay::kAll]) {
  if constexpr (Lay::kLeft > 0) words[0] = reinterpret_cast<const OneWord*>(row + before)->w;
  if constexpr (Lay::kWords == 4) {
    const Words four = load_words(row);
#pragma unroll
    for (int n = 0; n < 4; ++n) words[Lay::kLeft + n] = four.w[n];
  } else {
    const HalfPack two = *reinterpret_cast<const HalfPack*>(row);
    words[Lay::kLeft] = two.w[0];
    words[Lay::kLeft + 1] = two.w[1];
  }
  if constexpr (Lay::kRight > 0) {
    words[Lay::kAll - 1] = reinterpret_cast<const OneWord*>(row + behind)->w;
  }
}

// What a window's columns come to: `count` results from dst on, whose windows begin in frame d, row
// h.
template <class T, class C, class Lay>
GPU_DEVICE void store_results(const Largest<T>& op, const T* src, int64_t dst, int d, int h,
                              int column, const ColumnWords<T, Lay::kAll>& columns,
                              const Axes<Axis>& axes) {
  int keys[2 * Lay::kAll];
  keys_of(columns, keys);
  if (Lay::kLeft > 0 && column == 0) keys[1] = kNoKey;
  if (Lay::kRight > 0 && column + 2 * Lay::kWords == axes.wide.in) {
    keys[2 * Lay::kAll - 2] = kNoKey;
  }
  constexpr int kTogether = Lay::kResults < 4 ? Lay::kResults : 4;
  int places[Lay::kResults];
  T values[Lay::kResults];
#pragma unroll
  for (int j = 0; j < Lay::kResults; ++j) {
    int best = keys[Lay::first(j)];
#pragma unroll
    for (int k = 1; k < C::kSize; ++k) {
      best = best > keys[Lay::first(j) + k] ? best : keys[Lay::first(j) + k];
    }
    const int at = ~best & 255, frame = d + (at >> 6), row = h + (at >> 4 & 3);
    places[j] =
        axes.place(frame < 0 ? 0 : frame, row < 0 ? 0 : row, column - 2 * Lay::kLeft + (at & 15));
    if (is_nan_key<T>(best)) {
      places[j] = last_nan<T, C>(src, axes, d, h, column + j * C::kStride - Lay::kPadding);
    }
    values[j] = src[places[j]];
  }
#pragma unroll
  for (int j = 0; j < Lay::kResults; j += kTogether) {
    float some[kTogether];
    int at[kTogether];
#pragma unroll
    for (int i = 0; i < kTogether; ++i) some[i] = widen(values[j + i]), at[i] = places[j + i];
    Tap<T, kTogether>::store(op.dst + dst + j, some);
    store_indices(op.indices + dst + j, at);
  }
}

// kPlanes: frames are images of their own, each of which counts its places.
template <class T, class C, int kWords, bool kPlanes, int kPadding>
GPU_KERNEL(kPoolThreads)
volume_words(Largest<T> op, Grid grid, Division packs, Axes<Axis> axes) {
  await_earlier();
  using Lay = Columns<C, kWords, kPadding>;
  constexpr int kAll = Lay::kAll;
  constexpr int kKept = C::kDeepSize > C::kDeepStride ? C::kDeepSize - C::kDeepStride : 0;
  const Place at(grid, axes.deep.out);
  if (!at.inside) return;
  auto rest = static_cast<uint32_t>(at.column);
  const int column = static_cast<int>(take_remainder(packs, &rest)) * 2 * kWords;
  const int row = static_cast<int>(rest), top = axes.high.start(row);
  const int before = column == 0 ? 0 : -2;
  const int behind = column + 2 * kWords == axes.wide.in ? 2 * kWords - 2 : 2 * kWords;
  int rows[C::kSize];  // where they begin in a frame
#pragma unroll
  for (int r = 0; r < C::kSize; ++r)
    rows[r] = nearest(top + r, axes.high.in) * axes.wide.in + column;
  const T* src = op.src + at.image * op.src_image;
  const int frame = axes.high.in * axes.wide.in;
  const auto look_at = [&](int d, int k, ColumnWords<T, kAll>* columns) {
    const T* first = src + static_cast<uint32_t>(nearest(d, axes.deep.in) * frame);
    uint32_t words[C::kSize][kAll];
#pragma unroll
    for (int r = 0; r < C::kSize; ++r) {
      load_row_words<T, Lay>(first + rows[r], before, behind, words[r]);
    }
#pragma unroll
    for (int n = 0; n < kAll; ++n) {
      columns->value[n] = words[0][n];
      columns->code[n] = code_of(k, 0);
#pragma unroll
      for (int r = 1; r < C::kSize; ++r) columns->take(n, words[r][n], code_of(k, r));
    }
  };

  ColumnWords<T, kAll> frames[C::kDeepSize];
  int d = axes.deep.start(at.begin);
  int64_t dst = at.image * op.dst_image + axes.result(at.begin, row, column / C::kStride);
#pragma unroll
  for (int k = 0; k < kKept; ++k) look_at(d + k, k, &frames[k]);
  for (int z = at.begin; z < at.end; ++z, d += C::kDeepStride) {
#pragma unroll
    for (int k = kKept; k < C::kDeepSize; ++k) look_at(d + k, k, &frames[k]);
    ColumnWords<T, kAll> columns = frames[0];
#pragma unroll
    for (int k = 1; k < C::kDeepSize; ++k) {
#pragma unroll
      for (int n = 0; n < kAll; ++n) columns.take(n, frames[k].value[n], frames[k].code[n]);
    }
    const T* const image = kPlanes ? src + static_cast<uint32_t>(d * frame) : src;
    store_results<T, C, Lay>(op, image, dst, kPlanes ? 0 : d, top, column, columns, axes);
    dst += axes.high.out * axes.wide.out;
#pragma unroll
    for (int k = 0; k < kKept; ++k) {
      frames[k] = frames[k + C::kDeepStride];
#pragma unroll
      for (int n = 0; n < kAll; ++n) {
        frames[k].code[n] += code_of(0, 0) - code_of(C::kDeepStride, 0);
      }
    }
  }
}

template <class T, class C, int kWords, bool kPlanes, int kPadding>
int launch_words_of(const Largest<T>& op, const Images& images, const Axes<Axis>& axes,
                    const polyops_context* ctx) {
  constexpr int kKept = C::kDeepSize > C::kDeepStride ? C::kDeepSize - C::kDeepStride : 0;
  const int packs = axes.wide.in / (2 * kWords);
  const Grid grid =
      make_grid(ctx, images, 1, int64_t{packs} * axes.high.out, axes.deep.out, 1, kKept);
  return gpu::launch(volume_words<T, C, kWords, kPlanes, kPadding>, grid.shape(), ctx, op, grid,
                     Division(static_cast<uint32_t>(packs)), axes);
}

// Whether it was launched, and what that returned.
template <class T, class C, bool kPlanes = false, int kPadding = (C::kSize - 1) / 2>
bool launch_words(const Largest<T>& op, const Images& images, const Axes<Axis>& axes,
                  const polyops_context* ctx, int* status) {
  const bool aligned = all_aligned(op.src, op.dst) && all_aligned(op.indices, nullptr);
  if (!aligned || axes.wide.padding != kPadding || axes.wide.in != axes.wide.out * C::kStride) {
    return false;
  }
  if (axes.wide.in % 8 == 0) {
    *status = launch_words_of<T, C, 4, kPlanes, kPadding>(op, images, axes, ctx);
    return true;
  }
  if constexpr (kPlanes) {
    if (axes.wide.in % 4 == 0) {
      *status = launch_words_of<T, C, 2, kPlanes, kPadding>(op, images, axes, ctx);
      return true;
    }
  }
  return false;
}

// The same of planes of two dimensions: they are the frames of one volume. (Windows of 2 at stride
// 2 are 5 % faster through a block's memory, on a device of 132 multiprocessors.)
template <class T>
bool launch_plane_words(const Largest<T>& op, const polyops_pool2d_window& window,
                        const Images& images, const Axis& high, const Axis& wide,
                        const polyops_context* ctx, int* status) {
  if (images.channels != 1 || op.lowest_is_0) return false;
  polyops_pool2d_window one = {};
  one.size[0] = one.stride[0] = one.dilation[0] = 1;
  const Axes<Axis> axes(Axis(images.count, images.count, one, 0, false), high, wide);
  const Images all = {1, 1};
  using C = Cube<1, 1, 3, 2>;
  return is_square(window, 3, 2) && (launch_words<T, C, true, 1>(op, all, axes, ctx, status) ||
                                     launch_words<T, C, true, 0>(op, all, axes, ctx, status));
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_MAX_POOL_WORDS_H_
