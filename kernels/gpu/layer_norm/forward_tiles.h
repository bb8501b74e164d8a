// layer_norm and rms_norm across the slow dimension of memory, as of an image's pixels over its
// channels (N, H, W, C of NCHW): rows follow each other by an element, and what is in one lies far
// apart. A block takes a tile of so many rows as a part of a wave reads in one access, keeps it in
// shared memory, and writes the results row by row.
#ifndef POLYOPS_GPU_LAYER_NORM_FORWARD_TILES_H_
#define POLYOPS_GPU_LAYER_NORM_FORWARD_TILES_H_

#include "forward.h"

namespace polyops::gpu {
namespace {

// Few threads do the most with each; where shared memory has room for few blocks, more.
constexpr int kAcrossThreads = 256, kAcrossFewThreads = 128, kAcrossManyBlocks = 8;
constexpr int kAcrossLanes = 32;  // side by side across rows
// Accesses of a lane under way at a time, of a word each, or of 16 bytes.
constexpr int kAcrossAhead = 8, kWideAhead = 6;
// Words of 16 bytes, and elements of a row that a lane stores at a time.
constexpr int kWideWords = 4;
// Bytes that a block has declared, at most.
constexpr int64_t kAcrossBesides = 8192;

// Two neighbours of 16 bits, which a lane has of two rows, are one access.
template <class T, int kEach>
struct TileWord {
  static_assert(kEach == 2);
  uint32_t bits;
  GPU_DEVICE void get(float (&x)[2]) const { widen2<T>(bits, &x[0], &x[1]); }
  GPU_DEVICE static TileWord of(const float (&x)[2]) { return {narrow2<T>(x[0], x[1])}; }
} __attribute__((may_alias));
template <class T>
struct TileWord<T, 1> {
  T value;
  GPU_DEVICE void get(float (&x)[1]) const { x[0] = widen(value); }
  GPU_DEVICE static TileWord of(const float (&x)[1]) { return {narrow<T>(x[0])}; }
} __attribute__((may_alias));

// Where a call's tiles are. Of kEach rows per lane.
struct Tiles {
  int32_t run;      // rows that follow each other
  int32_t of_run;   // tiles
  int64_t between;  // two elements of a row, in the input
  int64_t after;    // from a row of the result to the next
  // Whether each four words of the input lie at 16 aligned bytes, and each four elements of a row
  // of the result, and of the parameters, at as many as they have.
  bool wide_in, wide_out;
};

// A tile in shared memory: an element of all its rows side by side, the next one's beside a gap,
// which keeps neighbours of a row in different banks.
template <class T, int kEach>
struct Tile {
  using Word = TileWord<T, kEach>;
  static constexpr int kPitch = kAcrossLanes + 1;  // words
  static constexpr int kRows = kAcrossLanes * kEach;
  Word* memory;
  int n, rows;  // of them in the input

  GPU_DEVICE int lane() const { return thread_id() % kAcrossLanes; }
  // Of a row's elements.
  GPU_DEVICE int part() const { return thread_id() / kAcrossLanes; }
  GPU_DEVICE int parts() const { return block_threads() / kAcrossLanes; }
  // From the tile's first row. Lanes beyond its rows have zeros.
  GPU_DEVICE void fill(const T* src, int64_t between) const {
    const int step = parts();
    const bool mine = lane() * kEach < rows;
    const T* from = src + part() * between + lane() * kEach;
    for (int first = part(); first < n; first += kAcrossAhead * step) {
      Word words[kAcrossAhead];
#pragma unroll
      for (int k = 0; k < kAcrossAhead; ++k) {
        words[k] = {};
        if (mine && first + k * step < n) words[k] = *reinterpret_cast<const Word*>(from);
        from += step * between;
      }
#pragma unroll
      for (int k = 0; k < kAcrossAhead; ++k) {
        const int at = first + k * step;
        if (at < n) memory[at * kPitch + lane()] = words[k];
      }
    }
  }
  // The same, four words at a time, which no two lanes of a wave store to one bank.
  GPU_DEVICE void fill_wide(const T* src, int64_t between) const {
    static_assert(sizeof(Word) == 4);
    constexpr int kLanes = kAcrossLanes / kWideWords;
    const int lines = block_threads() / kLanes;
    const int line = thread_id() / kLanes, word = thread_id() % kLanes * kWideWords;
    const bool mine = word * kEach < rows;
    const T* from = src + line * between + word * kEach;
    for (int first = line; first < n; first += kWideAhead * lines) {
      Words words[kWideAhead];
#pragma unroll
      for (int k = 0; k < kWideAhead; ++k) {
        words[k] = {};
        if (mine && first + k * lines < n) words[k] = load_words(from);
        from += lines * between;
      }
      auto* to = reinterpret_cast<OneWord*>(memory + first * kPitch + word);
#pragma unroll
      for (int k = 0; k < kWideAhead; ++k) {
        if (first + k * lines >= n) break;
#pragma unroll
        for (int j = 0; j < kWideWords; ++j) to[j].w = words[k].w[j];
        to += lines * kPitch;
      }
    }
  }
  // Of the lane's rows, those elements that are this part's: f(e, x...) of four of a row, or one.
  template <class F>
  GPU_DEVICE void for_own(F f) const {
    const int step = 4 * parts();
    int at = 4 * part();
    const Word* from = memory + at * kPitch + lane();
#pragma unroll 2
    for (; at + 4 <= n; at += step) {
      float x[4][kEach];
#pragma unroll
      for (int k = 0; k < 4; ++k) from[k * kPitch].get(x[k]);
#pragma unroll
      for (int e = 0; e < kEach; ++e) f(e, x[0][e], x[1][e], x[2][e], x[3][e]);
      from += step * kPitch;
    }
#pragma unroll 1
    for (; at < n; ++at) {  // of the last part alone
      float x[kEach];
      from->get(x);
#pragma unroll
      for (int e = 0; e < kEach; ++e) f(e, x[e]);
      from += kPitch;
    }
  }
  // Those of some of the lane's rows become smaller.
  GPU_DEVICE void make_smaller(const bool (&which)[kEach]) const {
#pragma unroll 1
    for (int first = 4 * part(); first < n; first += 4 * parts()) {
#pragma unroll 1
      for (int at = first; at < n && at < first + 4; ++at) {
        float x[kEach];
        Word* const word = memory + at * kPitch + lane();
        word->get(x);
#pragma unroll
        for (int e = 0; e < kEach; ++e) x[e] *= which[e] ? kSmaller : 1;
        *word = Word::of(x);
      }
    }
  }
};

// Sums of each row over its parts. `table`: kCount * kAcrossThreads elements.
template <int kCount>
GPU_DEVICE void sum_parts(float (&sums)[kCount], float* table) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) table[i * kAcrossThreads + thread_id()] = sums[i];
  barrier();
#pragma unroll
  for (int i = 0; i < kCount; ++i) sums[i] = 0;
#pragma unroll 4
  for (int at = thread_id() % kAcrossLanes; at < block_threads(); at += kAcrossLanes) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) sums[i] += table[i * kAcrossThreads + at];
  }
}

// Of the lane's rows, which are `scale` as large. `tables`: 3 * kEach * kAcrossThreads elements.
template <class Norm, class T, int kEach>
GPU_DEVICE void tile_moments(const Tile<T, kEach>& tile, const float (&scale)[kEach], float inv_n,
                             float eps, float* tables, Moments (&m)[kEach]) {
  float centers[kEach] = {}, sums[2 * kEach];
  if constexpr (Norm::kCentered) {
    LongSum values[kEach];
    tile.for_own([&](int e, auto... x) { values[e].add((x + ...)); });
#pragma unroll
    for (int e = 0; e < kEach; ++e) centers[e] = values[e].sum;
    sum_parts(centers, tables);
#pragma unroll
    for (int e = 0; e < kEach; ++e) centers[e] *= inv_n;
  }
  float deviations[kEach] = {};  // what rounding took from the center: few digits of it count
  LongSum squares[kEach];
  tile.for_own([&](int e, auto... x) {
    if constexpr (Norm::kCentered) {
      deviations[e] += ((x - centers[e]) + ...);
      squares[e].add((((x - centers[e]) * (x - centers[e])) + ...));
    } else {
      squares[e].add_square(((x * x) + ...));
    }
  });
#pragma unroll
  for (int e = 0; e < kEach; ++e) {
    sums[e] = deviations[e];
    sums[kEach + e] = squares[e].sum;
  }
  sum_parts(sums, tables + kEach * kAcrossThreads);
#pragma unroll
  for (int e = 0; e < kEach; ++e) {
    const float further = sums[e] * inv_n;
    m[e] = make_moments({centers[e], further, fmaf(-sums[e], further, sums[kEach + e])}, scale[e],
                        inv_n, eps);
  }
}

// Parameters of as many elements; `absent` if there are none.
template <class P, int kColumns>
GPU_DEVICE void load_columns(const P* from, float absent, float (&x)[kColumns]) {
#pragma unroll
  for (int j = 0; j < kColumns; ++j) x[j] = absent;
  if (from == nullptr) return;
  if constexpr (kColumns == 1) {
    x[0] = widen(*from);
  } else if constexpr (sizeof(P) == 4) {
    unpack<P>(load_words(from), x);
  } else {
    const HalfPack pack = *reinterpret_cast<const HalfPack*>(from);
    widen2<P>(pack.w[0], &x[0], &x[1]);
    widen2<P>(pack.w[1], &x[2], &x[3]);
  }
}

// Row by row, some lanes side by side along it, each with kColumns elements at a time, which no two
// lanes of a wave have in one bank. of: the moments of the tile's rows.
template <class Norm, int kColumns, class T, class P, int kEach>
GPU_DEVICE void store_tile(const ForwardCall<Norm, T, P>& call, const Tile<T, kEach>& tile,
                           const Moments* of, T* dst, int64_t after) {
  constexpr int kLanes = kAcrossLanes / kColumns;
  const int teams = block_threads() / kLanes;
  const int words = (tile.rows + kEach - 1) / kEach;
  for (int at = thread_id() % kLanes * kColumns; at < tile.n; at += kAcrossLanes) {
    float weight[kColumns], bias[kColumns];
    load_columns(call.weight == nullptr ? nullptr : call.weight + at, 1.0f, weight);
    const bool biased = Norm::kCentered && call.bias != nullptr;
    load_columns(biased ? call.bias + at : nullptr, -0.0f, bias);
#pragma unroll kColumns == 1 ? 4 : 1
    for (int word = thread_id() / kLanes; word < words; word += teams) {
      float y[kEach][kColumns];
#pragma unroll
      for (int j = 0; j < kColumns; ++j) {
        float x[kEach];
        tile.memory[(at + j) * tile.kPitch + word].get(x);
#pragma unroll
        for (int e = 0; e < kEach; ++e) y[e][j] = x[e];
      }
#pragma unroll
      for (int e = 0; e < kEach; ++e) {
        const Moments m = of[word * kEach + e];
#pragma unroll
        for (int j = 0; j < kColumns; ++j) {
          y[e][j] = affine<Norm>(m.normal<Norm>(y[e][j]), weight[j], bias[j]);
        }
        T* const to = dst + (word * kEach + e) * after + at;
        if constexpr (kColumns == 1) {
          *to = narrow<T>(y[e][0]);
        } else {
          store_elements(to, y[e]);
        }
      }
    }
  }
}

template <class Norm, class T, class P, int kEach>
GPU_KERNEL(kAcrossThreads)
forward_tiles(ForwardCall<Norm, T, P> call, Tiles tiles) {
  await_earlier();
  GPU_SHARED(float, tables, 3 * kEach * kAcrossThreads);
  GPU_SHARED(Moments, moments, kAcrossLanes * kEach);
  GPU_SHARED(int, again, 1);
  GPU_DYNAMIC_SHARED(Words, memory);
  using OfTile = Tile<T, kEach>;
  const auto block = static_cast<uint32_t>(block_id());
  const auto of_run = static_cast<uint32_t>(tiles.of_run);
  const int first = static_cast<int>(block % of_run) * OfTile::kRows;
  const int64_t row = int64_t{block / of_run} * tiles.run + first;
  const int left = tiles.run - first;
  int64_t at[2];
  call.rows.offsets(row, at);
  const OfTile tile = {reinterpret_cast<typename OfTile::Word*>(memory), call.n,
                       left < OfTile::kRows ? left : OfTile::kRows};
  if (thread_id() == 0) *again = 0;
  const T* const src = call.src + at[0];
  if constexpr (sizeof(typename OfTile::Word) == 4) {
    tiles.wide_in ? tile.fill_wide(src, tiles.between) : tile.fill(src, tiles.between);
  } else {
    tile.fill(src, tiles.between);
  }
  barrier();
  const int mine = tile.lane() * kEach;
  Moments m[kEach];
  float scale[kEach];
#pragma unroll
  for (int e = 0; e < kEach; ++e) scale[e] = 1;
  const auto find = [&] {
    tile_moments<Norm>(tile, scale, call.inv_n, call.eps, tables, m);
    if (tile.part() != 0) return;
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      if (mine + e < tile.rows) moments[mine + e] = m[e];
      if (mine + e < tile.rows && !(m[e].factor > 0)) *again = 1;
    }
  };
  find();
  barrier();
  if (kWideRange<T> && *again != 0) {  // squares were infinite, or not a number
    bool smaller[kEach];
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      smaller[e] = !(m[e].factor > 0);
      if (smaller[e]) scale[e] = kSmaller;
    }
    tile.make_smaller(smaller);
    find();
    barrier();
  }
  if (thread_id() < tile.rows) store_moments(call, row + thread_id(), moments[thread_id()]);
  T* const dst = call.dst + at[1];
  if (tiles.wide_out) {
    store_tile<Norm, kWideWords>(call, tile, moments, dst, tiles.after);
  } else {
    store_tile<Norm, 1>(call, tile, moments, dst, tiles.after);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_FORWARD_TILES_H_
