// Gradients of pools: a thread gathers the gradients of an element's windows, so that nobody adds
// to what another one writes, and sums repeat bit for bit. Bound: memory, each gradient once, of
// largest elements 8 bytes of index with each. Of windows 2 and 3 high at strides of 1 and 2, a
// thread has a square of kStride elements, whose windows are the same but for constants, and goes
// down its column; the windows' rows that the next square needs stay in registers.
//
// An op is a type with
//   using Element; template <int kWide> struct Entry             a window, and what it gives
//   of_row(row, high)                                            what load() wants of a row
//   load<kWide>(entry, at, of_row, column, wide)
//   entry.add_to(sum, place)                                     of the element at that place
//   Element* grad_src; int64_t src_image, dst_image              elements of an image
#ifndef POLYOPS_GPU_POOL2D_BACKWARD_H_
#define POLYOPS_GPU_POOL2D_BACKWARD_H_

#include <cstdint>

#include "axis.h"
#include "forward.h"
#include "gpu.h"
#include "layout.h"
#include "tap.h"

namespace polyops::gpu {
namespace {

template <class Op, int kWide, class AnyAxis>
GPU_KERNEL(kPoolThreads)
pool2d_backward_windows(Op op, Grid grid, int channels, AnyAxis high, AnyAxis wide) {
  await_earlier();
  using T = typename Op::Element;
  const Place at(grid, high.in);
  if (!at.inside) return;
  const int64_t dst = at.image * op.dst_image + at.group * kWide;
  T* out = op.grad_src + at.image * op.src_image + at.group * kWide;
  const int left = wide.first_window(at.column), right = wide.windows_end(at.column);
  for (int h = at.begin; h < at.end; ++h) {
    const int place = h * wide.in + at.column;
    const int bottom = high.windows_end(h);
    float sum[kWide] = {};
    for (int r = high.first_window(h); r < bottom; ++r) {
      const auto of_row = op.of_row(r, high);
#pragma unroll 1
      for (int c = left; c < right; ++c) {
        typename Op::template Entry<kWide> entry;
        op.load(&entry, dst + (r * wide.out + c) * channels, of_row, c, wide);
        entry.add_to(sum, place);
      }
    }
    Tap<T, kWide>::store(out + place * channels, sum);
  }
}

// The windows of a square along an axis, seen from that at its number plus padding / kStride.
// kShift: padding modulo kStride.
template <int kSize, int kStride, int kShift>
struct SquareWindows {
  static constexpr int kFirst = -((kSize - 1 - kShift) / kStride);
  static constexpr int kCount = (kStride - 1 + kShift) / kStride - kFirst + 1;

  // Whether the square's i-th element is in its n-th window.
  GPU_DEVICE static constexpr bool has(int n, int i) {
    const int tap = i + kShift - (kFirst + n) * kStride;
    return tap >= 0 && tap < kSize;
  }
  GPU_DEVICE static int first(int square, const Axis& axis) {
    return square + axis.padding / kStride + kFirst;
  }
};

// Rows of windows that are loaded at once.
template <int kWide, int kSize>
inline constexpr int kSquaresBatch = kWide > 2 || kSize > 3 ? 1 : 2;

// Goes down a column of squares. source: an op, or its windows in shared memory; line: of row
// Windows::first(begin) of windows, the image's first; out: the first square's first element, of
// this thread's channels. Two elements of a row are one access if `paired`.
template <class T, int kWide, int kSize, int kStride, int kShift, class Entry, class Source>
GPU_DEVICE void gather_column(const Source& source, int64_t line, T* out, int channels,
                              int square_column, int begin, int end, bool paired, const Axis& high,
                              const Axis& wide) {
  using Windows = SquareWindows<kSize, kStride, kShift>;
  constexpr int kWindows = Windows::kCount, kKept = kWindows - 1;
  constexpr int kBatch = kSquaresBatch<kWide, kSize>;
  const int left = square_column * kStride, column = Windows::first(square_column, wide);
  int row = Windows::first(begin, high);
  const int needed = Windows::first(end - 1, high) + kWindows;
  const int bottom = needed < high.out ? needed : high.out;
  line += column * channels;
  bool inside[kWindows];
#pragma unroll
  for (int c = 0; c < kWindows; ++c) inside[c] = column + c >= 0 && column + c < wide.out;

  Entry entries[kKept + kBatch][kWindows];
  // Row row + r, which is the one below the last.
  const auto load = [&](int r) {
    const bool there = row + r >= 0 && row + r < bottom;
#pragma unroll
    for (int c = 0; c < kWindows; ++c) {
      entries[r][c].clear();
      if (there && inside[c]) source.load(&entries[r][c], line + c * channels);
    }
    line += wide.out * channels;
  };
#pragma unroll
  for (int r = 0; r < kKept; ++r) load(r);
  for (int square = begin; square < end; square += kBatch, row += kBatch) {
#pragma unroll
    for (int b = 0; b < kBatch; ++b) load(kKept + b);
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
#pragma unroll
      for (int i = 0; i < kStride; ++i) {
        const int h = (square + b) * kStride + i;
        if (square + b >= end || h >= high.in) break;
        float sums[kStride][kWide] = {};
#pragma unroll
        for (int j = 0; j < kStride; ++j) {
#pragma unroll
          for (int r = 0; r < kWindows; ++r) {
            if (!Windows::has(r, i)) continue;
#pragma unroll
            for (int c = 0; c < kWindows; ++c) {
              if (!Windows::has(c, j)) continue;
              entries[b + r][c].add_to(sums[j], h * wide.in + left + j);
            }
          }
        }
        T* const here = out;
        out += wide.in * channels;
        if constexpr (kWide == 1 && kStride == 2) {
          if (paired) {
            const float pair[2] = {sums[0][0], sums[1][0]};
            Tap<T, 2>::store(here, pair);
            continue;
          }
        }
#pragma unroll
        for (int j = 0; j < kStride; ++j) {
          if (left + j < wide.in) Tap<T, kWide>::store(here + j * channels, sums[j]);
        }
      }
    }
#pragma unroll
    for (int r = 0; r < kKept; ++r) {
#pragma unroll
      for (int c = 0; c < kWindows; ++c) entries[r][c] = entries[kBatch + r][c];
    }
  }
}

template <class Op, int kWide, int kSize, int kStride, int kShift>
GPU_KERNEL(kPoolThreads)
pool2d_backward_squares(Op op, Grid grid, int all_channels, bool paired, Axis high, Axis wide) {
  await_earlier();
  using T = typename Op::Element;
  const int channels = kWide == 1 ? 1 : all_channels;
  const Place at(grid, (high.in + kStride - 1) / kStride);
  if (!at.inside) return;
  const int row = SquareWindows<kSize, kStride, kShift>::first(at.begin, high);
  const int64_t line =
      at.image * op.dst_image + at.group * kWide + int64_t{row} * (wide.out * channels);
  T* out = op.grad_src + at.image * op.src_image + at.column * kStride * channels +
           at.group * kWide + int64_t{at.begin * kStride} * (wide.in * channels);
  gather_column<T, kWide, kSize, kStride, kShift, typename Op::template Entry<kWide>>(
      op, line, out, channels, at.column, at.begin, at.end, paired, high, wide);
}

// Calls f.operator()<kSize, kStride, kShift>() if squares are made for these windows. kWithHalves:
// of 3 by 3 at stride 2, too.
template <bool kWithFive, bool kWithHalves = true, class F>
bool with_squares(const polyops_pool2d_window& w, F f) {
  const int64_t padding = w.padding[0];
  if (padding != w.padding[1]) return false;
  if constexpr (kWithHalves) {
    if (is_square(w, 3, 2)) {
      if (padding % 2 == 0) {
        f.template operator()<3, 2, 0>();
      } else {
        f.template operator()<3, 2, 1>();
      }
      return true;
    }
  }
  if (is_square(w, 2, 2) && padding == 0) return f.template operator()<2, 2, 0>(), true;
  if (is_square(w, 3, 1)) return f.template operator()<3, 1, 0>(), true;
  if constexpr (kWithFive) {
    if (is_square(w, 5, 1)) return f.template operator()<5, 1, 0>(), true;
  }
  return false;
}

// Two elements of a row are one access.
template <class T>
bool goes_by_pairs(const T* grad_src, const Axis& wide) {
  return wide.in % 2 == 0 && reinterpret_cast<uintptr_t>(grad_src) % (2 * sizeof(T)) == 0;
}

template <class Op, int kWide, class AnyAxis>
int launch_backward_windows(const Op& op, const Images& images, const AnyAxis& high,
                            const AnyAxis& wide, const polyops_context* ctx) {
  const Grid grid = make_grid(ctx, images, kWide, wide.in, high.in, 1);
  return gpu::launch(pool2d_backward_windows<Op, kWide, AnyAxis>, grid.shape(), ctx, op, grid,
                     images.channels, high, wide);
}

template <class Op, int kWide>
int launch_backward(const Op& op, const polyops_pool2d_window& window, const Images& images,
                    const Axis& high, const Axis& wide, const polyops_context* ctx) {
  int status = POLYOPS_OK;
  const auto squares = [&]<int kSize, int kStride, int kShift>() {
    const Grid grid = make_grid(ctx, images, kWide, (wide.in + kStride - 1) / kStride,
                                (high.in + kStride - 1) / kStride, kSquaresBatch<kWide, kSize>,
                                (kSize - 1) / kStride);
    status =
        gpu::launch(pool2d_backward_squares<Op, kWide, kSize, kStride, kShift>, grid.shape(), ctx,
                    op, grid, images.channels, goes_by_pairs(op.grad_src, wide), high, wide);
  };
  // In planes launch_squares() has taken 3 by 3 at stride 2.
  if ((kWide > 1 || images.channels == 1) &&
      with_squares<kWide <= 2, (kWide > 1)>(window, squares)) {
    return status;
  }
  return launch_backward_windows<Op, kWide>(op, images, high, wide, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_BACKWARD_H_
