// Gradients of weight and bias of images that are planes of rows. Bound: memory, input and gradient
// once. A block has some channels, each of a team of lanes, and some images: it takes the channels'
// planes of an image, which are one run of each tensor, into shared memory, and its lanes keep sums
// of all taps in registers until the last image.
#ifndef POLYOPS_GPU_CONVOLUTION_PLANES_SUMS_H_
#define POLYOPS_GPU_CONVOLUTION_PLANES_SUMS_H_

#include "planes.h"
#include "reduce.h"
#include "sums.h"

namespace polyops::gpu {
namespace {

// Blocks that keep the largest chip of today busy, and the tiles each has at least. scratch_bytes()
// cannot see the device.
constexpr int64_t kSumBlocks = 132 * 6;
constexpr int64_t kLeastTiles = 2;
constexpr int kLeastTeam = 4;

// A block's share: `tiling.planes` channels, and per_split tiles of them, one image's after the
// other's.
struct SumsGrid {
  Tiling tiling;
  int32_t team;  // lanes
  int32_t columns, splits, per_split;
};

inline SumsGrid sums_grid(const Shape& s, int element_bytes) {
  SumsGrid g = {tiles_of(s, element_bytes, kStripColumns), kTileThreads, 0, 0, 0};
  const bool whole = g.tiling.down * g.tiling.across == 1;
  const int64_t strips = ceil_div(s.w.out, kStripColumns) * ceil_div(s.h.out, kStripRows);
  const int64_t plane = int64_t{s.h.in} * s.w.in + int64_t{s.h.out} * s.w.out;
  while (whole && g.team / 2 >= strips && g.team / 2 >= kLeastTeam &&
         kTileThreads / (g.team / 2) * plane * element_bytes <= kTileBytes) {
    g.team /= 2;
  }
  g.tiling.planes = kTileThreads / g.team;
  g.columns = static_cast<int32_t>(ceil_div(s.channels, g.tiling.planes));
  const int64_t tiles = int64_t{s.batch} * g.tiling.down * g.tiling.across;
  const int64_t splits = ceil_div(kSumBlocks, g.columns), most = ceil_div(tiles, kLeastTiles);
  g.per_split = static_cast<int32_t>(ceil_div(tiles, splits < most ? splits : most));
  g.splits = static_cast<int32_t>(ceil_div(tiles, g.per_split));
  return g;
}

template <class T>
struct PlanesSumsCall {
  Shape shape;
  SumsGrid grid;
  const T* grad;
  const T* src;
  Sums<T> sums;
  int32_t grad_at;  // where gradients begin in shared memory, in elements
};

// Adds a strip's products to the sums of the taps, and its gradients to the last one. in, y and x
// as in convolve_strip(). Results that the tile has not are skipped, not multiplied by 0: what is
// read may be infinite. Padding is multiplied: see sum_inside(). Rows of large filters pass in a
// loop: less code, for a few moves.
template <class W, class T>
GPU_DEVICE void sum_strip(const Tile& tile, const Strip& strip, const T* in, int32_t y, int32_t x,
                          const T* grads, float (&sums)[W::kTaps + 1]) {
  constexpr int kKept = W::kH - W::kS;
  const Columns<W::template kReads<kStripColumns>, T> columns(x, tile.in_columns);
  const bool has_second = strip.column + 1 < tile.columns;
  float values[W::kH][W::template kReads<kStripColumns>];
  const auto load = [&](int i, int32_t at) {
    if (static_cast<uint32_t>(at) < static_cast<uint32_t>(tile.in_rows)) {
      columns.load(in + at * tile.in_columns, values[i]);
    } else {
#pragma unroll
      for (float& value : values[i]) value = 0;
    }
  };
#pragma unroll
  for (int i = 0; i < kKept; ++i) load(W::kS + i, y + i);
#pragma unroll(W::kTaps == 9 ? W::kRows : 1)
  for (int r = 0; r < W::kRows; ++r) {
    if (strip.row + r >= tile.rows) break;
    uint32_t second = has_second ? 1 : 0;
    forget_bits(&second);  // else the loop is there twice
    const T* const from = grads + r * tile.columns;
    const float grad[kStripColumns] = {widen(from[0]), second != 0 ? widen(from[1]) : 0.0f};
#pragma unroll
    for (int i = 0; i < kKept; ++i) {
#pragma unroll
      for (int j = 0; j < W::template kReads<kStripColumns>; ++j) {
        values[i][j] = values[i + W::kS][j];
      }
    }
#pragma unroll
    for (int i = 0; i < W::kS; ++i) load(kKept + i, y + r * W::kS + kKept + i);
#pragma unroll
    for (int i = 0; i < W::kH; ++i) {
#pragma unroll
      for (int j = 0; j < W::kW; ++j) {
        float& sum = sums[i * W::kW + j];
        sum = fmaf(values[i][j], grad[0], sum);
        if (second != 0) sum = fmaf(values[i][W::kS + j], grad[1], sum);
      }
    }
    sums[W::kTaps] += grad[0] + grad[1];
  }
}

// A split's sum of one tap once more, of the results whose tap lies inside of the image alone: the
// product of an infinite gradient and of padding, which sum_strip() adds, is NaN. Slow, but rare.
template <class W, class T>
GPU_DEVICE float sum_inside(const PlanesSumsCall<T>& call, int32_t split, int32_t channel,
                            int32_t tap) {
  const Shape& s = call.shape;
  const Tiling& tiling = call.grid.tiling;
  const int32_t end = Tile::least((split + 1) * call.grid.per_split, s.batch * tiling.parts());
  const int32_t down = tap / W::kW - s.h.padding, right = tap % W::kW - s.w.padding;
  float sum = 0;
#pragma unroll 1
  for (int32_t index = split * call.grid.per_split; index < end; ++index) {
    const int32_t image = index / tiling.parts();
    const Tile tile(s, tiling, image * s.channels + channel, 1, index - image * tiling.parts());
    const T* const src = call.src + int64_t{tile.plane} * s.in();
    const T* const grads = call.grad + int64_t{tile.plane} * s.out();
#pragma unroll 1
    for (int32_t r = tile.row; r < tile.row + tile.rows; ++r) {
      const int32_t y = r * W::kS + down;
      if (y < 0 || y >= s.h.in) continue;
#pragma unroll 4
      for (int32_t c = tile.column; c < tile.column + tile.columns; ++c) {
        const int32_t x = c * W::kS + right;
        if (x < 0 || x >= s.w.in) continue;
        sum = fmaf(widen(src[y * s.w.in + x]), widen(grads[r * s.w.out + c]), sum);
      }
    }
  }
  return sum;
}

template <class W, class T>
GPU_KERNEL(kTileThreads)
sum_planes(PlanesSumsCall<T> call) {
  await_earlier();
  GPU_DYNAMIC_SHARED(T, all);
  T* const memory = all + kAround;
  constexpr int kSums = W::kTaps + 1;
  GPU_SHARED(float, shared, kSums* kTileThreads / kLeastTeam);
  const Shape& s = call.shape;
  const SumsGrid& g = call.grid;
  const auto block = static_cast<uint32_t>(block_id());
  const auto split = static_cast<int32_t>(block / static_cast<uint32_t>(g.columns));
  const int32_t channel =
      static_cast<int32_t>(block % static_cast<uint32_t>(g.columns)) * g.tiling.planes;
  const int32_t channels = Tile::least(g.tiling.planes, s.channels - channel);
  const int32_t own = thread_id() / g.team, lane = thread_id() % g.team;
  const int32_t tiles = s.batch * g.tiling.parts();
  const int32_t end = Tile::least((split + 1) * g.per_split, tiles);
  float sums[kSums] = {};
  for (int32_t index = split * g.per_split; index < end; ++index) {
    const int32_t image = index / g.tiling.parts();
    const Tile tile(s, g.tiling, image * s.channels + channel, channels,
                    index - image * g.tiling.parts());
    const T* const src = call.src + tile.in_first(s);
    const T* const grads = call.grad + tile.out_first(s);
    fetch_run(src, tile.in_count(), memory);
    fetch_run(grads, tile.out_count(), memory + call.grad_at);
    close_copies();
    wait_copies<0>();
    barrier();
    const int32_t across = (tile.columns + kStripColumns - 1) / kStripColumns;
    const int32_t strips = own < channels ? (tile.rows + W::kRows - 1) / W::kRows * across : 0;
    const T* const in = memory + misplaced(src) + own * tile.in_rows * tile.in_columns;
    const T* const of = memory + call.grad_at + misplaced(grads) + own * tile.rows * tile.columns;
    for (int32_t i = lane; i < strips; i += g.team) {
      const Strip strip(i, across, strips, W::kRows, kStripColumns);
      sum_strip<W>(tile, strip, in, (tile.row + strip.row) * W::kS - s.h.padding - tile.in_row,
                   (tile.column + strip.column) * W::kS - s.w.padding - tile.in_column,
                   of + strip.row * tile.columns + strip.column, sums);
    }
    barrier();
  }
  // Of a team's lanes of a wave, then of its waves.
  const int32_t lanes = Tile::least(g.team, wave_size()), parts = g.team / lanes;
  sum_lanes(sums, lanes);
  if (thread_id() % lanes == 0) {
#pragma unroll
    for (int i = 0; i < kSums; ++i) shared[thread_id() / lanes * kSums + i] = sums[i];
  }
  barrier();
#pragma unroll 1
  for (int32_t at = thread_id(); at < channels * kSums; at += kTileThreads) {
    const int32_t c = at / kSums, tap = at - c * kSums;
    float sum = 0;
#pragma unroll 4
    for (int32_t i = 0; i < parts; ++i) sum += shared[(c * parts + i) * kSums + tap];
    if (tap < W::kTaps && sum != sum) sum = sum_inside<W>(call, split, channel + c, tap);
    call.sums.put(s, split, channel + c, tap, sum);
  }
}

template <class T>
int launch_planes_sums(const BackwardArgs& a, const Shape& s, const polyops_context* ctx) {
  const SumsGrid grid = sums_grid(s, sizeof(T));
  const int32_t grad_at = room_of<T>(most_in(s, grid.tiling));
  const int32_t grads =
      room_of<T>(int64_t{grid.tiling.planes} * grid.tiling.rows * grid.tiling.columns);
  const PlanesSumsCall<T> call = {s,
                                  grid,
                                  static_cast<const T*>(a.grad_dst.data),
                                  static_cast<const T*>(a.src.data),
                                  sums_of<T>(a, grid.splits, ctx),
                                  grad_at};
  const LaunchShape shape = {int64_t{grid.columns} * grid.splits, kTileThreads,
                             (2 * kAround + grad_at + grads) * sizeof(T)};
  const int status = with_square(
      s, POLYOPS_DECLINED, [&]<class W>() { return launch(sum_planes<W, T>, shape, ctx, call); });
  return launch_add_parts(status, s, call.sums, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_PLANES_SUMS_H_
