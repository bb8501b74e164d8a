// Rows of images whose channels lie next to each other, on their way to a ring in shared memory,
// some ahead of the ones that are looked at: no register waits for a load, so more warps have some.
// Bound: memory.
//
// A block has some packs of channels and of columns, as many in all images, and goes down the rows
// of one strip of those after another. A slot of the ring has what one step of that adds. The
// block's last wave has rows copied (last_ring_feed.h): by runs, for which each of the other
// threads waits on its own, or by packs, where each step is a barrier.
#ifndef POLYOPS_GPU_CONVOLUTION_LAST_RING_H_
#define POLYOPS_GPU_CONVOLUTION_LAST_RING_H_

#include "ring.h"
#include "slide.h"

namespace polyops::gpu {
namespace {

constexpr int kRingWave = 32;  // threads that copy, and of which others are whole multiples
// The fewest with which all gradients of bfloat16 32x144x56x56 by 3x3 are as quick: of 3 38.5 us,
// of 4 36.4, of 6 36.2.
constexpr int kRingSlots = 4;

// Of a block at most: 144 channels, as wide as the layers of MobileNetV2 and EfficientNet that read
// most.
template <class T>
inline constexpr int kRingPacks = 144 / kPack<T>;

// rows: of a block, of all_rows that all strips have, one strip's after the other's.
struct RingGrid : SlideLanes {
  int32_t rows, all_rows;
  Division across, down;  // strips of an image, rows of a strip
};

// Elements of a slot: of a pixel, of the row of gradients, of a row of pixels, and of all.
struct RingSlot {
  int32_t pitch, grads, pixels, all;
};

struct RingTask {
  Shape shape;
  RingGrid grid;
  RingSlot slot;
};

// Of a block: a stretch of rows in a strip of columns of an image.
struct RingStrip {
  int32_t n, column, row, rows;

  // Begins at row `at` of all strips'; the block's rows end before `end`. results: of a line.
  GPU_DEVICE RingStrip(int32_t at, int32_t end, const RingTask& task, int results) {
    auto rest = static_cast<uint32_t>(at);
    row = static_cast<int32_t>(take_remainder(task.grid.down, &rest));
    column =
        static_cast<int32_t>(take_remainder(task.grid.across, &rest)) * task.grid.lines * results;
    n = static_cast<int32_t>(rest);
    rows = Tile::least(task.shape.h.out - row, end - at);
  }
};

// Calls f(strip) for the stretches of a block's rows, of which it has one at least.
template <class Own, class F>
GPU_DEVICE void for_ring(const RingTask& task, int32_t block, F f) {
  int32_t at = block * task.grid.rows;
  const int32_t end = Tile::least(at + task.grid.rows, task.grid.all_rows);
#pragma unroll 1
  while (at < end) {
    const RingStrip strip(at, end, task, Own::kResults);
    f(strip);
    at += strip.rows;
  }
}

// Rows of one tensor, one after the other: of pixels begin to end of each the block's channels.
template <class T>
struct RingRows {
  const T* from;             // what would be pixel 0 of the next one
  int32_t row, rows, pitch;  // that one's, the image's, elements from one to the next
  int32_t begin, end;

  RingRows() = default;
  // From image n on of so many rows and columns of `channels`, from row y, column x and a channel.
  GPU_DEVICE RingRows(const T* images, int32_t n, int32_t height, int32_t width, int32_t y,
                      int32_t x, int32_t channels, int32_t channel)
      : row(y), rows(height), pitch(width * channels) {
    const int64_t pixel = (int64_t{n} * height + y) * width + x;
    from = images + (pixel * channels + channel);
  }
  // on: rows behind the next one.
  GPU_DEVICE bool has(int on = 0) const {
    return static_cast<uint32_t>(row + on) < static_cast<uint32_t>(rows);
  }
  GPU_DEVICE int32_t count() const { return end - begin; }
  GPU_DEVICE void advance() {
    ++row;
    from += pitch;
  }
};

GPU_DEVICE bool is_ring_wave() { return thread_id() + wave_size() >= block_threads(); }

// ---- From the host, which may call nothing that is the device's alone.

// Of a block: packs of channels, of so many; as many as leave few lanes of the last one idle.
inline int64_t ring_packs(int64_t packs, int64_t most) {
  if (packs <= most) return packs;
  int64_t best = most;
  for (int64_t some = most; some >= most / 2; some -= 2) {
    if (ceil_div(packs, some) * some < ceil_div(packs, best) * best) best = some;
  }
  return best;
}

inline int64_t ring_threads(const SlideLanes& g, int64_t wave) {
  return ceil_div(g.width * g.lines, wave) * wave + wave;
}

// All blocks at once, by registers, each with as many rows, wherever a strip ends: cut into equal
// stretches of strips they do not come out even (bfloat16 32x144x56x56, all gradients by 3x3, 240
// blocks of two stretches of 19 rows where 264 have room: 39.6 us; 264 of 34 rows 36.4). One row
// alone is not worth those beside it.
template <class Own, class T>
RingGrid ring_grid(const Shape& s, int64_t multiprocessors) {
  RingGrid g;
  const int64_t packs = s.channels / kPack<T>, some = ring_packs(packs, Own::kMostPacks);
  g.columns = static_cast<int32_t>(ceil_div(packs, some));
  g.width = static_cast<int32_t>(some * kPack<T> / Own::kElements);
  const int64_t across = ceil_div(s.w.out, Own::kResults);
  const int64_t most = (Own::kThreads - kRingWave) / g.width;
  g.lines = static_cast<int32_t>(ceil_div(across, ceil_div(across, most)));
  const int64_t parts = ceil_div(across, g.lines), rows = s.batch * parts * s.h.out;
  const int64_t blocks = Own::kThreads * Own::kBlocks / ring_threads(g, kRingWave);
  const int64_t at_once = multiprocessors * blocks / g.columns;
  const int64_t each = ceil_div(rows, at_once > 1 ? at_once : 1);
  g.rows = static_cast<int32_t>(each > 1 ? each : 2);
  g.all_rows = static_cast<int32_t>(rows);
  g.across = Division(static_cast<uint32_t>(parts));
  g.down = Division(static_cast<uint32_t>(s.h.out));
  return g;
}
// Blocks of the same channels.
inline int64_t ring_splits(const RingGrid& g) { return ceil_div(g.all_rows, g.rows); }

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_LAST_RING_H_
