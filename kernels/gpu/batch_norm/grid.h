// Batches of channels next to each other by a grid of which all blocks run at the same time, each
// on a multiprocessor of its own. A thread's rows go through shared memory, some of them under way
// at any time; its first and its last ones stay there and in registers until the grid has the
// channels' sums. Each channel's are added up by a wave of one block, which tells the others.
// Bound: memory, as if once for those rows; the others are read again, the last ones first, which
// may still be in the second-level cache. Of large batches the grid takes tiles of few channels,
// one after the other, of which more is still there: bfloat16 64x256x56x56 on an H200 83.5 -> 78.8
// us by 16 packs (94.1 by 8), backward 124.8 -> 118.7 us by 8 (123.6 by 16). Backward the next
// tile's first rows are prefetched among the last results (124.5 us: while blocks wait for each
// other); forward that gains nothing.
#ifndef POLYOPS_GPU_BATCH_NORM_GRID_H_
#define POLYOPS_GPU_BATCH_NORM_GRID_H_

#include "call.h"
#include "grid_barrier.h"
#include "grid_share.h"

namespace polyops::gpu {
namespace {

constexpr int kSaidFloats = sizeof(Said) / sizeof(float);

// The columns of a block's tile, what its chunks say of each, and what a wave of one of its blocks
// says of all of them.
struct GridTile {
  Said *said, *totals;     // [columns][chunks], [columns]
  int32_t first, columns;  // channel; of them
  int32_t chunk, chunks;

  template <int kWidth>
  GPU_DEVICE GridTile(const Columns& of, const ColumnShare<kWidth>& share, void* scratch)
      : first(share.tile * of.across * kWidth),
        columns(of.across * kWidth),
        chunk(share.chunk),
        chunks(of.chunks) {
    if (columns > of.channels - first) columns = of.channels - first;
    said = static_cast<Said*>(scratch) + int64_t{first} * chunks;
    totals = static_cast<Said*>(scratch) + int64_t{of.channels} * chunks + first;
  }
  GPU_DEVICE void tell(int c, const Said& of_chunk) const {
    if (c < columns) say(said + c * chunks + chunk, of_chunk);
  }
  // Calls f(column) for those of this wave.
  template <class F>
  GPU_DEVICE void for_each(F f) const {
    const int waves = block_threads() / wave_size();
    for (int c = chunk + thread_id() / wave_size() * chunks; c < columns; c += waves * chunks) f(c);
  }
  // Nothing is said yet.
  GPU_DEVICE void clear() const {
    for_each([&](int c) {
      const int lane = thread_id() % wave_size();
      for (int i = lane; i < chunks; i += wave_size()) say(said + c * chunks + i, {});
      if (lane == 0) say(totals + c, {});
    });
  }
};

// Of all tiles that the block takes. Meanwhile the first steps are under way.
template <int kWidth>
GPU_DEVICE void open_tiles(const GridColumns& grid, void* scratch) {
#pragma unroll 1
  for (int32_t turn = 0; turn < grid.turns; ++turn) {
    GridTile(grid.of, ColumnShare<kWidth>(grid.of, grid.block(turn)), scratch).clear();
  }
  grid_barrier();
}

constexpr int kMostGridChunks = 256;

// total(column, said), in a wave of one block: what its chunks have of it, of which each lane has
// some; the same in all lanes. make(column, hear) gives the column's line, of what hear() says.
// Then f[j] are this thread's. lines: see leave_line().
template <class F, int kWidth, class Total, class Make>
GPU_DEVICE void make_grid_lines(const GridColumns& grid, const ColumnShare<kWidth>& share,
                                const GridTile& tile, float* lines, F (&f)[kWidth], Total total,
                                Make make) {
  meet_blocks();
  tile.for_each([&](int c) {
    Said said[kMostGridChunks / kLeastWave];
    hear(tile.said + c * tile.chunks, thread_id() % wave_size(), tile.chunks, 1, said);
    const Said all = total(c, said);
    if (thread_id() % wave_size() == 0) say(tile.totals + c, all);
  });
  meet_blocks();
  for (int c = thread_id(); c < tile.columns; c += block_threads()) {
    const F line = make(c, [&] {
      Said said[1];
      hear(tile.totals, c, tile.columns, 1, said);
      return said[0];
    });
    leave_line<kWidth>(grid.of, c, line, lines);
  }
  barrier();
  if (share.ours) take_lines(grid.of, lines, f);
}

// Between the two passes: what is kept goes to registers; where that was, what the block has of
// each column is combined (combine(shared)); then the first steps to be read again are on their
// way.
template <class T, int kInputs, class F>
GPU_DEVICE void turn_round(const GridShare<T, kInputs>& share, const T* const (&in)[kInputs],
                           GridKept<T, kInputs>* kept, F combine) {
  kept->load(share);
  barrier();
  combine(share.ring());
  barrier();
#pragma unroll 1
  for (int i = 1; i <= share.kAhead; ++i) {
    const int32_t step = share.left() - i;
    share.begin(in, step, share.slot_of(step), share.again(step));
  }
}

// All results: of what there is room for last. The others leave the caches to what is read again.
// between(): when nothing is read again any more.
template <class T, int kInputs, class F, class Between>
GPU_DEVICE void store_grid(const GridShare<T, kInputs>& share, const RunPointers<T, kInputs>& p,
                           const GridKept<T, kInputs>& kept, const F (&f)[kPack<T>],
                           Between between) {
  kept.store(share, p.out, f);
  int32_t step = share.left() - 1, slot = share.slot_of(step);
#pragma unroll 1
  for (; share.again(step); --step) {
    wait_copies<GridShare<T, kInputs>::kAhead - 1>();
    share.take(step, slot,
               [&](int64_t at, const auto& x) { map_batch<true>(f, p.out + at, share.stride, x); });
    share.begin(p.in, step - share.kAhead, slot, share.again(step - share.kAhead));
    slot = slot > share.held ? slot - 1 : share.held + share.kAhead - 1;
  }
  between();
#pragma unroll 1
  for (; step >= 0; --step) {
    share.take(step, step, [&](int64_t at, const auto& x) {
      map_batch<false>(f, p.out + at, share.stride, x);
    });
  }
}

// scratch: of each channel and chunk, and of each channel, a Said.
template <class T>
GPU_KERNEL(kGridThreads, 1)
grid_forward(GridColumns grid, BatchCall call, RunPointers<T, 1> p, void* scratch) {
  await_earlier();
  constexpr int kWidth = kPack<T>;
  GPU_DYNAMIC_SHARED(Words, memory);
  GPU_SHARED(float, pivots, kGridAcross* kWidth);
  GPU_SHARED(float, lines, 3 * ColumnPlaces<kWidth>::kMost);
#pragma unroll 1
  for (int32_t turn = 0; turn < grid.turns; ++turn) {
    const GridShare<T, 1> share(grid, turn, memory);
    const GridTile tile(grid.of, share.of, scratch);
    share.begin_first(p.in);
    ColumnWelford<kWidth> w = {};
    if (share.of.ours) pivots_of(p.in[0], grid.of, share.of.column, w.pivot);
    if (turn == 0) open_tiles<kWidth>(grid, scratch);
    if (thread_id() < grid.of.across) {
#pragma unroll
      for (int j = 0; j < kWidth; ++j) pivots[thread_id() * kWidth + j] = w.pivot[j];
    }
    wait_copies<share.kAhead - 1>();
    if (share.steps > 0) w.begin(share.first_row());
    share.add_all(p.in, [&](const auto& x) { w.add(x[0]); });
    GridKept<T, 1> kept = {};
    turn_round(share, p.in, &kept, [&](float* shared) {
      combine_moments(grid.of, w, shared, [&](int c, const float(&x)[kColumnMoments]) {
        tile.tell(c, {{x[0], x[1], x[2]}, 1});
      });
    });
    Line f[kWidth];
    make_grid_lines(
        grid, share.of, tile, lines, f,
        [&](int column, const auto& said) -> Said {
          const float center = said[0].x[0];
          float sums[2] = {}, count = 0;
          for (const Said& of : said) {
            const float d = of.x[0] - center, whole = d * of.x[2];
            sums[0] += whole;
            sums[1] += fmaf(whole, d, of.x[1]);
            count += of.x[2];
          }
          const Welford all = combine_lanes(moved(center, sums[0], sums[1], count), wave_size());
          if (thread_id() % wave_size() == 0) {
            store_moments<T>(call, tile.first + column,
                             {pivots[column], all.mean, all.low, all.square});
          }
          return {{all.mean, all.low, all.square}, 1};
        },
        [&](int column, auto hear) {
          const ChannelAffine affine = affine_of<T>(call, tile.first + column);
          const Said all = hear();
          return line_of(call, affine, {pivots[column], all.x[0], all.x[1], all.x[2]});
        });
    store_grid(share, p, kept, f, [] {});
  }
}

// p.in: the gradient and src. scratch: as grid_forward()'s.
template <class T>
GPU_KERNEL(kGridThreads, 1)
grid_backward(GridColumns grid, ChannelResults to, RunPointers<T, 2> p, void* scratch) {
  await_earlier();
  constexpr int kWidth = kPack<T>;
  GPU_DYNAMIC_SHARED(Words, memory);
  GPU_SHARED(float, lines, 4 * ColumnPlaces<kWidth>::kMost);
#pragma unroll 1
  for (int32_t turn = 0; turn < grid.turns; ++turn) {
    const GridShare<T, 2> share(grid, turn, memory);
    const GridTile tile(grid.of, share.of, scratch);
    share.begin_first(p.in);
    ColumnProducts<kWidth> w = {};
    if (share.of.ours) w.template load_means<T>(to.statistics, share.of.column);
    if (turn == 0) open_tiles<kWidth>(grid, scratch);
    share.add_all(p.in, [&](const auto& x) { w.add(x); });
    GridKept<T, 2> kept = {};
    turn_round(share, p.in, &kept, [&](float* shared) {
      combine_products(grid.of, w, shared,
                       [&](int c, const float(&x)[2]) { tile.tell(c, {{x[0], x[1], 0}, 1}); });
    });
    GradientLine f[kWidth];
    make_grid_lines(
        grid, share.of, tile, lines, f,
        [&](int column, const auto& said) -> Said {
          float both[2] = {};
          for (const Said& of : said) {
            both[0] += of.x[0];
            both[1] += of.x[1];
          }
          sum_lanes(both, wave_size());
          const int32_t c = tile.first + column;
          both[0] *= rstd_of<T>(to.statistics, c);
          if (thread_id() % wave_size() == 0) store_sums<T>(to, c, both[0], both[1]);
          return {{both[0], both[1], 0}, 1};
        },
        [&](int column, auto hear) {
          const ChannelGradient from = channel_gradient<T>(to, tile.first + column);
          const Said all = hear();
          return gradient_line(from, to.inv_n, all.x[0], all.x[1]);
        });
    store_grid(share, p, kept, f, [&] {
      if (turn + 1 == grid.turns) return;
      GridShare<T, 2>(grid, turn + 1, memory).prefetch_first(p.in);
    });
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_BATCH_NORM_GRID_H_
