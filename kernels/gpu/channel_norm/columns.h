// Channels that lie next to each other, as in channels_last: rows are pixels, columns channels. A
// block takes a tile of columns of a chunk of the rows; a thread a pack of columns, or one where
// rows are not cut alike, of every so many rows, several of them in flight.
#ifndef POLYOPS_GPU_CHANNEL_NORM_COLUMNS_H_
#define POLYOPS_GPU_CHANNEL_NORM_COLUMNS_H_

#include "apply.h"
#include "moments.h"
#include "sums.h"

namespace polyops::gpu {
namespace {

constexpr int kMostAcross = 32;  // threads: no more than a wave has lanes
constexpr int kLeastWave = 32;
constexpr int kBanks = 32;      // of shared memory
constexpr int kColumnRows = 4;  // of each tensor in flight, per thread

// Blocks that a multiprocessor has registers for, by the tensors that are read. A grid is one such
// block for each of an H200's 132, so that each has rows enough to make up for what comes before
// and after.
constexpr int column_blocks(int inputs) { return inputs == 1 ? 3 : 2; }
constexpr int64_t kColumnProcessors = 132;

struct Columns {
  int32_t rows, channels;
  int32_t across;  // threads along columns, a power of two
  int32_t tiles, chunks;
  int32_t part;  // rows of each chunk but the last
};

// So that few threads have no columns, and those of a block as many whole batches of rows as each
// other.
inline Columns columns_of(int64_t rows, int64_t channels, int width, int inputs) {
  const auto up = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
  const int64_t packs = channels / width;
  int64_t across = kMostAcross;
  while (across > 1 && up(packs, across) * across * 8 > packs * 9) across /= 2;
  const int64_t tiles = up(packs, across);
  const int64_t batch = kRunThreads / across * kColumnRows;
  const int64_t part =
      up(up(rows, up(kColumnProcessors * column_blocks(inputs), tiles)), batch) * batch;
  return {static_cast<int32_t>(rows),           static_cast<int32_t>(channels),
          static_cast<int32_t>(across),         static_cast<int32_t>(tiles),
          static_cast<int32_t>(up(rows, part)), static_cast<int32_t>(part)};
}

// Columns next to each other, as they are in memory.
template <class T, int kWidth>
struct Held {
  Words words;

  GPU_DEVICE static Held load(const T* p) { return {load_words(p)}; }
  GPU_DEVICE float operator[](int j) const {
    if constexpr (kPack<T> == 4) {
      return float_of_bits(words.w[j]);
    } else {
      float both[2];
      widen2<T>(words.w[j / 2], &both[0], &both[1]);
      return both[j % 2];
    }
  }
};
template <class T>
struct Held<T, 1> {
  float x;

  GPU_DEVICE static Held load(const T* p) { return {widen(*p)}; }
  GPU_DEVICE float operator[](int) const { return x; }
};

template <bool kOnce, class T, int kWidth>
GPU_DEVICE void store_columns(T* p, const float (&x)[kWidth]) {
  if constexpr (kWidth == 1) {
    p[0] = narrow<T>(x[0]);
  } else if constexpr (kOnce) {
    store_words_once(p, pack<T>(x));
  } else {
    store_words(p, pack<T>(x));
  }
}

// What a thread takes.
template <int kWidth>
struct ColumnShare {
  int32_t tile, chunk;
  int32_t column;  // the first
  int32_t row, end, step;
  bool ours;

  GPU_DEVICE ColumnShare(const Columns& of, int64_t block)
      : tile(static_cast<int32_t>(block) % of.tiles),
        chunk(static_cast<int32_t>(block) / of.tiles),
        column((tile * of.across + (thread_id() & (of.across - 1))) * kWidth),
        row(chunk * of.part + thread_id() / of.across),
        end(of.rows - chunk * of.part < of.part ? of.rows : (chunk + 1) * of.part),
        step(block_threads() / of.across),
        ours(column < of.channels) {
    if (!ours) row = end;
  }
};

template <int kRows, int kInputs, int kWidth, class T, class F>
GPU_DEVICE void load_batch(const T* const (&in)[kInputs], int64_t at, int64_t stride, F f) {
  Held<T, kWidth> x[kInputs][kRows];
#pragma unroll
  for (int i = 0; i < kInputs; ++i) {
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      x[i][k] = Held<T, kWidth>::load(in[i] + at + k * stride);
    }
  }
  f(at, stride, x);
}

// Calls f(offset of the first row's element, elements from a row to the next, x[kInputs][rows]) for
// batches of the share's rows, of kRows and at the end of one. Backwards the end comes first.
template <int kRows, bool kBackwards, int kInputs, int kWidth, class T, class F>
GPU_DEVICE void for_each_batch(const Columns& of, const ColumnShare<kWidth>& share,
                               const T* const (&in)[kInputs], F f) {
  const int64_t stride = int64_t{share.step} * of.channels;
  const int32_t rows =
      share.row < share.end ? (share.end - share.row + share.step - 1) / share.step : 0;
  const int32_t whole = rows / kRows * kRows;
  const int64_t first = int64_t{share.row} * of.channels + share.column;
  const auto batches = [&] {
    int64_t at = kBackwards ? first + (whole - kRows) * stride : first;
    for (int32_t row = 0; row < whole; row += kRows) {
      load_batch<kRows, kInputs, kWidth>(in, at, stride, f);
      at += kBackwards ? -kRows * stride : kRows * stride;
    }
  };
  if (!kBackwards) batches();
  int64_t at = first + whole * stride;
#pragma unroll 1
  for (int32_t row = whole; row < rows; ++row) {
    load_batch<1, kInputs, kWidth>(in, at, stride, f);
    at += stride;
  }
  if (kBackwards) batches();
}

// Where values of a tile's columns lie in shared memory: each thread's j-th ones next to each
// other, so that neither threads that have kWidth of them nor those that have one meet in a bank.
template <int kWidth>
struct ColumnPlaces {
  static constexpr int kGap = kWidth == 1 ? 0 : kBanks / kWidth;
  static constexpr int kMost = (kMostAcross + kGap) * kWidth;
  int row;

  GPU_DEVICE explicit ColumnPlaces(const Columns& of) : row(of.across + kGap) {}
  GPU_DEVICE int size() const { return row * kWidth; }
  GPU_DEVICE int at(int thread, int j) const { return j * row + thread; }
  GPU_DEVICE int of(int column) const { return at(column / kWidth, column % kWidth); }
};

// Combines what threads with the same columns have: lanes by shuffles, then waves, in order,
// through shared memory. `merge(a, b)` of kValues values; the sum of each column is given to
// `store(column in the tile, values)`.
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
  const ColumnPlaces<kWidth> places(of);
  const int lane = thread_id() % wave_size(), wave = thread_id() / wave_size();
  if (lane < of.across) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
#pragma unroll
      for (int v = 0; v < kValues; ++v) {
        shared[(wave * kValues + v) * places.size() + places.at(lane, j)] = x[j][v];
      }
    }
  }
  barrier();
  const int waves = block_threads() / wave_size();
  for (int column = thread_id(); column < of.across * kWidth; column += block_threads()) {
    const float* const from = shared + places.of(column);
    float all[kValues];
#pragma unroll
    for (int v = 0; v < kValues; ++v) all[v] = from[v * places.size()];
#pragma unroll 4
    for (int w = 1; w < waves; ++w) {
      float one[kValues];
#pragma unroll
      for (int v = 0; v < kValues; ++v) one[v] = from[(w * kValues + v) * places.size()];
      merge(all, one);
    }
    store(column, all);
  }
}

// Floats that so many threads need for that.
template <int kValues, int kWidth, int kThreads = kRunThreads>
constexpr int kColumnShared = kThreads / kLeastWave * kValues * ColumnPlaces<kWidth>::kMost;

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CHANNEL_NORM_COLUMNS_H_
