// Depthwise convolution of images that are planes of rows, small filters without dilation; with the
// filter turned, the gradient of the input at stride 1. Bound: memory, 2 elements moved per result.
// At 4.2 TB/s an H200 has 27 instructions for a result of 16 bits: 9 of a 3x3 filter are products,
// so a thread keeps all of a strip's sums and reads what it needs of the input row by row, once.
#ifndef POLYOPS_GPU_CONVOLUTION_PLANES_H_
#define POLYOPS_GPU_CONVOLUTION_PLANES_H_

#include "tile.h"

namespace polyops::gpu {
namespace {

template <class T>
struct PlanesCall {
  Shape shape;
  Tiling tiling;
  const T* src;
  T* dst;
  Taps<T> taps;
  Bias<T> bias;
  int32_t out_at;  // where results begin in shared memory, in elements
};

template <class W, class T>
GPU_DEVICE void load_taps(const Taps<T>& taps, int32_t channel, float (&w)[W::kTaps]) {
#pragma unroll
  for (int i = 0; i < W::kTaps; ++i) w[i] = taps.at(channel, i / W::kW, i % W::kW);
}

// The strip's sums. in: row 0 and column 0 of the tile's input in shared memory; y and x: where in
// it the strip begins to read.
template <class W, class T>
GPU_DEVICE void convolve_strip(const Tile& tile, const T* in, int32_t y, int32_t x,
                               const float (&w)[W::kTaps],
                               float (&sums)[W::kRows][kForwardColumns]) {
  const Columns<W::template kReads<kForwardColumns>, T> columns(x, tile.in_columns);
#pragma unroll
  for (int i = 0; i < W::kInRows; ++i) {
    if (static_cast<uint32_t>(y + i) >= static_cast<uint32_t>(tile.in_rows)) continue;
    float values[W::template kReads<kForwardColumns>];
    columns.load(in + (y + i) * tile.in_columns, values);
#pragma unroll
    for (int r = 0; r < W::kRows; ++r) {
      const int tap = i - r * W::kS;
      if (tap < 0 || tap >= W::kH) continue;
#pragma unroll
      for (int c = 0; c < kForwardColumns; ++c) {
#pragma unroll
        for (int j = 0; j < W::kW; ++j) {
          sums[r][c] = fmaf(values[c * W::kS + j], w[tap * W::kW + j], sums[r][c]);
        }
      }
    }
  }
}

template <class W, class T>
GPU_KERNEL(kTileThreads)
convolve_planes(PlanesCall<T> call) {
  await_earlier();
  GPU_DYNAMIC_SHARED(T, all);
  T* const memory = all + kAround;
  const Shape& s = call.shape;
  const auto parts = static_cast<uint32_t>(call.tiling.parts());
  const auto block = static_cast<uint32_t>(block_id());
  const auto first = static_cast<int32_t>(block / parts) * call.tiling.planes;
  const Tile tile(s, call.tiling, first,
                  Tile::least(call.tiling.planes, s.batch * s.channels - first),
                  static_cast<int32_t>(block % parts));
  const T* const src = call.src + tile.in_first(s);
  T* const dst = call.dst + tile.out_first(s);
  fetch_run(src, tile.in_count(), memory);
  close_copies();
  const T* const in = memory + misplaced(src);
  T* const out = memory + call.out_at + misplaced(dst);
  const int32_t across = (tile.columns + kForwardColumns - 1) / kForwardColumns;
  const int32_t down = (tile.rows + W::kRows - 1) / W::kRows;
  const int32_t strips = tile.planes * down * across;
  const int32_t first_channel = tile.plane % s.channels;
  int32_t channel = -1;
  float w[W::kTaps], bias = 0;
  const auto take_filter = [&](const Strip& strip) {
    int32_t its = first_channel + strip.plane;
    if (its >= s.channels) its %= s.channels;  // of the next image
    if (its == channel) return;
    channel = its;
    load_taps<W>(call.taps, channel, w);
    bias = call.bias.at(channel);
  };
  // The first one comes along with the tile.
  if (thread_id() < strips) {
    take_filter(Strip(thread_id(), across, down, W::kRows, kForwardColumns));
  }
  wait_copies<0>();
  barrier();
  for (int32_t index = thread_id(); index < strips; index += block_threads()) {
    const Strip strip(index, across, down, W::kRows, kForwardColumns);
    take_filter(strip);
    float sums[W::kRows][kForwardColumns];
#pragma unroll
    for (int r = 0; r < W::kRows; ++r) {
#pragma unroll
      for (int c = 0; c < kForwardColumns; ++c) sums[r][c] = bias;
    }
    convolve_strip<W>(tile, in + strip.plane * tile.in_rows * tile.in_columns,
                      (tile.row + strip.row) * W::kS - s.h.padding - tile.in_row,
                      (tile.column + strip.column) * W::kS - s.w.padding - tile.in_column, w, sums);
    T* const to = out + (strip.plane * tile.rows + strip.row) * tile.columns + strip.column;
#pragma unroll
    for (int r = 0; r < W::kRows; ++r) {
      if (strip.row + r >= tile.rows) break;
#pragma unroll
      for (int c = 0; c < kForwardColumns; ++c) {
        if (strip.column + c < tile.columns) to[r * tile.columns + c] = narrow<T>(sums[r][c]);
      }
    }
  }
  barrier();
  store_run(dst, tile.out_count(), memory + call.out_at);
}

// Calls f.operator()<W>() for the window, if it is one of those that are compiled; else returns
// `otherwise`.
template <class F>
int with_square(const Shape& s, int otherwise, F f) {
  if (s.h.taps != s.w.taps || s.h.stride != s.w.stride) return otherwise;
  if (s.w.stride == 1) {
    if (s.w.taps == 3) return f.template operator()<Window<3, 3, 1>>();
    if (s.w.taps == 5) return f.template operator()<Window<5, 5, 1>>();
    if (s.w.taps == 7) return f.template operator()<Window<7, 7, 1>>();
  } else if (s.w.stride == 2) {
    if (s.w.taps == 3) return f.template operator()<Window<3, 3, 2>>();
    if (s.w.taps == 5) return f.template operator()<Window<5, 5, 2>>();
  }
  return otherwise;
}
template <class F>
int with_window(const Shape& s, int otherwise, F f) {
  if (!is_row(s)) return with_square(s, otherwise, f);
  if (s.w.stride != 1) return otherwise;
  if (s.w.taps == 2) return f.template operator()<Window<1, 2, 1>>();
  if (s.w.taps == 3) return f.template operator()<Window<1, 3, 1>>();
  if (s.w.taps == 4) return f.template operator()<Window<1, 4, 1>>();
  return otherwise;
}

// One filter to a channel, without dilation, and no result of padding alone.
inline bool is_plain(const Shape& s) {
  return s.multiple == 1 && s.h.dilation == 1 && s.w.dilation == 1 && s.h.padding < s.h.taps &&
         s.w.padding < s.w.taps;
}
inline bool has_window(const Shape& s) {
  return is_plain(s) && with_window(s, 0, []<class W>() { return W::kTaps; }) != 0;
}
inline bool has_square(const Shape& s) {
  return is_plain(s) && with_square(s, 0, []<class W>() { return W::kTaps; }) != 0;
}

template <class T>
int launch_planes(const Shape& s, const T* src, T* dst, const Taps<T>& taps, const Bias<T>& bias,
                  const polyops_context* ctx) {
  const Tiling tiling = tiles_of(s, sizeof(T), kForwardColumns);
  // A strip may read beyond the input: not what another one writes, though it makes nothing of it.
  const int32_t out_at = room_of<T>(most_in(s, tiling)) + 2 * kAround;
  const int32_t out = room_of<T>(int64_t{tiling.planes} * tiling.rows * tiling.columns);
  const PlanesCall<T> call = {s, tiling, src, dst, taps, bias, out_at};
  const int64_t groups = ceil_div(int64_t{s.batch} * s.channels, tiling.planes);
  const LaunchShape shape = {groups * tiling.down * tiling.across, kTileThreads,
                             (2 * kAround + out_at + out) * sizeof(T)};
  return with_square(s, POLYOPS_DECLINED,
                     [&]<class W>() { return launch(convolve_planes<W, T>, shape, ctx, call); });
}

// The convolution of a result's gradient that gives the input's, at stride 1: the filter is turned.
inline Shape turned(const Shape& s) {
  Shape turned = s;
  for (Axis* axis : {&turned.h, &turned.w}) {
    const int32_t in = axis->in;
    axis->in = axis->out;
    axis->out = in;
    axis->padding = axis->taps - 1 - axis->padding;
  }
  return turned;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_PLANES_H_
