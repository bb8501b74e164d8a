// How kernels take images whose channels lie next to each other: a thread has a few channels of
// some neighbouring results in a row, a strip, and slides down the image. Every pixel is read and
// widened once, and nothing but rows is compared with the image's edge.
//
// A kernel's Own type says: kElements, channels of a thread; kResults, of a row; kPixels, that
// those read of a row; a step reads W::kS rows of pixels, for kBefore + 1 rows of results;
// kThreads; kBlocks of them on a multiprocessor; kLanes, the threads with other channels each in a
// block at most.
#ifndef POLYOPS_GPU_CONVOLUTION_SLIDE_H_
#define POLYOPS_GPU_CONVOLUTION_SLIDE_H_

#include "division.h"
#include "planes.h"
#include "store.h"

namespace polyops::gpu {
namespace {

// From the host: packs of it are where 16 aligned bytes are.
inline bool is_aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

// How threads fall to channels.
struct SlideLanes {
  int32_t columns, width;  // of blocks; threads next to each other, the last column's may be fewer
  int32_t lines;           // of such threads in a block
};

// And to strips of results and stretches of rows. Own says what a thread has.
struct SlideGrid : SlideLanes {
  int32_t rows, strips;   // results' rows of a stretch; strips in all, of one stretch each
  int32_t turns;          // strips of a line, if all blocks run at once
  Division across, down;  // strips of a row, stretches of an image
};

// How an image's rows are cut into stretches; how many there are, and how many one after the other.
struct Stretches {
  int32_t rows;
  int64_t count, turns;
};

// As long as keep the device busy: each has `more` steps that finish nothing, and it takes the time
// of some others to begin. of_row: how many stretches begin in each row that is cut; at_once: that
// run.
inline Stretches stretches_of(int32_t height, int more, int64_t of_row, int64_t at_once) {
  constexpr int kToBegin = 4;
  const double rows_at_once = static_cast<double>(of_row * height) / static_cast<double>(at_once);
  Stretches best = {height, 0, 0};
  int64_t least = INT64_MAX;
  for (int32_t parts = 1;;) {
    const int32_t rows = (height + parts - 1) / parts, steps = rows + more + kToBegin;
    // These, and all shorter ones, take longer even if none waits for another.
    if (rows_at_once * steps / rows >= static_cast<double>(least)) return best;
    const int64_t count = of_row * ((height + rows - 1) / rows);
    const int64_t turns = ceil_div(count, at_once), time = turns * steps;
    if (time < least) {
      least = time;
      best = {rows, count, turns};
    }
    if (rows == 1) return best;
    parts = (height + rows - 2) / (rows - 1);  // the fewest whose rows are fewer
  }
}

// Those steps: of large filters most products are left out.
template <class Own>
inline constexpr int kMore = Own::kBefore > 2 ? Own::kBefore / 3 : Own::kBefore;

template <class Own>
SlideGrid slide_grid(const Shape& s, int64_t multiprocessors) {
  SlideGrid g;
  const int32_t lanes = s.channels / Own::kElements;
  g.columns = static_cast<int32_t>(ceil_div(lanes, Own::kLanes));
  g.width = static_cast<int32_t>(ceil_div(lanes, g.columns));
  g.lines = Own::kThreads / g.width;
  const int64_t across = ceil_div(s.w.out, Own::kResults);
  const int64_t blocks = multiprocessors * Own::kBlocks / g.columns;
  const Stretches stretches =
      stretches_of(s.h.out, kMore<Own>, s.batch * across, g.lines * (blocks > 1 ? blocks : 1));
  g.rows = stretches.rows;
  g.strips = static_cast<int32_t>(stretches.count);
  g.turns = static_cast<int32_t>(stretches.turns);
  g.across = Division(static_cast<uint32_t>(across));
  g.down = Division(static_cast<uint32_t>(ceil_div(s.h.out, g.rows)));
  return g;
}

// A thread's channels, and which of the blocks with those channels it is in.
template <class Own>
struct SlideLane {
  int32_t channel, channels;  // the block's
  int32_t own;                // the thread's first, from the block's
  int32_t block, line;
  bool has;

  GPU_DEVICE SlideLane(const Shape& s, const SlideLanes& g) {
    const auto id = static_cast<uint32_t>(block_id()), columns = static_cast<uint32_t>(g.columns);
    const int32_t all = g.width * Own::kElements;
    block = static_cast<int32_t>(id / columns);
    channel = (static_cast<int32_t>(id) - block * g.columns) * all;
    channels = s.channels - channel < all ? s.channels - channel : all;
    line = thread_id() / g.width;
    own = (thread_id() - line * g.width) * Own::kElements;
    has = line < g.lines && own < channels;
  }
};

// A strip's first result, and how many there are.
template <class Own>
struct SlideStrip {
  int32_t n, row, column, rows, results;

  GPU_DEVICE SlideStrip(int32_t index, const Shape& s, const SlideGrid& g) {
    auto rest = static_cast<uint32_t>(index);
    column = static_cast<int32_t>(take_remainder(g.across, &rest)) * Own::kResults;
    row = static_cast<int32_t>(take_remainder(g.down, &rest)) * g.rows;
    n = static_cast<int32_t>(rest);
    rows = s.h.out - row < g.rows ? s.h.out - row : g.rows;
    results = s.w.out - column;
  }
  // Of its first result and of the first pixel that it reads, in elements.
  GPU_DEVICE int64_t out(const Shape& s) const {
    return (int64_t{n} * s.out() + row * s.w.out + column) * s.channels;
  }
  GPU_DEVICE int64_t in(const Shape& s, int32_t y, int32_t x) const {
    return (int64_t{n} * s.in() + int64_t{y} * s.w.in + x) * s.channels;
  }
};

// A few neighbouring channels of a pixel as they are in memory: 4, 8 or 16 aligned bytes.
template <class T, int kElements>
struct Few {
  static constexpr int kWords = kElements * static_cast<int>(sizeof(T)) / 4;
  uint32_t w[kWords];

  GPU_DEVICE void load(const T* p) {
    if constexpr (kWords == 4) {
      load_16(p, w);
    } else if constexpr (kWords == 2) {
      const HalfPack half = *reinterpret_cast<const HalfPack*>(p);
      w[0] = half.w[0], w[1] = half.w[1];
    } else {
      w[0] = reinterpret_cast<const Word*>(p)->w;
    }
  }
  GPU_DEVICE void clear() {
#pragma unroll
    for (uint32_t& word : w) word = 0;
  }
  GPU_DEVICE void get(float (&x)[kElements]) const {
#pragma unroll
    for (int i = 0; i < kWords; ++i) {
      if constexpr (sizeof(T) == 4) {
        x[i] = float_of_bits(w[i]);
      } else {
        widen2<T>(w[i], &x[2 * i], &x[2 * i + 1]);
      }
    }
  }
  GPU_DEVICE void set(const float (&x)[kElements]) {
#pragma unroll
    for (int i = 0; i < kWords; ++i) {
      if constexpr (sizeof(T) == 4) {
        w[i] = float_bits(x[i]);
      } else {
        w[i] = narrow2<T>(x[2 * i], x[2 * i + 1]);
      }
    }
  }
  GPU_DEVICE void store(T* p) const {
    if constexpr (kWords == 4) {
      store_16(p, w);
    } else if constexpr (kWords == 2) {
      store_half_pack(p, w[0], w[1]);
    } else {
      reinterpret_cast<Word*>(p)->w = w[0];
    }
  }
};

// p and so many times as many elements on, by one instruction where j is a constant.
template <class T>
GPU_DEVICE T* ahead(T* p, int32_t elements, int j) {
  using Byte = std::conditional_t<std::is_const_v<T>, const char, char>;
  return reinterpret_cast<T*>(reinterpret_cast<Byte*>(p) +
                              int64_t{elements} * (j * static_cast<int>(sizeof(T))));
}

// The pixels of one row that a strip reads, 0 where there is none.
template <class T, int kElements, int kPixels>
struct PixelRow {
  Few<T, kElements> pixels[kPixels];

  // first: of the thread's channels, of the first pixel, which is at x of a row of so many, the
  // y-th of an image of so many.
  GPU_DEVICE void load(const T* first, int32_t channels, int32_t x, int32_t columns, int32_t y,
                       int32_t rows) {
    const bool has = static_cast<uint32_t>(y) < static_cast<uint32_t>(rows);
    if (has && x >= 0 && x + kPixels <= columns) {
#pragma unroll
      for (int j = 0; j < kPixels; ++j) pixels[j].load(ahead(first, channels, j));
      return;
    }
#pragma unroll
    for (int j = 0; j < kPixels; ++j) {
      pixels[j].clear();
      if (has && static_cast<uint32_t>(x + j) < static_cast<uint32_t>(columns)) {
        pixels[j].load(ahead(first, channels, j));
      }
    }
  }
  // Now: behind a branch they would be widened again in each.
  GPU_DEVICE void get(float (&x)[kPixels][kElements]) const {
#pragma unroll
    for (int j = 0; j < kPixels; ++j) {
      pixels[j].get(x[j]);
#pragma unroll
      for (float& value : x[j]) {
        uint32_t bits = float_bits(value);
        forget_bits(&bits);
        value = float_of_bits(bits);
      }
    }
  }
};

// kCount at p, aligned to as many.
template <int kCount>
GPU_DEVICE void load_few(const float* p, float (&x)[kCount]) {
  Few<float, kCount> few;
  few.load(p);
  few.get(x);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_SLIDE_H_
