// layer_norm and rms_norm across the slow dimension of memory, as of an image's pixels over its
// channels (N, H, W, C of NCHW): rows follow each other by an element, and what is in one lies far
// apart. A block takes a tile of so many rows as a part of a wave reads in one access, keeps it in
// shared memory, and writes the results row by row.
#ifndef POLYOPS_GPU_LAYER_NORM_FORWARD_TILES_H_
#define POLYOPS_GPU_LAYER_NORM_FORWARD_TILES_H_

#include "forward.h"

namespace polyops::gpu {
namespace {

constexpr int kAcrossThreads = 256;
constexpr int kAcrossLanes = 32;                             // side by side across rows
constexpr int kAcrossParts = kAcrossThreads / kAcrossLanes;  // of a row's elements
// Elements of a lane under way at a time.
constexpr int kAcrossAhead = 8;
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
  GPU_DEVICE int part() const { return thread_id() / kAcrossLanes; }
  // From the tile's first row. Lanes beyond its rows have zeros.
  GPU_DEVICE void fill(const T* src, int64_t between) const {
    const bool mine = lane() * kEach < rows;
    const T* from = src + part() * between + lane() * kEach;
    for (int first = part(); first < n; first += kAcrossAhead * kAcrossParts) {
      Word words[kAcrossAhead];
#pragma unroll
      for (int k = 0; k < kAcrossAhead; ++k) {
        words[k] = {};
        if (mine && first + k * kAcrossParts < n) words[k] = *reinterpret_cast<const Word*>(from);
        from += kAcrossParts * between;
      }
#pragma unroll
      for (int k = 0; k < kAcrossAhead; ++k) {
        const int at = first + k * kAcrossParts;
        if (at < n) memory[at * kPitch + lane()] = words[k];
      }
    }
  }
  // Of the lane's rows, those elements that it has filled in: f(e, x, y) of two of a row, the last
  // one alone f(e, x).
  template <class F>
  GPU_DEVICE void for_own(float scale, F f) const {
    int at = part();
#pragma unroll 2
    for (; at + kAcrossParts < n; at += 2 * kAcrossParts) {
      float x[kEach], y[kEach];
      memory[at * kPitch + lane()].get(x);
      memory[(at + kAcrossParts) * kPitch + lane()].get(y);
#pragma unroll
      for (int e = 0; e < kEach; ++e) f(e, x[e] * scale, y[e] * scale);
    }
    if (at >= n) return;
    float x[kEach];
    memory[at * kPitch + lane()].get(x);
#pragma unroll
    for (int e = 0; e < kEach; ++e) f(e, x[e] * scale);
  }
  GPU_DEVICE float get(int row, int at) const {
    return widen(reinterpret_cast<const T*>(memory + at * kPitch)[row]);
  }
};

// Sums of each row over its parts. `table`: kCount * kAcrossThreads elements, twice.
template <int kCount>
GPU_DEVICE void sum_parts(float (&sums)[kCount], float* table) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) table[i * kAcrossThreads + thread_id()] = sums[i];
  barrier();
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    sums[i] = 0;
    const float* from = table + i * kAcrossThreads + thread_id() % kAcrossLanes;
#pragma unroll
    for (int p = 0; p < kAcrossParts; ++p) sums[i] += from[p * kAcrossLanes];
  }
}

// Of the lane's rows. `tables`: 3 * kEach * kAcrossThreads elements.
template <class Norm, class T, int kEach>
GPU_DEVICE void tile_moments(const Tile<T, kEach>& tile, float scale, float inv_n, float eps,
                             float* tables, Moments (&m)[kEach]) {
  float centers[kEach] = {}, sums[2 * kEach];
  if constexpr (Norm::kCentered) {
    LongSum values[kEach];
    tile.for_own(scale, [&](int e, auto... x) { values[e].add((x + ...)); });
#pragma unroll
    for (int e = 0; e < kEach; ++e) centers[e] = values[e].sum;
    sum_parts(centers, tables);
#pragma unroll
    for (int e = 0; e < kEach; ++e) centers[e] *= inv_n;
  }
  LongSum deviations[kEach], squares[kEach];
  tile.for_own(scale, [&](int e, auto... x) {
    if constexpr (Norm::kCentered) {
      deviations[e].add(((x - centers[e]) + ...));
      squares[e].add((((x - centers[e]) * (x - centers[e])) + ...));
    } else {
      squares[e].add_square(((x * x) + ...));
    }
  });
#pragma unroll
  for (int e = 0; e < kEach; ++e) {
    sums[e] = deviations[e].sum;
    sums[kEach + e] = squares[e].sum;
  }
  sum_parts(sums, tables + kEach * kAcrossThreads);
#pragma unroll
  for (int e = 0; e < kEach; ++e) {
    const float further = sums[e] * inv_n;
    m[e] = make_moments({centers[e], further, fmaf(-sums[e], further, sums[kEach + e])}, scale,
                        inv_n, eps);
  }
}

// Row by row, a part of the block to each; its lanes side by side along it. of: the moments of the
// tile's rows.
template <class Norm, class T, class P, int kEach>
GPU_DEVICE void store_tile(const ForwardCall<Norm, T, P>& call, const Tile<T, kEach>& tile,
                           const Moments* of, T* dst, int64_t after) {
  for (int at = tile.lane(); at < tile.n; at += kAcrossLanes) {
    float weight = 1, bias = -0.0f;
    if (call.weight != nullptr) weight = widen(call.weight[at]);
    if (Norm::kCentered && call.bias != nullptr) bias = widen(call.bias[at]);
#pragma unroll 4
    for (int row = tile.part(); row < tile.rows; row += kAcrossParts) {
      const Moments m = of[row];
      const float y = m.normal<Norm>(tile.get(row, at) * m.scale);
      dst[row * after + at] = narrow<T>(affine<Norm>(y, weight, bias));
    }
  }
}

template <class Norm, class T, class P, int kEach>
GPU_KERNEL(kAcrossThreads)
forward_tiles(ForwardCall<Norm, T, P> call, Tiles tiles) {
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
  tile.fill(call.src + at[0], tiles.between);
  Moments m[kEach];
  tile_moments<Norm>(tile, 1.0f, call.inv_n, call.eps, tables, m);
  const int mine = tile.lane() * kEach;
  const auto keep = [&](bool all) {
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      if (mine + e >= tile.rows) continue;
      if (all || !(moments[mine + e].factor > 0)) moments[mine + e] = m[e];
      if (!(m[e].factor > 0)) *again = 1;
    }
  };
  if (tile.part() == 0) keep(true);
  barrier();
  if (kWideRange<T> && *again != 0) {  // squares were infinite, or not a number
    tile_moments<Norm>(tile, kSmaller, call.inv_n, call.eps, tables, m);
    if (tile.part() == 0) keep(false);
    barrier();
  }
  if (thread_id() < tile.rows) store_moments(call, row + thread_id(), moments[thread_id()]);
  store_tile(call, tile, moments, call.dst + at[1], tiles.after);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_FORWARD_TILES_H_
