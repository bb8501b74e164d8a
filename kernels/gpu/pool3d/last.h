// Averages of volumes that are channels last, whose results are contiguous, as stock's: a thread
// sums a pack of channels over a window, or over every so many rows of it. Next to each other are
// lanes of kLows packs of a pixel, and then columns, so that loads take whole sectors and the
// results, which lie apart by channels, still come several to one. Of windows that share planes a
// thread has some behind each other, and reads what two of them share once. Bound: memory, the
// image once.
#ifndef POLYOPS_GPU_POOL3D_LAST_H_
#define POLYOPS_GPU_POOL3D_LAST_H_

#include <cstdint>
#include <type_traits>

#include "layout.h"
#include "pool2d/average.h"
#include "pool2d/axis.h"
#include "pool2d/tap.h"

namespace polyops::gpu {
namespace {

constexpr int kLows = 4;  // at most
constexpr int kLeastWave = 32;
constexpr int64_t kLeastRuns = 11;  // blocks of four multiprocessors that windows are left for

// What the number of a thread consists of, from the low bits on: lows, parts, then the grid's
// columns and rows, the rest of the packs, planes, images.
struct LastGrid {
  Grid grid;
  int lows_log2, parts_log2;
  int channels;
  Division packs;  // of a pixel, over lows
  Division runs;   // of an image
  int run;         // windows behind each other
};

// Windows that may share planes, of which those of one size find theirs in the L2 cache: few
// blocks, with registers for more columns whose loads are issued together.
template <class AnyAxis>
constexpr bool kSharesPlanes = std::is_same_v<AnyAxis, AdaptiveAxis>;
template <class AnyAxis>
constexpr int kLastBlocks = kSharesPlanes<AnyAxis> ? 3 : 4;
template <class AnyAxis>
constexpr int kLastColumns = kSharesPlanes<AnyAxis> ? 8 : 4;

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

// Every `parts`th row of a plane of a window.
template <int kColumns, int kWide, class T>
GPU_DEVICE void add_rows(const T* row, int rows, int parts, int pitch, int columns, int channels,
                         AveragePool<kWide>* pool) {
  for (; rows > 0; rows -= parts, row += int64_t{parts} * pitch) {
    const T* pixel = row;
    int left = columns;
#pragma unroll 1
    for (; left >= kColumns; left -= kColumns, pixel += kColumns * channels) {
      add_pixels<kColumns>(pixel, channels, kColumns, pool);
    }
#pragma unroll 1
    for (; left > 0; left -= 2, pixel += 2 * channels) add_pixels<2>(pixel, channels, left, pool);
  }
}

template <class T, int kWide, class AnyAxis>
GPU_KERNEL(kPoolThreads, kLastBlocks<AnyAxis>)
pool3d_last(Average<T> op, LastGrid g, AnyAxis deep, AnyAxis high, AnyAxis wide) {
  await_earlier();
  const int lows = 1 << g.lows_log2, parts = 1 << g.parts_log2;
  const int64_t number = block_id() * kPoolThreads + thread_id();
  const int low = static_cast<int>(number) & (lows - 1);
  const int part = static_cast<int>(number) >> g.lows_log2 & (parts - 1);
  const PlaceInVolume at(g.grid, g.packs, high.out, number >> (g.lows_log2 + g.parts_log2));
  auto image = static_cast<uint32_t>(at.image);
  const int first = static_cast<int>(take_remainder(g.runs, &image)) * g.run;
  const int channel = (at.plane * lows + low) * kWide;
  const int left = wide.first_inside(at.column), columns = wide.taps_end(at.column) - left;
  const int top = high.first_inside(at.begin) + part, rows = high.taps_end(at.begin) - top;
  const T* const src =
      op.src + image * op.src_image + channel + int64_t{top * wide.in + left} * g.channels;
  const int results = deep.out * high.out * wide.out;
  T* const dst =
      op.dst + image * op.dst_image + int64_t{channel} * results + at.begin * wide.out + at.column;
  [[maybe_unused]] AveragePool<kWide> of_plane;
  [[maybe_unused]] int held = -1;  // whose sum that is
  for (int plane = first; plane < first + g.run; ++plane) {
    const bool inside = at.inside && plane < deep.out;
    AveragePool<kWide> pool;
    if (inside) {  // a team without a window comes along for the shuffles
      const PlanesOf<AnyAxis> of_window(deep, plane, g.run == 1);
      for (int i = 0, z = of_window.first; i < of_window.count; ++i, z += of_window.step) {
        const T* const row = src + int64_t{z} * (high.in * wide.in) * g.channels;
        if constexpr (kSharesPlanes<AnyAxis>) {
          if (z != held) {
            of_plane = {};
            add_rows<kLastColumns<AnyAxis>>(row, rows, parts, wide.in * g.channels, columns,
                                            g.channels, &of_plane);
            held = z;
          }
          pool.merge(of_plane);
        } else {
          add_rows<kLastColumns<AnyAxis>>(row, rows, parts, wide.in * g.channels, columns,
                                          g.channels, &pool);
        }
      }
    }
    for (int mask = lows * parts / 2; mask >= lows; mask /= 2) {
#pragma unroll
      for (int j = 0; j < kWide; ++j) pool.sum[j] += shuffle_xor(pool.sum[j], mask);
    }
    if (!inside || part != 0) continue;
    const float by = op.of_column(at.column, wide) * (deep.weight(plane) * high.weight(at.begin));
    T* out = dst + plane * (high.out * wide.out);
#pragma unroll
    for (int j = 0; j < kWide; ++j, out += results) *out = narrow<T>(pool.sum[j] * by);
  }
}

// rows: that a plane of a window has at least.
template <class T, int kWide, class AnyAxis>
int launch_last_of(const Average<T>& op, int64_t batch, int channels, int64_t rows,
                   const AnyAxis& deep, const AnyAxis& high, const AnyAxis& wide,
                   const polyops_context* ctx) {
  int packs = channels / kWide;
  LastGrid g = {};
  while (packs % 2 == 0 && 1 << g.lows_log2 < kLows) packs /= 2, ++g.lows_log2;
  g.channels = channels;
  g.packs = Division(static_cast<uint32_t>(packs));
  const int64_t units = batch * packs * wide.out * high.out, of_unit = int64_t{1} << g.lows_log2;
  const int64_t enough = kTimesFull / 2 * kThreadsAtOnce * multiprocessors(ctx);
  while (units * deep.out * of_unit << g.parts_log2 < enough &&
         int64_t{2} << g.parts_log2 <= rows && 2 << (g.lows_log2 + g.parts_log2) <= kLeastWave) {
    ++g.parts_log2;
  }
  int64_t runs = deep.out;
  if (kSharesPlanes<AnyAxis> && deep.in % deep.out != 0) {
    const int64_t threads = kLeastRuns * multiprocessors(ctx) / 4 * kPoolThreads;
    const int64_t fewest = divide_up(threads, units * of_unit << g.parts_log2);
    if (fewest < runs) runs = fewest;
  }
  g.run = static_cast<int>(divide_up(deep.out, runs));
  runs = divide_up(deep.out, g.run);
  g.runs = Division(static_cast<uint32_t>(runs));
  g.grid = make_grid({batch * packs * runs, 1}, 1, wide.out, high.out, 1);
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
