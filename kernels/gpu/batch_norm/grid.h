// Batches of channels next to each other by a grid of which all blocks run at the same time, each
// on a multiprocessor of its own: the first rows of each stay in shared memory until the grid has
// the channels' sums. Bound: memory, as if once for those rows; the others are read again, the last
// ones first, which may still be in the second-level cache. Or two teams of blocks take tiles of so
// few channels that all rows of one find room, in turns: where a thread has stored a row of one,
// that of the next tile is on its way to the same place. Each multiprocessor has a block of both.
#ifndef POLYOPS_GPU_BATCH_NORM_GRID_H_
#define POLYOPS_GPU_BATCH_NORM_GRID_H_

#include "call.h"
#include "channel_norm/columns_kernels.h"
#include "grid_barrier.h"
#include "grid_share.h"

namespace polyops::gpu {
namespace {

// Lanes that share a column when what chunks have of it is added up.
GPU_DEVICE int grid_team(int columns) {
  const int lanes = block_threads() / columns;
  return lanes < kLeastWave ? lanes : kLeastWave;
}

// Calls make(lane of its team, lanes, column in the tile, channel) with all lanes, for what all
// chunks have of each column; then f[j] are the lines that those left in `lines`,
// [fields][columns].
template <class T, class F, class Make>
GPU_DEVICE void make_grid_lines(const GridColumns& grid, const GridShare<T>& share, float* lines,
                                F (&f)[kPack<T>], Make make) {
  const int columns = grid.of.across * kPack<T>, team = grid_team(columns);
  const int column = thread_id() / team, first = share.rest.tile * columns;
  make(thread_id() % team, team, column, first + column);
  barrier();
  if (!share.ours()) return;
#pragma unroll
  for (int v = 0; v < static_cast<int>(sizeof(F) / sizeof(float)); ++v) {
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) {
      reinterpret_cast<float*>(&f[j])[v] = lines[v * columns + share.rest.column - first + j];
    }
  }
}

// What a column's line has, to be found there.
template <class F>
GPU_DEVICE void put_grid_line(const F& line, float* lines, int columns, int column) {
#pragma unroll
  for (int v = 0; v < static_cast<int>(sizeof(F) / sizeof(float)); ++v) {
    lines[v * columns + column] = reinterpret_cast<const float*>(&line)[v];
  }
}

// All results: first of what there is no room for. Of turns that others follow, then the rows of
// the next tile, in place of those that were held, as begin() copies them.
template <class T, int kInputs, class F>
GPU_DEVICE void store_grid(const GridColumns& grid, const GridShare<T>& share, bool more,
                           const RunPointers<T, kInputs>& p, const F (&f)[kPack<T>]) {
  for_each_batch<kGridRows / kInputs, true>(grid.of, share.rest, p.in,
                                            [&](int64_t at, int64_t stride, const auto& batch) {
                                              map_batch(f, p.out + at, stride, batch);
                                            });
  if (!more) {
    share.template for_each_held<kInputs>(grid, 0, share.held, [&](int32_t k, const auto& batch) {
      map_batch(f, p.out + share.first + k * share.stride, share.stride, batch);
    });
    return;
  }
  const int64_t ahead = int64_t{kGridTeams} * grid.of.across * kPack<T>;
#pragma unroll 1
  for (int stage = 0; stage < kGridStages; ++stage) {
    const auto store = [&]<int kRows>(int32_t k, const Held<T, kPack<T>>(&batch)[kInputs][kRows]) {
      const int64_t at = share.first + k * share.stride;
      map_batch(f, p.out + at, share.stride, batch);
#pragma unroll
      for (int j = 0; j < kRows; ++j) {
#pragma unroll
        for (int i = 0; i < kInputs; ++i) {
          copy_16_later(share.at(grid, i, k + j), p.in[i] + at + j * share.stride + ahead);
        }
      }
    };
    share.template for_each_held<kInputs>(grid, stage * grid.stage, share.end_of(grid, stage),
                                          store);
    close_copies();
  }
}

// Of the teams, in the workspace, where channels have so many values of each chunk.
GPU_DEVICE uint32_t* counts_behind(const GridColumns& grid, int values, float* workspace) {
  return reinterpret_cast<uint32_t*>(workspace +
                                     int64_t{grid.of.chunks} * values * grid.of.channels);
}
// Before the first turn, of several.
GPU_DEVICE void open_turns(const GridColumns& grid, uint32_t* counts) {
  if (grid.turns > 1) open_blocks(counts + grid.tile(), grid.chunk() == 0);
}
// All blocks that share a tile have come.
GPU_DEVICE void meet_grid(const GridColumns& grid, uint32_t* counts, int turn) {
  if (grid.turns == 1) {
    grid_barrier();
  } else {
    blocks_barrier(counts + grid.tile(), turn, grid.of.chunks);
  }
}

template <int kValues, int kWidth>
constexpr int kGridShared = kGridThreads / kLeastWave * kValues * kGridAcross * kWidth;

// A tile. moments: as column_moments() leaves them.
template <class T>
GPU_DEVICE void normalise_tile(const GridColumns& grid, const GridShare<T>& share, int turn,
                               const BatchCall& call, const RunPointers<T, 1>& p, float* moments,
                               float* shared, float* pivots, float* lines) {
  constexpr int kWidth = kPack<T>;
  ColumnWelford<kWidth> w = {};
  if (share.ours()) pivots_of(p.in[0], grid.of, share.rest.column, w.pivot);
  if (thread_id() < grid.of.across) {
#pragma unroll
    for (int j = 0; j < kWidth; ++j) pivots[thread_id() * kWidth + j] = w.pivot[j];
  }
  share.template for_each_arriving<1>(grid, [&](int32_t k, const auto& x) {
    if (k == 0) {
#pragma unroll
      for (int j = 0; j < kWidth; ++j) w.mean[j] = x[0][0][j] - w.pivot[j];
    }
    w.add(x[0]);
  });
  for_each_batch<kGridRows, false>(grid.of, share.rest, p.in,
                                   [&](int64_t, int64_t, const auto& x) { w.add(x[0]); });
  store_column_moments<T, kWidth>(grid.of, share.rest, w, shared, moments);
  meet_grid(grid, counts_behind(grid, kColumnMoments, moments), turn);
  Line f[kWidth];
  make_grid_lines<T>(grid, share, lines, f, [&](int lane, int team, int column, int32_t c) {
    const bool is_column = column < grid.of.across * kWidth && c < grid.of.channels;
    Welford all;
    if (is_column) {
      all = moments_of_chunks(moments, c, grid.of.channels, grid.of.chunks, lane, team);
    }
    all = combine_lanes(all, team);
    if (!is_column || lane != 0) return;
    const ChannelMoments of = {pivots[column], all.mean, all.low, all.square};
    put_grid_line(line_of(call, affine_of<T>(call, c), of), lines, grid.of.across * kWidth, column);
    if (share.rest.chunk == 0) store_moments<T>(call, c, of);
  });
  store_grid(grid, share, turn + 1 < grid.turns, p, f);
}

template <class T>
GPU_KERNEL(kGridThreads, 1)
grid_forward(GridColumns grid, BatchCall call, RunPointers<T, 1> p, float* moments) {
  constexpr int kWidth = kPack<T>;
  GPU_DYNAMIC_SHARED(Words, memory);
  GPU_SHARED(float, shared, (kGridShared<kColumnMoments, kWidth>));
  GPU_SHARED(float, pivots, kGridAcross* kWidth);
  GPU_SHARED(float, lines, 3 * kGridAcross * kWidth);
  GridShare<T>(grid, grid.tile(), memory).begin(grid, p.in);
  open_turns(grid, counts_behind(grid, kColumnMoments, moments));
#pragma unroll 1
  for (int turn = 0; turn < grid.turns; ++turn) {
    const GridShare<T> share(grid, grid.tile() + turn * kGridTeams, memory);
    normalise_tile<T>(grid, share, turn, call, p, moments, shared, pivots, lines);
  }
}

// A tile. p.in: the gradient and src. sums: as column_gradient_sums() leaves them.
template <class T>
GPU_DEVICE void map_tile(const GridColumns& grid, const GridShare<T>& share, int turn,
                         const ChannelResults& to, const RunPointers<T, 2>& p, float* sums,
                         float* shared, float* lines) {
  constexpr int kWidth = kPack<T>;
  ColumnProducts<kWidth> w = {};
  if (share.ours()) w.template load_means<T>(to.statistics, share.rest.column);
  share.template for_each_arriving<2>(grid, [&](int32_t, const auto& x) { w.add(x); });
  for_each_batch<kGridRows / 2, false>(grid.of, share.rest, p.in,
                                       [&](int64_t, int64_t, const auto& x) { w.add(x); });
  store_column_products<T, kWidth>(grid.of, share.rest, w, to.statistics, shared, sums);
  meet_grid(grid, counts_behind(grid, 2, sums), turn);
  GradientLine f[kWidth];
  make_grid_lines<T>(grid, share, lines, f, [&](int lane, int team, int column, int32_t c) {
    const bool is_column = column < grid.of.across * kWidth && c < grid.of.channels;
    float both[2] = {};
    for (int32_t i = lane; is_column && i < grid.of.chunks; i += team) {
      both[0] += sums[int64_t{2} * i * grid.of.channels + c];
      both[1] += sums[(int64_t{2} * i + 1) * grid.of.channels + c];
    }
    sum_lanes(both, team);
    if (!is_column || lane != 0) return;
    put_grid_line(gradient_line(channel_gradient<T>(to, c), to.inv_n, both[0], both[1]), lines,
                  grid.of.across * kWidth, column);
    if (share.rest.chunk == 0) store_sums<T>(to, c, both[0], both[1]);
  });
  store_grid(grid, share, turn + 1 < grid.turns, p, f);
}

template <class T>
GPU_KERNEL(kGridThreads, 1)
grid_backward(GridColumns grid, ChannelResults to, RunPointers<T, 2> p, float* sums) {
  constexpr int kWidth = kPack<T>;
  GPU_DYNAMIC_SHARED(Words, memory);
  GPU_SHARED(float, shared, (kGridShared<2, kWidth>));
  GPU_SHARED(float, lines, 4 * kGridAcross * kWidth);
  GridShare<T>(grid, grid.tile(), memory).begin(grid, p.in);
  open_turns(grid, counts_behind(grid, 2, sums));
#pragma unroll 1
  for (int turn = 0; turn < grid.turns; ++turn) {
    const GridShare<T> share(grid, grid.tile() + turn * kGridTeams, memory);
    map_tile<T>(grid, share, turn, to, p, sums, shared, lines);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_BATCH_NORM_GRID_H_
