// Windows of images whose channels lie next to each other: a thread has kWide channels and a part
// of a window's elements, in their order; the parts of a window meet in shared memory, neighbours
// first, so that the order stays. Past its end a thread looks at its last element again, which
// changes nothing: no load is masked, so that all are issued before the first is used. Bound:
// memory, the image once.
#ifndef POLYOPS_GPU_MAX_POOL_PARTS_H_
#define POLYOPS_GPU_MAX_POOL_PARTS_H_

#include <cstdint>

#include "gpu.h"
#include "pool2d/largest.h"
#include "pool2d/layout.h"
#include "pool2d/tap.h"
#include "volume.h"

namespace polyops::gpu {
namespace {

constexpr int kPartLoads = 8;  // in flight at once
constexpr int64_t kLeastPart = 16;
constexpr int kMostPartsLog2 = 6;
constexpr int kPartsBlocks = 3;  // of a multiprocessor

// Goes through the places of a window's elements in their order, from the one of that number.
struct Walker {
  int place, w, h;
  int left, right, top, bottom;
  int to_row, to_frame;  // beyond the next place, where a row or a frame ends

  GPU_DEVICE Walker(const Range& deep, const Range& high, const Range& wide, int number,
                    const Axes<AdaptiveAxis>& axes)
      : left(wide.begin),
        right(wide.end),
        top(high.begin),
        bottom(high.end),
        to_row(axes.wide.in - wide.count()),
        to_frame((axes.high.in - high.count()) * axes.wide.in) {
    const int rows = number / wide.count(), frames = rows / high.count();
    w = left + number - rows * wide.count();
    h = top + rows - frames * high.count();
    place = axes.place(deep.begin + frames, h, w);
  }
  GPU_DEVICE void next_if(bool goes) {
    const bool row = goes && w + 1 == right, frame = row && h + 1 == bottom;
    place += (goes ? 1 : 0) + (row ? to_row : 0) + (frame ? to_frame : 0);
    w = row ? left : goes ? w + 1 : w;
    h = frame ? top : row ? h + 1 : h;
  }
  // The place that is `number` further on, below 2^16. Sums and halves are far enough from where a
  // quotient would be another one.
  GPU_DEVICE int behind(int number) const {
    const int columns = right - left, rows = bottom - top;
    const auto quotient = [](int n, int by) {
      const float x = static_cast<float>(n) + 0.5f;
      return static_cast<int>(x * reciprocal(static_cast<float>(by)));
    };
    const int column = w - left + number, more = quotient(column, columns);
    const int row = h - top + more, frames = quotient(row, rows);
    return place + number + more * to_row + frames * to_frame;
  }
};

struct PartsGrid {
  Grid grid;       // of units, kWide channels of a window each
  int parts_log2;  // of a unit
};

// One channel of dst: from one to the next, and from one result to the next.
struct ResultStrides {
  int channel, result;
};

// Of `count` parts a power of two, of equally many units each; `values` and `places` have room for
// half of the threads' pools.
template <int kWide>
GPU_DEVICE void join_parts(LargestPool<kWide>* pool, int part, int parts, int unit, int units,
                           float* values, int* places) {
  constexpr int kSlots = kPoolThreads / 2;
  for (int step = 1; step < parts; step *= 2) {
    const int pair = part / (2 * step), slot = pair * units + unit;
    if (part == pair * 2 * step + step) {
#pragma unroll
      for (int j = 0; j < kWide; ++j) {
        values[j * kSlots + slot] = pool->value[j];
        places[j * kSlots + slot] = pool->at[j];
      }
    }
    barrier();
    if (part == pair * 2 * step) {
#pragma unroll
      for (int j = 0; j < kWide; ++j) {
        pool->take(j, values[j * kSlots + slot], places[j * kSlots + slot]);
      }
    }
    barrier();
  }
}

// The largest of a part's elements as they are in memory.
template <class T, int kWide>
struct PartPool {
  LargestPool<kWide> pool;

  // number: in the part.
  GPU_DEVICE void add(const Tap<T, kWide>& tap, int, int place) {
    float x[kWide];
    tap.get(x);
    pool.add(x, place);
  }
  // place_of(number); each(f) calls f for the places of the part in their order. src: of place 0.
  template <class PlaceOf, class Each>
  GPU_DEVICE LargestPool<kWide> found(const T*, int, PlaceOf, Each) const {
    return pool;
  }
};

// Of 16 bits two at once, as are their numbers, 16 bits each. A NaN, which wins, has its part
// looked through again; a zero may be one of the other sign.
constexpr int64_t kMostOfPart = 0xffff;

template <class T>
struct PartPool<T, 8> {
  uint32_t value[4], numbers[4] = {};

  GPU_DEVICE PartPool() {
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      value[n] = narrow2<T>(LargestPool<8>::kAbsent, LargestPool<8>::kAbsent);
    }
  }
  GPU_DEVICE void add(const Tap<T, 8>& tap, int number, int) {
    const uint32_t both = static_cast<uint32_t>(number) * 0x10001;
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      const uint32_t larger = larger2<T>(tap.words.w[n], value[n]);
      value[n] = max2<T>(value[n], tap.words.w[n]);
      numbers[n] = (both & larger) | (numbers[n] & ~larger);
    }
  }
  template <class PlaceOf, class Each>
  GPU_DEVICE LargestPool<8> found(const T* src, int channels, PlaceOf place_of, Each each) const {
    LargestPool<8> pool;
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      pool.at[j] = place_of(static_cast<int>(numbers[j / 2] >> j % 2 * 16 & 0xffff));
    }
#pragma unroll
    for (int n = 0; n < 4; ++n) widen2<T>(value[n], &pool.value[2 * n], &pool.value[2 * n + 1]);
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      if (pool.value[j] == 0) pool.value[j] = widen(src[pool.at[j] * channels + j]);
      if (pool.value[j] == pool.value[j]) continue;
      each([&](int place) {
        const float x = widen(src[place * channels + j]);
        pool.at[j] = x != x ? place : pool.at[j];
      });
    }
    return pool;
  }
};

template <class T, int kWide>
GPU_KERNEL(kPoolThreads, kPartsBlocks)
volume_parts(Largest<T> op, PartsGrid parts, int channels, ResultStrides strides,
             Axes<AdaptiveAxis> axes) {
  await_earlier();
  GPU_SHARED(float, values, kPoolThreads / 2 * kWide);
  GPU_SHARED(int, places, kPoolThreads / 2 * kWide);
  const int units = kPoolThreads >> parts.parts_log2;
  const int part = thread_id() / units, unit = thread_id() & (units - 1);
  const PlaceInVolume at(parts.grid, axes.frames, axes.high.out, block_id() * units + unit);
  const Range deep = taps_of(axes.deep, at.plane), high = taps_of(axes.high, at.begin);
  const Range wide = taps_of(axes.wide, at.column);
  LargestPool<kWide> pool;
  if (at.inside) {
    const int count = deep.count() * high.count() * wide.count();
    const int share = (count + (1 << parts.parts_log2) - 1) >> parts.parts_log2;
    const int begin = part * share, end = begin + share < count ? begin + share : count;
    const int first = begin < count ? begin : 0;
    // Offsets of 32 bits reach everything, and become addresses in one instruction.
    const auto image = static_cast<uint32_t>(at.image * op.src_image + at.group * kWide);
    PartPool<T, kWide> own;
    Walker walker(deep, high, wide, first, axes);
    for (int i = begin; i < end; i += kPartLoads) {
      Tap<T, kWide> taps[kPartLoads];
      int from[kPartLoads];
#pragma unroll
      for (int k = 0; k < kPartLoads; ++k) {
        from[k] = walker.place;
        taps[k].load(op.src + (image + static_cast<uint32_t>(from[k] * channels)));
        walker.next_if(i + k + 1 < end);
      }
#pragma unroll
      for (int k = 0; k < kPartLoads; ++k) own.add(taps[k], i - begin + k, from[k]);
    }
    Walker again(deep, high, wide, first, axes);
    pool = own.found(
        op.src + image, channels, [&](int number) { return again.behind(number); },
        [&](auto look_at) {
          Walker each = again;
#pragma unroll 1
          for (int i = begin; i < end; ++i, each.next_if(true)) look_at(each.place);
        });
  }
  join_parts(&pool, part, 1 << parts.parts_log2, unit, units, values, places);
  if (!at.inside || part != 0) return;
  const int lowest = axes.place(deep.begin, high.begin, wide.begin);
  const int64_t dst = at.image * op.dst_image + at.group * kWide * int64_t{strides.channel} +
                      axes.result(at.plane, at.begin, at.column) * int64_t{strides.result};
  if (strides.channel == 1) return op.put(pool, dst, lowest);
#pragma unroll
  for (int j = 0; j < kWide; ++j) {
    LargestPool<1> one;
    one.value[0] = pool.value[j];
    one.at[0] = pool.at[j];
    op.put(one, dst + j * int64_t{strides.channel}, lowest);
  }
}

// As many parts as keep the device full several times over, none of them small. Where that makes
// more than one round of blocks and less than two, half as many, in one.
template <class T, int kWide>
int launch_parts(const Largest<T>& op, const Images& images, const ResultStrides& strides,
                 const Axes<AdaptiveAxis>& axes, const polyops_context* ctx) {
  const auto share = [](const AdaptiveAxis& a) { return int64_t{(a.in + a.out - 1) / a.out}; };
  const int64_t taps = share(axes.deep) * share(axes.high) * share(axes.wide);
  PartsGrid parts = {make_grid({images.count * axes.deep.out, images.channels}, kWide,
                               axes.wide.out, axes.high.out, 1),
                     0};
  const int64_t units = parts.grid.threads;
  const int64_t full = kTimesFull * kThreadsAtOnce * multiprocessors(ctx);
  while (parts.parts_log2 < kMostPartsLog2 && taps >> (parts.parts_log2 + 1) >= kLeastPart &&
         units << parts.parts_log2 < full) {
    ++parts.parts_log2;
  }
  if constexpr (kWide == 8) {
    const auto most = [&](const AdaptiveAxis& a) { return share(a) + 1; };
    if (most(axes.deep) * most(axes.high) * most(axes.wide) >> parts.parts_log2 >=
        kMostOfPart / 2) {
      return launch_parts<T, 1>(op, images, strides, axes, ctx);
    }
  }
  const int64_t round = int64_t{kPartsBlocks} * kPoolThreads * multiprocessors(ctx);
  const int64_t threads = units << parts.parts_log2;
  if (parts.parts_log2 > 0 && threads > round && threads < 2 * round) --parts.parts_log2;
  return gpu::launch(volume_parts<T, kWide>, parts.grid.shape(parts.parts_log2), ctx, op, parts,
                     images.channels, strides, axes);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_MAX_POOL_PARTS_H_
