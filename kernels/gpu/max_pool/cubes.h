// The gradient of largest elements, of the usual windows of three dimensions: a thread has a cube
// of as many elements as the strides are large, whose windows are the same but for constants, and
// goes along the depth; the windows that the next cube needs stay in registers. Those of single
// elements of 16 bits, of which little is on its way, are read while the cube before is written.
// Nobody adds to what another one writes. Bound: memory, the gradients and indices once.
#ifndef POLYOPS_GPU_MAX_POOL_CUBES_H_
#define POLYOPS_GPU_MAX_POOL_CUBES_H_

#include <cstdint>
#include <type_traits>

#include "gpu.h"
#include "pool2d/backward.h"
#include "pool2d/largest.h"
#include "pool2d/layout.h"
#include "pool2d/tap.h"
#include "volume.h"
#include "windows.h"

namespace polyops::gpu {
namespace {

// kShift: the padding modulo the stride, of all dimensions that have a stride.
template <class C, int kShift>
struct CubeWindows {
  using Deep = SquareWindows<C::kDeepSize, C::kDeepStride, C::kDeepStride == 1 ? 0 : kShift>;
  using Flat = SquareWindows<C::kSize, C::kStride, kShift>;
};

// Squares of a frame, and cubes along the depth.
struct Cubes {
  Division columns;
  int deep;
};

// A window of one channel as it is in memory, and what becomes of it.
template <class T>
struct RawWindow {
  T grad;
  int64_t index;
};
struct WideWindow {
  float grad;
  int at;

  GPU_DEVICE void add_to(float (&sum)[1], int place) const {
    sum[0] = at == place ? sum[0] + grad : sum[0];
  }
};

// A square's windows in each frame of them. A row of windows that is none is read as the next one
// that is, and held for nothing. Offsets of 32 bits reach everything.
template <class T, int kWide, int kWindows>
struct FrameWindows {
  using Entry = typename LargestGradient<T>::template Entry<kWide>;
  struct Raw {
    RawWindow<T> windows[kWindows][kWindows];
    uint32_t none;

    GPU_DEVICE Raw() {
#pragma unroll
      for (int i = 0; i < kWindows * kWindows; ++i) {
        windows[i / kWindows][i % kWindows] = {narrow<T>(0.0f), -1};
      }
    }
  };
  int lines[kWindows];
  uint32_t beside[kWindows];
  bool inside[kWindows];
  int channels, frame, frames;

  GPU_DEVICE FrameWindows(const LargestGradient<T>& op, const Place& at, int row, int column,
                          int of_pixel, const Axes<Axis>& axes)
      : channels(of_pixel), frame(axes.high.out * axes.wide.out * of_pixel), frames(axes.deep.out) {
#pragma unroll
    for (int r = 0; r < kWindows; ++r) {
      const int there = nearest(row + r, axes.high.out);
      lines[r] = static_cast<int>(at.image * op.dst_image) + at.group * kWide +
                 (there * axes.wide.out + column) * channels;
      beside[r] = there != row + r ? 1 : 0;
      forget_bits(&beside[r]);  // else each use compares again
      inside[r] = column + r >= 0 && column + r < axes.wide.out;
    }
  }
  GPU_DEVICE void load(const LargestGradient<T>& op, int window,
                       Entry (&entries)[kWindows][kWindows]) const {
    const int there = nearest(window, frames);
    uint32_t none = there != window ? 1 : 0;
    forget_bits(&none);
#pragma unroll
    for (int r = 0; r < kWindows; ++r) {
      const int first = lines[r] + there * frame;
      LargestGradient<T> line = op;  // of single elements from here on, by constants
      if (kWide == 1) line.grad_dst += first, line.indices += first;
#pragma unroll
      for (int c = 0; c < kWindows; ++c) {
        const auto offset = static_cast<uint32_t>(first + c * channels);
        entries[r][c].clear();
        if (inside[c]) {
          line.load_unless(&entries[r][c], kWide == 1 ? c : offset, beside[r] | none);
        }
      }
    }
  }
  // The same of single elements in two steps. What is beside a row stays as it was.
  GPU_DEVICE void read(const LargestGradient<T>& op, int window, Raw* raw) const {
    const int there = nearest(window, frames);
    raw->none = there != window ? 1 : 0;
#pragma unroll
    for (int r = 0; r < kWindows; ++r) {
      const int first = lines[r] + there * frame;
#pragma unroll
      for (int c = 0; c < kWindows; ++c) {
        if (!inside[c]) continue;
        raw->windows[r][c] = {(op.grad_dst + first)[c], (op.indices + first)[c]};
      }
    }
  }
  GPU_DEVICE void take(const Raw& raw, WideWindow (&windows)[kWindows][kWindows]) const {
#pragma unroll
    for (int r = 0; r < kWindows; ++r) {
#pragma unroll
      for (int c = 0; c < kWindows; ++c) {
        const auto index = static_cast<uint64_t>(raw.windows[r][c].index);
        const auto high = static_cast<uint32_t>(index >> 32);
        windows[r][c] = {widen(raw.windows[r][c].grad),
                         place_of(static_cast<uint32_t>(index), high | beside[r] | raw.none)};
      }
    }
  }
};

template <class T, int kWide, class C, int kShift>
GPU_KERNEL(kPoolThreads)
volume_cubes(LargestGradient<T> op, Grid grid, Cubes cubes, int all_channels, bool paired,
             Axes<Axis> axes) {
  await_earlier();
  using Deep = typename CubeWindows<C, kShift>::Deep;
  using Flat = typename CubeWindows<C, kShift>::Flat;
  constexpr int kWindows = Flat::kCount, kFrames = Deep::kCount;
  constexpr bool kAhead = kFrames > 1 && kWide == 1 && sizeof(T) == 2;
  const int channels = kWide == 1 ? 1 : all_channels;
  const Place at(grid, cubes.deep);
  if (!at.inside) return;
  auto square_row = static_cast<uint32_t>(at.column);
  const auto square = static_cast<int>(take_remainder(cubes.columns, &square_row));
  const int row = Flat::first(static_cast<int>(square_row), axes.high);
  const int column = Flat::first(square, axes.wide);
  const int left = square * C::kStride, top = static_cast<int>(square_row) * C::kStride;
  const auto image = static_cast<uint32_t>(at.image * op.src_image + at.group * kWide);

  const FrameWindows<T, kWide, kWindows> windows(op, at, row, column, channels, axes);
  using Entry = typename LargestGradient<T>::template Entry<kWide>;
  std::conditional_t<kAhead, WideWindow, Entry> entries[kFrames][kWindows][kWindows];
  [[maybe_unused]] typename FrameWindows<T, kWide, kWindows>::Raw next;
  int window = Deep::first(at.begin, axes.deep);
  const auto load = [&](int f) {
    if constexpr (kAhead) {
      windows.take(next, entries[f]);
      windows.read(op, window + f + 1, &next);
    } else {
      windows.load(op, window + f, entries[f]);
    }
  };
  if constexpr (kAhead) windows.read(op, window, &next);
#pragma unroll
  for (int f = 0; f < kFrames - 1; ++f) load(f);
#pragma unroll(kAhead ? 1 : kFrames)
  for (int cube = at.begin; cube < at.end; ++cube, ++window) {
    load(kFrames - 1);
#pragma unroll
    for (int z = 0; z < C::kDeepStride; ++z) {
      const int d = cube * C::kDeepStride + z;
      if (d >= axes.deep.in) break;
#pragma unroll
      for (int i = 0; i < C::kStride; ++i) {
        if (top + i >= axes.high.in) break;
        const int place = axes.place(d, top + i, left);
        float sums[C::kStride][kWide] = {};
#pragma unroll
        for (int j = 0; j < C::kStride; ++j) {
#pragma unroll
          for (int f = 0; f < kFrames; ++f) {
            if (!Deep::has(f, z)) continue;
#pragma unroll
            for (int r = 0; r < kWindows; ++r) {
              if (!Flat::has(r, i)) continue;
#pragma unroll
              for (int c = 0; c < kWindows; ++c) {
                if (Flat::has(c, j)) entries[f][r][c].add_to(sums[j], place + j);
              }
            }
          }
        }
        T* const out = op.grad_src + (image + static_cast<uint32_t>(place * channels));
        if constexpr (kWide == 1 && C::kStride == 2) {
          if (paired) {
            const float pair[2] = {sums[0][0], sums[1][0]};
            Tap<T, 2>::store(out, pair);
            continue;
          }
        }
#pragma unroll
        for (int j = 0; j < C::kStride; ++j) {
          if (left + j < axes.wide.in) Tap<T, kWide>::store(out + j * channels, sums[j]);
        }
      }
    }
#pragma unroll
    for (int f = 0; f < kFrames - 1; ++f) {
#pragma unroll
      for (int r = 0; r < kWindows; ++r) {
#pragma unroll
        for (int c = 0; c < kWindows; ++c) entries[f][r][c] = entries[f + 1][r][c];
      }
    }
  }
}

// The same at stride 1: a thread has an element of each frame. When a frame of windows comes by, it
// adds what they have to the elements that they reach, so that sums stay in registers, and no
// windows.
template <class T, int kWide, class C>
GPU_KERNEL(kPoolThreads, 4)
volume_columns(LargestGradient<T> op, Grid grid, Division columns, int all_channels,
               Axes<Axis> axes) {
  await_earlier();
  using Deep = SquareWindows<C::kDeepSize, 1, 0>;
  using Flat = SquareWindows<C::kSize, 1, 0>;
  constexpr int kWindows = Flat::kCount, kFrames = Deep::kCount;
  const int channels = kWide == 1 ? 1 : all_channels;
  const Place at(grid, axes.deep.in);
  if (!at.inside) return;
  auto rest = static_cast<uint32_t>(at.column);
  const auto w = static_cast<int>(take_remainder(columns, &rest)), h = static_cast<int>(rest);
  const FrameWindows<T, kWide, kWindows> windows(op, at, Flat::first(h, axes.high),
                                                 Flat::first(w, axes.wide), channels, axes);
  const int frame = axes.high.in * axes.wide.in;
  int d = at.begin - (kFrames - 1),
      place = axes.place(d, h, w);  // of the first element that is reached
  T* out = op.grad_src + (at.image * op.src_image + at.group * kWide + int64_t{place} * channels);
  float sums[kFrames][kWide] = {};
#pragma unroll 1
  for (int window = Deep::first(at.begin, axes.deep); d < at.end; ++d, ++window) {
    typename LargestGradient<T>::template Entry<kWide> entries[kWindows][kWindows];
    windows.load(op, window, entries);
#pragma unroll
    for (int f = 0; f < kFrames; ++f) {
#pragma unroll
      for (int r = 0; r < kWindows; ++r) {
#pragma unroll
        for (int c = 0; c < kWindows; ++c) entries[r][c].add_to(sums[f], place + f * frame);
      }
    }
    if (d >= at.begin) Tap<T, kWide>::store(out, sums[0]);
    place += frame;
    out += int64_t{frame} * channels;
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
#pragma unroll
      for (int f = 0; f < kFrames - 1; ++f) sums[f][j] = sums[f + 1][j];
      sums[kFrames - 1][j] = 0;
    }
  }
}

template <class T, int kWide, class C, int kShift>
int launch_cubes_of(const LargestGradient<T>& op, const Images& images, const Axes<Axis>& axes,
                    const polyops_context* ctx) {
  if constexpr (C::kDeepStride == 1 && C::kStride == 1) {
    const Grid grid = make_grid(ctx, images, kWide, int64_t{axes.wide.in} * axes.high.in,
                                axes.deep.in, 1, C::kDeepSize - 1);
    return gpu::launch(volume_columns<T, kWide, C>, grid.shape(), ctx, op, grid,
                       Division(static_cast<uint32_t>(axes.wide.in)), images.channels, axes);
  } else {
    const auto squares = [](const Axis& axis) { return (axis.in + C::kStride - 1) / C::kStride; };
    const Cubes cubes = {Division(static_cast<uint32_t>(squares(axes.wide))),
                         (axes.deep.in + C::kDeepStride - 1) / C::kDeepStride};
    const Grid grid =
        make_grid(ctx, images, kWide, int64_t{squares(axes.wide)} * squares(axes.high), cubes.deep,
                  1, CubeWindows<C, kShift>::Deep::kCount - 1);
    return gpu::launch(volume_cubes<T, kWide, C, kShift>, grid.shape(), ctx, op, grid, cubes,
                       images.channels, goes_by_pairs(op.grad_src, axes.wide), axes);
  }
}

// Whether it was launched, and what that returned.
template <class T, int kWide, class C>
bool launch_cubes(const LargestGradient<T>& op, const Images& images, const Axes<Axis>& axes,
                  const polyops_context* ctx, int* status) {
  const int shift = axes.wide.padding % C::kStride;
  if (axes.high.padding % C::kStride != shift) return false;
  if (C::kDeepStride > 1 && axes.deep.padding % C::kDeepStride != shift) return false;
  if (shift == 0) {
    *status = launch_cubes_of<T, kWide, C, 0>(op, images, axes, ctx);
    return true;
  }
  if constexpr (C::kStride == 2 && C::kSize == 3) {
    *status = launch_cubes_of<T, kWide, C, 1>(op, images, axes, ctx);
    return true;
  }
  return false;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_MAX_POOL_CUBES_H_
