// The first of the most extreme of elements one below the other: tiles and chunks as those of sums
// (columns.h), but a lane's batch is of rows next to each other, so that batches have an order.
#ifndef POLYOPS_GPU_REDUCTION_EXTREME_COLUMNS_H_
#define POLYOPS_GPU_REDUCTION_EXTREME_COLUMNS_H_

#include "columns.h"
#include "extreme.h"
#include "gpu.h"
#include "layout.h"
#include "piece.h"
#include "tiles.h"

namespace polyops::gpu {
namespace {

template <class T>
struct ExtremeColumnsCall {
  ColumnTiles tiles;  // of one run
  ExtremeResult<T> to;
  Key* keys;  // null: results
};

// A chunk's rows.
template <class T>
struct ChunkRows {
  const T* first;
  int32_t count;

  GPU_DEVICE ChunkRows(const ExtremeColumnsCall<T>& c, const ColumnTask& task) {
    const auto skipped = static_cast<int32_t>(task.first);
    count = c.tiles.rows - skipped < c.tiles.part ? c.tiles.rows - skipped : c.tiles.part;
    first = c.to.src + task.at[1] + skipped * c.tiles.stride;
  }
};

// Of each column of a lane's packs the first batch that was the best so far, by its first row.
template <class Op, class T, int kWide>
struct BestBatches {
  float rank[kWide];
  int32_t at[kWide];

  GPU_DEVICE explicit BestBatches(int32_t first) {
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      rank[j] = -__builtin_huge_valf();
      at[j] = first;
    }
  }
  template <int kRows>
  GPU_DEVICE void see(const Piece<T, kWide> (&pieces)[kRows], int32_t row) {
    float all[kWide];
    merge_pieces<Op>(pieces, all);
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      const float x = Op::rank(all[j]);
      const bool better = beats(x, rank[j]);
      rank[j] = better ? x : rank[j];
      at[j] = better ? row : at[j];
    }
  }
  // Of `rows` rows, in batches that are `step` apart; at least one is there.
  GPU_DEVICE void see_all(const T* column, int64_t stride, int32_t rows, int32_t step) {
    constexpr int kRows = kFoldRows<kWide>;
    int32_t row = at[0];
    column += row * stride;
    for (; row + kRows <= rows; row += step, column += step * stride) {
      Piece<T, kWide> pieces[kRows];
#pragma unroll
      for (int k = 0; k < kRows; ++k) pieces[k].load(column + k * stride);
      see(pieces, row);
    }
    if (row >= rows) return;
    Piece<T, kWide> pieces[kRows - 1];
#pragma unroll
    for (int k = 0; k < kRows - 1; ++k) {
      pieces[k].fill(Op::kNone);
      if (row + k < rows) pieces[k].load(column + k * stride);
    }
    see(pieces, row);
  }
};

// The row of the element itself. What is beyond the last row loses to what is there, or is equal to
// it and comes later.
template <class Op, int kRows, class T>
GPU_DEVICE uint32_t row_of(const ChunkRows<T>& rows, int64_t stride, uint32_t column, Key key) {
  const auto row = static_cast<int32_t>(number_of(key));
  const T* from = rows.first + row * stride + column;
  float x[kRows];
#pragma unroll
  for (int k = 0; k < kRows; ++k) {
    x[k] = row + k < rows.count ? static_cast<float>(widen(from[k * stride])) : Op::kNone;
  }
  return row + first_best<Op>(x);
}

// Lanes one below the other; the team's threads share out its columns, so that neighbours' results
// are stored together.
template <class Op, class T, int kWide>
GPU_DEVICE void largest_down(const ExtremeColumnsCall<T>& c, const ColumnTask& task,
                             const ChunkRows<T>& rows, int in_team, const Key* team_keys) {
  const ColumnTiles& of = c.tiles;
  const int team = 1 << (of.across_log2 + of.down_log2);
  for (int i = in_team; i < kWide << of.across_log2; i += team) {
    const uint32_t column = task.column + i;
    if (column >= static_cast<uint32_t>(of.width)) return;
    const Key* from = team_keys + i % kWide * kFoldPitch<kWide> + i / kWide;
    Key key = from[0];
#pragma unroll 4
    for (int d = 1; d < 1 << of.down_log2; ++d) key = larger_key(key, from[d << of.across_log2]);
    const uint32_t row = task.first + row_of<Op, kFoldRows<kWide>>(rows, of.stride, column, key);
    if (c.keys != nullptr) {
      c.keys[int64_t{task.left} * of.width + column] = with_number(key, row);
    } else {
      c.to.store(task.at[0] + column * of.dst_step, task.at[1] + column, row);
    }
  }
}

template <class Op, class T, int kWide>
GPU_KERNEL(kFoldThreads, 4)
find_in_columns(const GPU_CONSTANT ExtremeColumnsCall<T> c) {
  await_earlier();
  GPU_SHARED(Key, shared, kFoldPitch<kWide> * kWide);
  if (c.keys != nullptr) let_later_begin();
  constexpr int kRows = kFoldRows<kWide>;
  const ColumnTiles& of = c.tiles;
  const int team_log2 = of.across_log2 + of.down_log2;
  const int in_team = thread_id() & ((1 << team_log2) - 1), down = in_team >> of.across_log2;
  const auto first_task = static_cast<uint32_t>(block_id() << (kFoldThreadsLog2 - team_log2));
  const ColumnTask task(of, first_task + (thread_id() >> team_log2), kWide);
  const uint32_t column = task.column + (in_team & ((1 << of.across_log2) - 1)) * kWide;
  const ChunkRows<T> rows(c, task);
  BestBatches<Op, T, kWide> best(down * kRows);
  const bool any =
      task.ours && column < static_cast<uint32_t>(of.width) && down * kRows < rows.count;
  if (any) best.see_all(rows.first + column, of.stride, rows.count, kRows << of.down_log2);
#pragma unroll
  for (int j = 0; j < kWide; ++j) {
    shared[j * kFoldPitch<kWide> + thread_id()] = any ? key_of(best.rank[j], best.at[j]) : 0;
  }
  barrier();
  if (!task.ours) return;
  largest_down<Op, T, kWide>(c, task, rows, in_team, shared + thread_id() - in_team);
}

template <class Op, class T>
int launch_extreme_columns(const ReductionLayout& of, const ExtremeResult<T>& to,
                           const polyops_context* ctx) {
  const int wide = in_packs<T>(of, to.src) ? kPack<T> : 1;
  const ColumnTiles tiles = column_tiles(of, wide);
  const bool whole = tiles.chunks == 1;
  const ExtremeColumnsCall<T> call = {tiles, to, whole ? nullptr : static_cast<Key*>(ctx->scratch)};
  const int team_log2 = tiles.across_log2 + tiles.down_log2;
  const int64_t blocks = divide_up(tiles.tasks, kFoldThreads >> team_log2);
  const auto kernel = wide == 1 ? find_in_columns<Op, T, 1> : find_in_columns<Op, T, kPack<T>>;
  const int status = gpu::launch(kernel, {blocks, kFoldThreads}, ctx, call);
  if (status != POLYOPS_OK || whole) return status;
  return launch_merge_keys(of, tiles.chunks, to, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_REDUCTION_EXTREME_COLUMNS_H_
