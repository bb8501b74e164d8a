// Channels that lie next to each other, as in channels_last: rows are pixels, columns channels. A block
// takes a tile of columns of a chunk of the rows; a thread a pack of columns, or one where rows are
// not cut alike, of every so many rows, kColumnRows of them in flight.
#ifndef POLYOPS_GPU_CHANNEL_NORM_COLUMNS_H_
#define POLYOPS_GPU_CHANNEL_NORM_COLUMNS_H_

#include "apply.h"
#include "moments.h"
#include "sums.h"

namespace polyops::gpu {
namespace {

constexpr int kColumnRows = 4;
constexpr int kMostAcross = 32;  // threads: no more than a wave has lanes
constexpr int kLeastWave = 32;

struct Columns {
  int64_t rows;
  int32_t channels;
  int32_t across;  // threads along columns, a power of two
  int32_t tiles, chunks;

  GPU_DEVICE int64_t begin(int32_t chunk) const { return rows * chunk / chunks; }
};

// So that few threads have no columns, and every block some rows.
inline Columns columns_of(int64_t rows, int64_t channels, int width) {
  const auto up = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
  const int64_t packs = channels / width;
  int64_t across = kMostAcross;
  while (across > 1 && up(packs, across) * across * 8 > packs * 9) across /= 2;
  const int64_t tiles = up(packs, across);
  int64_t chunks = up(kRunBlocks, tiles);
  const int64_t most = up(rows * across, int64_t{kRunThreads} * kColumnRows * 2);
  if (chunks > most) chunks = most;
  return {rows, static_cast<int32_t>(channels), static_cast<int32_t>(across),
          static_cast<int32_t>(tiles), static_cast<int32_t>(chunks)};
}

template <class T, int kWidth>
GPU_DEVICE void load_columns(const T* p, float (&x)[kWidth]) {
  if constexpr (kWidth == 1) {
    x[0] = widen(p[0]);
  } else {
    unpack<T>(load_words(p), x);
  }
}

template <class T, int kWidth>
GPU_DEVICE void store_columns(T* p, const float (&x)[kWidth]) {
  if constexpr (kWidth == 1) {
    p[0] = narrow<T>(x[0]);
  } else {
    store_words(p, pack<T>(x));
  }
}

// What a thread takes.
template <int kWidth>
struct ColumnShare {
  int32_t column;  // the first
  int32_t chunk;
  int64_t row, end;
  int32_t step;
  bool ours;

  GPU_DEVICE ColumnShare(const Columns& of, int64_t block)
      : column(
            (static_cast<int32_t>(block % of.tiles) * of.across + (thread_id() & (of.across - 1))) *
            kWidth),
        chunk(static_cast<int32_t>(block / of.tiles)),
        row(of.begin(chunk) + thread_id() / of.across),
        end(of.begin(chunk + 1)),
        step(block_threads() / of.across),
        ours(column < of.channels) {
    if (!ours) row = end;
  }
};

// Calls f(x, rows) for batches of the share's rows, of kInputs tensors each.
template <int kInputs, int kWidth, class T, class F>
GPU_DEVICE void for_each_batch(const Columns& of, const ColumnShare<kWidth>& share,
                               const T* const (&in)[kInputs], F f) {
  constexpr int kRows = kColumnRows / kInputs;
  for (int64_t row = share.row; row < share.end; row += int64_t{kRows} * share.step) {
    float x[kInputs][kRows][kWidth];
    const int64_t left = (share.end - row + share.step - 1) / share.step;
    const int rows = left < kRows ? static_cast<int>(left) : kRows;
#pragma unroll
    for (int i = 0; i < kInputs; ++i) {
#pragma unroll
      for (int k = 0; k < kRows; ++k) {
        if (k < rows) {
          load_columns(in[i] + (row + int64_t{k} * share.step) * of.channels + share.column,
                       x[i][k]);
        }
      }
    }
    f(row, rows, x);
  }
}

// Combines what threads with the same columns have: lanes by shuffles, then waves, in order, through
// shared memory. `merge(a, b)` of kValues values; the sum of each column is given to `store(column in
// the tile, values)`.
template <int kValues, int kWidth, class Merge, class Store>
GPU_DEVICE void combine_columns(const Columns& of, float (&x)[kWidth][kValues], float* shared,
                                Merge merge, Store store) {
  for (int mask = of.across; mask < wave_size(); mask *= 2) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      float other[kValues];
#pragma unroll
      for (int v = 0; v < kValues; ++v) other[v] = shuffle_xor(x[j][v], mask);
      merge(x[j], other);
    }
  }
  const int columns = of.across * kWidth, waves = block_threads() / wave_size();
  const int lane = thread_id() % wave_size(), wave = thread_id() / wave_size();
  if (lane < of.across) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
#pragma unroll
      for (int v = 0; v < kValues; ++v) {
        shared[(wave * kValues + v) * columns + lane * kWidth + j] = x[j][v];
      }
    }
  }
  barrier();
  for (int column = thread_id(); column < columns; column += block_threads()) {
    float all[kValues];
    for (int w = 0; w < waves; ++w) {
      float one[kValues];
#pragma unroll
      for (int v = 0; v < kValues; ++v) one[v] = shared[(w * kValues + v) * columns + column];
      if (w == 0) {
#pragma unroll
        for (int v = 0; v < kValues; ++v) all[v] = one[v];
      } else {
        merge(all, one);
      }
    }
    store(column, all);
  }
}

template <int kValues, int kWidth>
constexpr int kColumnShared = kRunThreads / kLeastWave * kValues * kMostAcross * kWidth;

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CHANNEL_NORM_COLUMNS_H_
