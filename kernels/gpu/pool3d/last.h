// Averages of volumes that are channels last, whose results are contiguous, as stock's: a thread
// sums a pack of channels over a window, or over every so many rows of it. Next to each other are
// lanes of kLows packs of a pixel, and then columns, so that loads take whole sectors and the
// results, which lie apart by channels, still come several to one. Bound: memory, the image once.
#ifndef POLYOPS_GPU_POOL3D_LAST_H_
#define POLYOPS_GPU_POOL3D_LAST_H_

#include <cstdint>

#include "layout.h"
#include "pool2d/average.h"
#include "pool2d/axis.h"
#include "pool2d/tap.h"

namespace polyops::gpu {
namespace {

constexpr int kLows = 4;         // at most
constexpr int kLastColumns = 4;  // whose loads are issued together
constexpr int kLeastWave = 32;

// What the number of a thread consists of, from the low bits on: lows, parts, then the grid's
// columns and rows, the rest of the packs, planes, images.
struct LastGrid {
  Grid grid;
  int lows_log2, parts_log2;
  int channels;
  Division packs;  // of a pixel, over lows
  Division planes;
};

// The next kColumns pixels of a row, so many of which are there. All loads are issued before the
// first is used.
template <int kColumns, class T, int kWide>
GPU_DEVICE void add_pixels(const T* pixel, int channels, int there, AveragePool<kWide>* pool) {
  Tap<T, kWide> taps[kColumns];
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
    if (c > 0) taps[c].fill(0);
    if (c < there) taps[c].load(pixel + c * channels);
  }
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
    float x[kWide];
    taps[c].get(x);
    pool->add(x, 0);
  }
}

template <class T, int kWide, class AnyAxis>
GPU_KERNEL(kPoolThreads, 4)
pool3d_last(Average<T> op, LastGrid g, AnyAxis deep, AnyAxis high, AnyAxis wide) {
  const int lows = 1 << g.lows_log2, parts = 1 << g.parts_log2;
  const int64_t number = block_id() * kPoolThreads + thread_id();
  const int low = static_cast<int>(number) & (lows - 1);
  const int part = static_cast<int>(number) >> g.lows_log2 & (parts - 1);
  const PlaceInVolume at(g.grid, g.packs, high.out, number >> (g.lows_log2 + g.parts_log2));
  auto image = static_cast<uint32_t>(at.image);
  const int plane = static_cast<int>(take_remainder(g.planes, &image));
  const int channel = (at.plane * lows + low) * kWide;
  AveragePool<kWide> pool;
  if (at.inside) {  // a team without a window comes along for the shuffles
    const int left = wide.first_inside(at.column), right = wide.taps_end(at.column);
    const int top = high.first_inside(at.begin), bottom = high.taps_end(at.begin);
    const PlanesOf<AnyAxis> of_window(deep, plane);
    const T* src = op.src + image * op.src_image + channel;
    for (int i = 0, z = of_window.first; i < of_window.count; ++i, z += of_window.step) {
      for (int h = top + part; h < bottom; h += parts) {
        const T* pixel = src + int64_t{(z * high.in + h) * wide.in + left} * g.channels;
        int w = left;
#pragma unroll 1
        for (; w + kLastColumns <= right; w += kLastColumns, pixel += kLastColumns * g.channels) {
          add_pixels<kLastColumns>(pixel, g.channels, kLastColumns, &pool);
        }
#pragma unroll 1
        for (; w < right; w += 2, pixel += 2 * g.channels) {
          add_pixels<2>(pixel, g.channels, right - w, &pool);
        }
      }
    }
  }
  for (int mask = lows * parts / 2; mask >= lows; mask /= 2) {
#pragma unroll
    for (int j = 0; j < kWide; ++j) pool.sum[j] += shuffle_xor(pool.sum[j], mask);
  }
  if (!at.inside || part != 0) return;
  const float by = op.of_column(at.column, wide) * (deep.weight(plane) * high.weight(at.begin));
  const int results = deep.out * high.out * wide.out;
  T* out = op.dst + image * op.dst_image + int64_t{channel} * results +
           (plane * high.out + at.begin) * wide.out + at.column;
#pragma unroll
  for (int j = 0; j < kWide; ++j, out += results) *out = narrow<T>(pool.sum[j] * by);
}

// rows: that a plane of a window has at least.
template <class T, int kWide, class AnyAxis>
int launch_last_of(const Average<T>& op, int64_t batch, int channels, int64_t rows,
                   const AnyAxis& deep, const AnyAxis& high, const AnyAxis& wide,
                   const polyops_context* ctx) {
  int packs = channels / kWide;
  LastGrid g = {};
  while (packs % 2 == 0 && 1 << g.lows_log2 < kLows) packs /= 2, ++g.lows_log2;
  g.grid = make_grid({batch * packs * deep.out, 1}, 1, wide.out, high.out, 1);
  g.channels = channels;
  g.packs = Division(static_cast<uint32_t>(packs));
  g.planes = Division(static_cast<uint32_t>(deep.out));
  const int64_t enough = kTimesFull / 2 * kThreadsAtOnce * multiprocessors(ctx);
  const int64_t threads = int64_t{g.grid.threads} << g.lows_log2;
  while (threads << g.parts_log2 < enough && int64_t{2} << g.parts_log2 <= rows &&
         2 << (g.lows_log2 + g.parts_log2) <= kLeastWave) {
    ++g.parts_log2;
  }
  return gpu::launch(pool3d_last<T, kWide, AnyAxis>, g.grid.shape(g.lows_log2 + g.parts_log2), ctx,
                     op, g, deep, high, wide);
}

template <class T, class AnyAxis>
int launch_last(const Average<T>& op, const polyops_tensor& src, int64_t rows, const AnyAxis& deep,
                const AnyAxis& high, const AnyAxis& wide, const polyops_context* ctx) {
  const auto channels = static_cast<int>(src.sizes[1]);
  if (channels % kPack<T> == 0 && all_aligned(op.src, nullptr)) {
    return launch_last_of<T, kPack<T>>(op, src.sizes[0], channels, rows, deep, high, wide, ctx);
  }
  return launch_last_of<T, 1>(op, src.sizes[0], channels, rows, deep, high, wide, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL3D_LAST_H_
