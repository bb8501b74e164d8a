// The gradient of the input of a depthwise convolution of stride 2. Bound: memory, 1.25 elements
// moved per result. Padding counted, a place 2 q is read by the even taps of results up to q, and 2
// q + 1 by the odd ones of the same. So strips begin at even places, and a strip of pairs reads
// each gradient once.
#ifndef POLYOPS_GPU_CONVOLUTION_SPREAD_H_
#define POLYOPS_GPU_CONVOLUTION_SPREAD_H_

#include "planes.h"

namespace polyops::gpu {
namespace {

constexpr int kPairs = 4;  // of rows in a strip

// As a convolution's shape: `in` are the gradients that come, `out` those that go.
inline Shape spread(const Shape& s) {
  Shape spread = s;
  for (Axis* axis : {&spread.h, &spread.w}) {
    const int32_t in = axis->in;
    axis->in = axis->out;
    axis->out = in;
  }
  return spread;
}

// The strip's sums. y, x: the first gradient that it reads.
template <class W, class T>
GPU_DEVICE void spread_strip(const Tile& tile, const T* in, int32_t y, int32_t x,
                             const float (&w)[W::kTaps], float (&sums)[2 * kPairs][2]) {
  constexpr int kBefore = (W::kH - 1) / 2;  // gradients before q that 2 q reads
#pragma unroll
  for (int i = 0; i < kPairs + kBefore; ++i) {
    if (static_cast<uint32_t>(y + i) >= static_cast<uint32_t>(tile.in_rows)) continue;
    const T* const row = in + (y + i) * tile.in_columns;
    float values[kBefore + 1];
#pragma unroll
    for (int j = 0; j <= kBefore; ++j) {
      const bool inside = static_cast<uint32_t>(x + j) < static_cast<uint32_t>(tile.in_columns);
      values[j] = inside ? widen(row[x + j]) : 0.0f;
    }
#pragma unroll
    for (int r = 0; r < 2 * kPairs; ++r) {
      const int tap = r + 2 * (kBefore - i);
      if (tap < 0 || tap >= W::kH) continue;
#pragma unroll
      for (int c = 0; c < 2; ++c) {
#pragma unroll
        for (int j = 0; j <= kBefore; ++j) {
          const int of_row = c + 2 * (kBefore - j);
          if (of_row >= W::kW) continue;
          sums[r][c] = fmaf(values[j], w[tap * W::kW + of_row], sums[r][c]);
        }
      }
    }
  }
}

template <class W, class T>
GPU_KERNEL(kTileThreads)
spread_planes(PlanesCall<T> call) {
  await_earlier();
  GPU_DYNAMIC_SHARED(T, memory);
  constexpr int kBefore = (W::kH - 1) / 2;
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
  // An odd place is the second one of a pair, whose first one is not ours.
  const int32_t odd_row = (tile.row + s.h.padding) & 1, odd_column = s.w.padding & 1;
  const int32_t across = (tile.columns + odd_column + 1) / 2;
  const int32_t down = (tile.rows + odd_row + 2 * kPairs - 1) / (2 * kPairs);
  const int32_t strips = tile.planes * down * across;
  wait_copies<0>();
  barrier();
  for (int32_t index = thread_id(); index < strips; index += block_threads()) {
    const Strip strip(index, across, down, 2 * kPairs, 2);
    const auto channel = static_cast<int32_t>(static_cast<uint32_t>(tile.plane + strip.plane) %
                                              static_cast<uint32_t>(s.channels));
    float w[W::kTaps], sums[2 * kPairs][2];
    load_taps<W>(call.taps, channel, w);
#pragma unroll
    for (int r = 0; r < 2 * kPairs; ++r) sums[r][0] = sums[r][1] = 0;
    const int32_t row = strip.row - odd_row, column = strip.column - odd_column;
    spread_strip<W>(tile, in + strip.plane * tile.in_rows * tile.in_columns,
                    (tile.row + row + s.h.padding) / 2 - kBefore - tile.in_row,
                    (column + s.w.padding) / 2 - kBefore, w, sums);
    T* const to = out + (strip.plane * tile.rows + row) * tile.columns + column;
#pragma unroll
    for (int r = 0; r < 2 * kPairs; ++r) {
      if (static_cast<uint32_t>(row + r) >= static_cast<uint32_t>(tile.rows)) continue;
#pragma unroll
      for (int c = 0; c < 2; ++c) {
        if (static_cast<uint32_t>(column + c) < static_cast<uint32_t>(tile.columns)) {
          to[r * tile.columns + c] = narrow<T>(sums[r][c]);
        }
      }
    }
  }
  barrier();
  store_run(dst, tile.out_count(), memory + call.out_at);
}

// s: spread().
template <class T>
int launch_spread_planes(const Shape& s, const T* grad, T* dst, const Taps<T>& taps,
                         const polyops_context* ctx) {
  const Tiling tiling = tiles_of(s, sizeof(T), 2, /*gathers=*/true);
  const int32_t out_at = room_of<T>(most_in(s, tiling));
  const int32_t out = room_of<T>(int64_t{tiling.planes} * tiling.rows * tiling.columns);
  const PlanesCall<T> call = {s, tiling, grad, dst, taps, {nullptr, 0}, out_at};
  const int64_t groups = ceil_div(int64_t{s.batch} * s.channels, tiling.planes);
  const LaunchShape shape = {groups * tiling.down * tiling.across, kTileThreads,
                             (out_at + out) * sizeof(T)};
  return with_square(s, POLYOPS_DECLINED, [&]<class W>() -> int {
    if constexpr (W::kS == 2) return launch(spread_planes<W, T>, shape, ctx, call);
    return POLYOPS_DECLINED;
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_SPREAD_H_
