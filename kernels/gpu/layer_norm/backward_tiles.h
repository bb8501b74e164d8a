// The gradients where src lies across the slow dimension of memory, as an image's channels do, and
// grad and grad_src row by row: src by tiles as in forward_tiles.h, beside them the rows of grad. A
// block takes tiles in turn, of each the rows' sums and grad_src, then what its columns add up to.
// Bound: memory, 3 elements moved per element.
#ifndef POLYOPS_GPU_LAYER_NORM_BACKWARD_TILES_H_
#define POLYOPS_GPU_LAYER_NORM_BACKWARD_TILES_H_

#include "backward.h"
#include "forward_tiles.h"

namespace polyops::gpu {
namespace {

constexpr int kTilesThreads = 256;
constexpr int kTilesBlocks = 4;  // of a multiprocessor at most
template <class T>
inline constexpr int kTileEach = sizeof(T) == 2 ? 2 : 1;

struct TileRow {
  float mean, rstd;
};

// A tile's rows of grad, side by side.
template <class T>
struct GradRows {
  T* memory;
  int n;

  // Begins to copy them.
  GPU_DEVICE void fill(const T* grad, int64_t between, int rows) const {
    constexpr int kLanes = 8;
    const int first = thread_id() % kLanes * kPack<T>;
    for (int row = thread_id() / kLanes; row < rows; row += kTilesThreads / kLanes) {
      for (int at = first; at < n; at += kLanes * kPack<T>) {
        copy_16_later(memory + row * n + at, grad + row * between + at);
      }
    }
  }
  GPU_DEVICE void get(int row, int at, float (&x)[kWideWords]) const {
    load_columns(memory + row * n + at, 0.0f, x);
  }
  GPU_DEVICE float get(int row, int at) const { return widen(memory[row * n + at]); }
};

// f(at, e, g, x_hat) for four elements of a word's rows that are this lane's.
template <class T, class P, int kEach, class F>
GPU_DEVICE void for_columns(const Tile<T, kEach>& tile, const GradRows<T>& grads,
                            const TileRow (&of)[kEach], const P* weights, int word, F f) {
  constexpr int kLanes = kAcrossLanes / kWideWords;
  for (int at = thread_id() % kLanes * kWideWords; at < tile.n; at += kAcrossLanes) {
    float weight[kWideWords], x[kWideWords][kEach];
    load_columns(weights == nullptr ? nullptr : weights + at, 1.0f, weight);
#pragma unroll
    for (int j = 0; j < kWideWords; ++j) tile.memory[(at + j) * tile.kPitch + word].get(x[j]);
#pragma unroll
    for (int e = 0; e < kEach; ++e) {
      float g[kWideWords], normal[kWideWords];
      grads.get(word * kEach + e, at, g);
#pragma unroll
      for (int j = 0; j < kWideWords; ++j) {
        g[j] *= weight[j];
        normal[j] = (x[j][e] - of[e].mean) * of[e].rstd;
      }
      f(at, e, g, normal);
    }
  }
}

// grad_src of the tile's rows; out: of its first one, null if nobody wants it.
template <class Norm, class T, class P, int kEach>
GPU_DEVICE void store_rows(const BackwardCall<Norm, T, P>& call, const Tile<T, kEach>& tile,
                           const GradRows<T>& grads, const TileRow* rows, T* out, int64_t between) {
  constexpr int kLanes = kAcrossLanes / kWideWords;
  static_assert(kTilesThreads / kLanes == kAcrossLanes, "a word's rows to each team");
  const int word = thread_id() / kLanes;
  TileRow of[kEach];
#pragma unroll
  for (int e = 0; e < kEach; ++e) of[e] = rows[word * kEach + e];
  float sums[2 * kEach] = {};
  for_columns(tile, grads, of, call.weight, word,
              [&](int, int e, const float(&g)[kWideWords], const float(&x)[kWideWords]) {
                float all = 0, product = 0;
#pragma unroll
                for (int j = 0; j < kWideWords; ++j) {
                  all += g[j];
                  product = fmaf(g[j], x[j], product);
                }
                sums[e] += all;
                sums[kEach + e] += product;
              });
  sum_lanes(sums, kLanes);
  for_columns(tile, grads, of, call.weight, word,
              [&](int at, int e, const float(&g)[kWideWords], const float(&x)[kWideWords]) {
                if (word * kEach + e >= tile.rows) return;
                const float of_g = Norm::kCentered ? sums[e] * call.inv_n : 0.0f;
                const float of_product = sums[kEach + e] * call.inv_n;
                float y[kWideWords];
#pragma unroll
                for (int j = 0; j < kWideWords; ++j) {
                  y[j] = of[e].rstd * (g[j] - fmaf(x[j], of_product, of_g));
                }
                store_elements(out + (word * kEach + e) * between + at, y);
              });
}

// Adds the tile's rows to the columns, by threads side by side; where there are fewer columns than
// threads, some take every second row or so. columns: [groups][kParameters][n].
template <class Norm, class T, int kEach>
GPU_DEVICE void add_columns(const Tile<T, kEach>& tile, const GradRows<T>& grads,
                            const TileRow* rows, int groups, float* columns) {
  const int n = tile.n, group = thread_id() / n;
  if (groups > 1 && group >= groups) return;
  const int words = tile.rows / kEach;
  for (int column = groups > 1 ? thread_id() - group * n : thread_id(); column < n;
       column += kTilesThreads) {
    float weight = 0, bias = 0;
#pragma unroll 4
    for (int word = groups > 1 ? group : 0; word < words; word += groups) {
      float x[kEach];
      tile.memory[column * tile.kPitch + word].get(x);
#pragma unroll
      for (int e = 0; e < kEach; ++e) {
        const TileRow row = rows[word * kEach + e];
        const float g = grads.get(word * kEach + e, column);
        weight = fmaf(g, (x[e] - row.mean) * row.rstd, weight);
        bias += g;
      }
    }
    float* const of = columns + (groups > 1 ? group : 0) * Norm::kParameters * n + column;
    of[0] += weight;
    if constexpr (Norm::kCentered) of[n] += bias;
  }
}

// all: tiles. groups: see add_columns().
template <class Norm, class T, class P>
GPU_KERNEL(kTilesThreads, kTilesBlocks)
backward_tiles(BackwardCall<Norm, T, P> call, Tiles tiles, int32_t all, int groups) {
  await_earlier();
  constexpr int kEach = kTileEach<T>;
  using OfTile = Tile<T, kEach>;
  GPU_SHARED(TileRow, rows, OfTile::kRows);
  GPU_DYNAMIC_SHARED(Words, memory);
  if (call.sums != nullptr) let_later_begin();
  const int thread = thread_id();
  auto* const words = reinterpret_cast<typename OfTile::Word*>(memory);
  const GradRows<T> grads = {reinterpret_cast<T*>(memory + call.n * OfTile::kPitch / 4 + 1),
                             call.n};
  auto* const columns = reinterpret_cast<float*>(grads.memory + OfTile::kRows * call.n);
  const int sums = groups * Norm::kParameters * call.n;
  for (int i = thread; i < sums; i += kTilesThreads) columns[i] = 0;
  for (auto number = static_cast<uint32_t>(block_id()); number < static_cast<uint32_t>(all);
       number += static_cast<uint32_t>(grid_blocks())) {
    const auto of_run = static_cast<uint32_t>(tiles.of_run);
    const int first = static_cast<int>(number % of_run) * OfTile::kRows;
    const int64_t row = int64_t{number / of_run} * tiles.run + first;
    const int left = tiles.run - first;
    const OfTile tile = {words, call.n, left < OfTile::kRows ? left : OfTile::kRows};
    int64_t at[3];
    call.rows.offsets(row, at);
    barrier();  // what was in the tile has been used
    grads.fill(call.grad + at[0], call.rows.strides[0][0], tile.rows);
    close_copies();
    if (thread < OfTile::kRows) {
      rows[thread] = {0, 0};
      if (thread < tile.rows) {
        if constexpr (Norm::kCentered) rows[thread].mean = load_value<T>(call.mean, row + thread);
        rows[thread].rstd = load_value<T>(call.rstd, row + thread);
      }
    }
    tile.fill_wide(call.src + at[1], tiles.between);
    wait_copies<0>();
    barrier();
    if (call.grad_src != nullptr) {
      store_rows(call, tile, grads, rows, call.grad_src + at[2], call.rows.strides[2][0]);
    }
    if (call.sums != nullptr) add_columns<Norm>(tile, grads, rows, groups, columns);
  }
  if (call.sums == nullptr) return;
  barrier();
  for (int i = thread; i < Norm::kParameters * call.n; i += kTilesThreads) {
    float sum = columns[i];
    for (int g = 1; g < groups; ++g) sum += columns[g * Norm::kParameters * call.n + i];
    const int which = i / call.n;
    call.sums[(block_id() * Norm::kParameters + which) * call.stride + (i - which * call.n)] = sum;
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_BACKWARD_TILES_H_
