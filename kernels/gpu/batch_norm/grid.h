// Batches of channels next to each other by a grid of which all blocks run at the same time, each
// on a multiprocessor of its own: the first rows of each stay in shared memory until the grid has
// the channels' sums. Each channel's are added up by a wave of one block, which tells the others.
// Bound: memory, as if once for those rows; the others are read again, the last ones first, which
// may still be in the second-level cache.
#ifndef POLYOPS_GPU_BATCH_NORM_GRID_H_
#define POLYOPS_GPU_BATCH_NORM_GRID_H_

#include "call.h"
#include "channel_norm/columns_kernels.h"
#include "grid_barrier.h"

namespace polyops::gpu {
namespace {

constexpr int kGridThreads = 512;
constexpr int kGridAcross = 32;  // packs: 512 bytes of a row, next to each other in memory
constexpr int kGridRows = 8;     // in flight of a thread, of all tensors
constexpr int kGridStages = 4;   // in which the rows in shared memory arrive
constexpr int kGridBatch = 4;    // of those at a time
constexpr int kGridAtOnce = 2;   // waves, when columns are combined

struct GridColumns {
  Columns of;
  int32_t held, stage;  // rows of a thread that there is room for; of a stage, whole batches
};

// What a thread takes.
template <class T>
struct GridShare {
  ColumnShare<kPack<T>> rest;  // what there is no room for
  int64_t first, stride;       // elements to the first row, from that to the next one
  int32_t held;
  int64_t kept = -1;  // elements to the last `last` rows, if there are as many
  Words* place;       // of the first row

  GPU_DEVICE GridShare(const GridColumns& grid, Words* memory, int32_t last)
      : rest(grid.of, block_id()),
        first(int64_t{rest.row} * grid.of.channels + rest.column),
        stride(int64_t{rest.step} * grid.of.channels),
        place(memory + thread_id()) {
    const int32_t left = rest.end - rest.row;
    const int32_t rows = left > 0 ? (left + rest.step - 1) / rest.step : 0;
    held = rows < grid.held ? rows : grid.held;
    rest.row += held * rest.step;
    if (rows - held < last) return;
    kept = first + (rows - last) * stride;
    rest.end -= last * rest.step;
  }
  GPU_DEVICE bool ours() const { return rest.ours; }
  // Of row k of the i-th tensor.
  GPU_DEVICE Words* at(const GridColumns& grid, int i, int32_t k) const {
    return place + (i * grid.held + k) * block_threads();
  }
  GPU_DEVICE int32_t end_of(const GridColumns& grid, int stage) const {
    const int32_t end = (stage + 1) * grid.stage;
    return end < held ? end : held;
  }
  template <int kInputs>
  GPU_DEVICE void begin(const GridColumns& grid, const T* const (&in)[kInputs]) const {
    int64_t from = first;
    int32_t k = 0;
    for (int stage = 0; stage < kGridStages; ++stage) {
      for (; k < end_of(grid, stage); ++k) {
#pragma unroll
        for (int i = 0; i < kInputs; ++i) copy_16_later(at(grid, i, k), in[i] + from);
        from += stride;
      }
      close_copies();
    }
  }
  template <int kInputs, int kRows>
  GPU_DEVICE void load(const GridColumns& grid, int32_t k,
                       Held<T, kPack<T>> (&x)[kInputs][kRows]) const {
#pragma unroll
    for (int i = 0; i < kInputs; ++i) {
#pragma unroll
      for (int j = 0; j < kRows; ++j) x[i][j].words = *at(grid, i, k + j);
    }
  }
  // Calls f(k, x[kInputs][rows]) for batches of the rows from k on.
  template <int kInputs, class F>
  GPU_DEVICE void for_each_held(const GridColumns& grid, int32_t k, int32_t end, F f) const {
    for (; k + kGridBatch <= end; k += kGridBatch) {
      Held<T, kPack<T>> x[kInputs][kGridBatch];
      load(grid, k, x);
      f(k, x);
    }
#pragma unroll 1
    for (; k < end; ++k) {
      Held<T, kPack<T>> x[kInputs][1];
      load(grid, k, x);
      f(k, x);
    }
  }
  // The same of all, as they arrive.
  template <int kInputs, int kStage = 0, class F>
  GPU_DEVICE void for_each_arriving(const GridColumns& grid, F f) const {
    if constexpr (kStage < kGridStages) {
      wait_copies<kGridStages - 1 - kStage>();
      for_each_held<kInputs>(grid, kStage * grid.stage, end_of(grid, kStage), f);
      for_each_arriving<kInputs, kStage + 1>(grid, f);
    }
  }
};

// The columns of a block's tile, and what a wave of one of the tile's blocks tells of each.
struct GridTile {
  Said* totals;
  int32_t first, columns;  // channel; of them
  int32_t chunk, chunks;

  template <class T>
  GPU_DEVICE GridTile(const GridColumns& grid, const GridShare<T>& share, float* behind)
      : first(share.rest.tile * grid.of.across * kPack<T>),
        columns(grid.of.across * kPack<T>),
        chunk(share.rest.chunk),
        chunks(grid.of.chunks) {
    if (columns > grid.of.channels - first) columns = grid.of.channels - first;
    totals = reinterpret_cast<Said*>(behind) + first;
  }
  // Calls f(column) for those of this wave.
  template <class F>
  GPU_DEVICE void for_each(F f) const {
    const int waves = block_threads() / wave_size();
    for (int c = chunk + thread_id() / wave_size() * chunks; c < columns; c += waves * chunks) f(c);
  }
  // The grid has what it will look at. A last turn's totals are none of this one.
  GPU_DEVICE void open() const {
    for_each([&](int c) {
      if (thread_id() % wave_size() == 0) say(totals + c, {});
    });
    grid_barrier();
  }
};

// total(column), in a wave of one block: what its chunks have of it, the same in all lanes.
// make(column, hear) gives the column's line, of what hear() says. Then f[j] are this thread's.
// lines: see leave_line().
template <class T, class F, class Total, class Make>
GPU_DEVICE void make_grid_lines(const GridColumns& grid, const GridTile& tile,
                                const GridShare<T>& share, float* lines, F (&f)[kPack<T>],
                                Total total, Make make) {
  tile.for_each([&](int c) {
    const Said said = total(c);
    if (thread_id() % wave_size() == 0) say(tile.totals + c, said);
  });
  meet_blocks();
  for (int c = thread_id(); c < tile.columns; c += block_threads()) {
    const F line = make(c, [&] {
      Said said[1];
      hear(tile.totals, c, tile.columns, 1, said);
      return said[0];
    });
    leave_line<kPack<T>>(grid.of, c, line, lines);
  }
  barrier();
  if (share.ours()) take_lines(grid.of, lines, f);
}

// What a thread looks at last, in its registers between the two passes.
template <class T, int kInputs>
struct GridKept {
  static constexpr int kRows = kGridRows / kInputs;
  Held<T, kPack<T>> x[kInputs][kRows];

  template <class F>
  GPU_DEVICE void load(const GridShare<T>& share, const T* const (&in)[kInputs], F f) {
    if (share.kept < 0) return;
    load_batch<kRows, kInputs, kPack<T>>(in, share.kept, share.stride,
                                         [&](int64_t, int64_t, const auto& batch) {
#pragma unroll
                                           for (int i = 0; i < kInputs; ++i) {
#pragma unroll
                                             for (int k = 0; k < kRows; ++k) x[i][k] = batch[i][k];
                                           }
                                           f(batch);
                                         });
  }
};

// All results: of what there is room for last. The others leave the caches to what is read again.
template <class T, int kInputs, class F>
GPU_DEVICE void store_grid(const GridColumns& grid, const GridShare<T>& share,
                           const RunPointers<T, kInputs>& p, const GridKept<T, kInputs>& kept,
                           const F (&f)[kPack<T>]) {
  if (share.kept >= 0) map_batch<true>(f, p.out + share.kept, share.stride, kept.x);
  for_each_batch<kGridRows / kInputs, true>(grid.of, share.rest, p.in,
                                            [&](int64_t at, int64_t stride, const auto& batch) {
                                              map_batch<true>(f, p.out + at, stride, batch);
                                            });
  share.template for_each_held<kInputs>(grid, 0, share.held, [&](int32_t k, const auto& batch) {
    map_batch<false>(f, p.out + share.first + k * share.stride, share.stride, batch);
  });
}

template <int kValues, int kWidth>
constexpr int kGridShared = 2 * kGridAtOnce * kValues * ColumnPlaces<kWidth>::kMost;

// moments: as column_moments() leaves them, and a Said of each channel.
template <class T>
GPU_KERNEL(kGridThreads, 1)
grid_forward(GridColumns grid, BatchCall call, RunPointers<T, 1> p, float* moments) {
  constexpr int kWidth = kPack<T>;
  GPU_DYNAMIC_SHARED(Words, memory);
  GPU_SHARED(float, shared, (kGridShared<kColumnMoments, kWidth>));
  GPU_SHARED(float, pivots, kGridAcross* kWidth);
  GPU_SHARED(float, lines, 3 * ColumnPlaces<kWidth>::kMost);
  const GridShare<T> share(grid, memory, GridKept<T, 1>::kRows);
  share.begin(grid, p.in);
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
  GridKept<T, 1> kept = {};
  kept.load(share, p.in, [&](const auto& x) { w.add(x[0]); });
  store_column_moments<T, kWidth, kGridAtOnce>(grid.of, share.rest, w, shared, moments);
  const GridTile tile(grid, share,
                      moments + int64_t{grid.of.chunks} * kColumnMoments * grid.of.channels);
  tile.open();
  Line f[kWidth];
  make_grid_lines<T>(
      grid, tile, share, lines, f,
      [&](int column) -> Said {
        const int32_t c = tile.first + column;
        const Welford all =
            combine_lanes(moments_of_chunks(moments, c, grid.of.channels, grid.of.chunks,
                                            thread_id() % wave_size(), wave_size()),
                          wave_size());
        if (thread_id() % wave_size() == 0) {
          store_moments<T>(call, c, {pivots[column], all.mean, all.low, all.square});
        }
        return {{all.mean, all.low, all.square}, 1};
      },
      [&](int column, auto hear) {
        const ChannelAffine affine = affine_of<T>(call, tile.first + column);
        const Said all = hear();
        return line_of(call, affine, {pivots[column], all.x[0], all.x[1], all.x[2]});
      });
  store_grid(grid, share, p, kept, f);
}

// p.in: the gradient and src. sums: as column_gradient_sums() leaves them, and a Said of each
// channel.
template <class T>
GPU_KERNEL(kGridThreads, 1)
grid_backward(GridColumns grid, ChannelResults to, RunPointers<T, 2> p, float* sums) {
  constexpr int kWidth = kPack<T>;
  GPU_DYNAMIC_SHARED(Words, memory);
  GPU_SHARED(float, shared, (kGridShared<2, kWidth>));
  GPU_SHARED(float, lines, 4 * ColumnPlaces<kWidth>::kMost);
  const GridShare<T> share(grid, memory, GridKept<T, 2>::kRows);
  share.begin(grid, p.in);
  ColumnProducts<kWidth> w = {};
  if (share.ours()) w.template load_means<T>(to.statistics, share.rest.column);
  share.template for_each_arriving<2>(grid, [&](int32_t, const auto& x) { w.add(x); });
  for_each_batch<kGridRows / 2, false>(grid.of, share.rest, p.in,
                                       [&](int64_t, int64_t, const auto& x) { w.add(x); });
  GridKept<T, 2> kept = {};
  kept.load(share, p.in, [&](const auto& x) { w.add(x); });
  store_column_products<T, kWidth, kGridAtOnce>(grid.of, share.rest, w, to.statistics, shared,
                                                sums);
  const GridTile tile(grid, share, sums + int64_t{grid.of.chunks} * 2 * grid.of.channels);
  tile.open();
  GradientLine f[kWidth];
  make_grid_lines<T>(
      grid, tile, share, lines, f,
      [&](int column) -> Said {
        const int32_t c = tile.first + column;
        float both[2] = {};
#pragma unroll 4
        for (int32_t i = thread_id() % wave_size(); i < grid.of.chunks; i += wave_size()) {
          both[0] += sums[int64_t{2} * i * grid.of.channels + c];
          both[1] += sums[(int64_t{2} * i + 1) * grid.of.channels + c];
        }
        sum_lanes(both, wave_size());
        if (thread_id() % wave_size() == 0) store_sums<T>(to, c, both[0], both[1]);
        return {{both[0], both[1], 0}, 1};
      },
      [&](int column, auto hear) {
        const ChannelGradient from = channel_gradient<T>(to, tile.first + column);
        const Said all = hear();
        return gradient_line(from, to.inv_n, all.x[0], all.x[1]);
      });
  store_grid(grid, share, p, kept, f);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_BATCH_NORM_GRID_H_
