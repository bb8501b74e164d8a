// Results of elements that lie one below the other. A team of lanes folds a chunk of rows
// (tiles.h), each lane kFoldRows of them in flight; lanes one below the other meet in shared
// memory. Chunks, if there are several, leave their parts in scratch memory, and a second launch
// merges those (parts.h).
#ifndef POLYOPS_GPU_REDUCTION_COLUMNS_H_
#define POLYOPS_GPU_REDUCTION_COLUMNS_H_

#include "division.h"
#include "gpu.h"
#include "layout.h"
#include "op.h"
#include "parts.h"
#include "piece.h"
#include "tiles.h"

namespace polyops::gpu {
namespace {

template <class T>
struct ColumnsCall {
  const T* src;
  ColumnTiles tiles;
  Result dst;
  bool packed;   // packs of results can be stored as such
  float* parts;  // null: results
};

// Where a task's elements are, and what comes of them.
struct ColumnTask {
  bool ours;
  uint32_t column;  // the tile's first
  uint32_t run, first;
  uint32_t left;  // number of its part of a result's first column
  int64_t at[2];

  GPU_DEVICE ColumnTask(const ColumnTiles& of, uint32_t task, int wide) : ours(task < of.tasks) {
    column = take_remainder(of.by_tiles, &task) << of.across_log2;
    column *= static_cast<uint32_t>(wide);
    left = task;
    const uint32_t chunk = take_remainder(of.by_chunks, &task);
    run = of.by_parts.quotient(chunk);
    first = (chunk - run * of.parts) * static_cast<uint32_t>(of.part);
    at[0] = at[1] = 0;
    if (ours) of.outer.offsets(task, at);
  }
};

template <class T>
GPU_DEVICE void store_column(const ColumnsCall<T>& c, const ColumnTask& task, uint32_t column,
                             float x) {
  if (c.parts != nullptr) {
    c.parts[int64_t{task.left} * c.tiles.width + column] = x;
  } else {
    c.dst.store(task.at[0] + column * c.tiles.dst_step, x);
  }
}

template <class T, int kWide>
GPU_DEVICE void store_pack_of_columns(const ColumnsCall<T>& c, const ColumnTask& task,
                                      uint32_t column, const float (&x)[kWide]) {
  if constexpr (kWide > 1) {
    if (c.parts == nullptr && c.packed) {
      c.dst.store_pack(task.at[0] + column, x);
      return;
    }
  }
#pragma unroll
  for (int j = 0; j < kWide; ++j) store_column(c, task, column + j, x[j]);
}

// Into `all`, which is none of them.
template <class Op, class T, int kWide, int kRows>
GPU_DEVICE void merge_pieces(const Piece<T, kWide> (&pieces)[kRows], float (&all)[kWide]) {
  pieces[0].get(all);
#pragma unroll
  for (int k = 1; k < kRows; ++k) {
    float one[kWide];
    pieces[k].get(one);
#pragma unroll
    for (int j = 0; j < kWide; ++j) all[j] = Op::merge(all[j], one[j]);
  }
}

template <class Op, class T, int kWide, int kRows>
GPU_DEVICE void fold_pieces(const Piece<T, kWide> (&pieces)[kRows], float (&x)[kWide]) {
  float all[kWide];
  merge_pieces<Op>(pieces, all);
#pragma unroll
  for (int j = 0; j < kWide; ++j) x[j] = Op::merge(x[j], all[j]);
}

// Of `rows` rows of a column of packs, every step-th.
template <class Op, class T, int kWide>
GPU_DEVICE void fold_column(const T* column, int64_t stride, int32_t rows, int32_t step,
                            float (&x)[kWide]) {
  constexpr int kRows = kFoldRows<kWide>;
  const int64_t ahead = step * stride;
  int32_t row = 0;
  for (; row + (kRows - 1) * step < rows; row += kRows * step, column += kRows * ahead) {
    Piece<T, kWide> pieces[kRows];
#pragma unroll
    for (int k = 0; k < kRows; ++k) pieces[k].load(column + k * ahead);
    fold_pieces<Op>(pieces, x);
  }
  if (row >= rows) return;
  Piece<T, kWide> pieces[kRows - 1];
#pragma unroll
  for (int k = 0; k < kRows - 1; ++k) {
    pieces[k].fill(Op::kNone);
    if (row + k * step < rows) pieces[k].load(column + k * ahead);
  }
  fold_pieces<Op>(pieces, x);
}

// In shared memory, column j of a thread's pack is a row of all threads'; so far apart that threads
// which read a pack's columns, or write them, come to different banks.
template <int kWide>
constexpr int kFoldPitch = kFoldThreads + 32 / kWide;

// Lanes one below the other, by as many threads as there are columns of all teams.
template <class Op, class T, int kWide>
GPU_DEVICE void merge_down(const ColumnsCall<T>& c, uint32_t first_task, const float* shared) {
  constexpr int kWideLog2 = kWide == 8 ? 3 : kWide == 4 ? 2 : 0;
  const ColumnTiles& of = c.tiles;
  const int columns_log2 = of.across_log2 + kWideLog2;
  const int team_log2 = of.across_log2 + of.down_log2;
  for (int i = thread_id(); i < kFoldThreads * kWide >> of.down_log2; i += kFoldThreads) {
    const int team = i >> columns_log2, column = i & ((1 << columns_log2) - 1);
    const float* from =
        shared + column % kWide * kFoldPitch<kWide> + (team << team_log2) + column / kWide;
    float x = from[0];
#pragma unroll 4
    for (int d = 1; d < 1 << of.down_log2; ++d) x = Op::merge(x, from[d << of.across_log2]);
    const ColumnTask task(of, first_task + team, kWide);
    if (task.ours && task.column + column < static_cast<uint32_t>(of.width)) {
      store_column(c, task, task.column + column, x);
    }
  }
}

template <class Op, class T, int kWide>
GPU_KERNEL(kFoldThreads, 4)
fold_columns(const GPU_CONSTANT ColumnsCall<T> c) {
  await_earlier();
  GPU_SHARED(float, shared, kFoldPitch<kWide>* kWide);
  if (c.parts != nullptr) let_later_begin();
  const ColumnTiles& of = c.tiles;
  const int team_log2 = of.across_log2 + of.down_log2;
  const auto first_task = static_cast<uint32_t>(block_id() << (kFoldThreadsLog2 - team_log2));
  const ColumnTask task(of, first_task + (thread_id() >> team_log2), kWide);
  const uint32_t column = task.column + (thread_id() & ((1 << of.across_log2) - 1)) * kWide;
  const bool ours = task.ours && column < static_cast<uint32_t>(of.width);
  float x[kWide];
#pragma unroll
  for (int j = 0; j < kWide; ++j) x[j] = Op::kNone;
  if (ours) {
    const auto down = static_cast<int32_t>(thread_id() & ((1 << team_log2) - 1)) >> of.across_log2;
    const auto first = static_cast<int32_t>(task.first);
    const int32_t rows = of.rows - first < of.part ? of.rows - first : of.part;
    const T* from = c.src + task.at[1] + task.run * of.run_stride + column;
    fold_column<Op>(from + (first + down) * of.stride, of.stride, rows - down, 1 << of.down_log2,
                    x);
  }
  if (of.down_log2 == 0) {
    if (ours) store_pack_of_columns(c, task, column, x);
    return;
  }
#pragma unroll
  for (int j = 0; j < kWide; ++j) shared[j * kFoldPitch<kWide> + thread_id()] = x[j];
  barrier();
  merge_down<Op, T, kWide>(c, first_task, shared);
}

template <class T>
bool in_packs(const ReductionLayout& of, const void* src) {
  constexpr int kPer = kPack<T>;
  return of.width % kPer == 0 && (of.stride % kPer == 0 || of.n == 1) &&
         (of.run_stride % kPer == 0 || of.count == 1) && rows_aligned(of.kept, 1, src, kPer);
}

template <class Op, class T>
int launch_fold_columns(const ColumnsCall<T>& call, int wide, const polyops_context* ctx) {
  const int team_log2 = call.tiles.across_log2 + call.tiles.down_log2;
  const int64_t blocks = divide_up(call.tiles.tasks, kFoldThreads >> team_log2);
  const auto kernel = wide == 1 ? fold_columns<Op, T, 1> : fold_columns<Op, T, kPack<T>>;
  return gpu::launch(kernel, {blocks, kFoldThreads}, ctx, call);
}

// Whatever the alignment of src turns out to be.
inline size_t columns_scratch(const ReductionLayout& of, int pack) {
  size_t most = 0;
  for (int wide : {1, pack}) {
    if (of.width % wide != 0) continue;
    const ColumnTiles tiles = column_tiles(of, wide);
    const size_t bytes = static_cast<size_t>(of.kept.numel()) * tiles.chunks *
                         static_cast<size_t>(of.width) * sizeof(float);
    if (tiles.chunks > 1 && bytes > most) most = bytes;
  }
  return most;
}

template <class Op, class T>
int launch_columns(const ReductionLayout& of, const T* src, const Result& dst,
                   const polyops_context* ctx) {
  const int wide = in_packs<T>(of, src) ? kPack<T> : 1;
  const bool packed = wide > 1 && of.dst_step == 1 && rows_aligned(of.kept, 0, dst.data, wide);
  ColumnsCall<T> call = {src, column_tiles(of, wide), dst, packed, nullptr};
  const int64_t chunks = call.tiles.chunks;
  if (chunks == 1) return launch_fold_columns<Op>(call, wide, ctx);
  call.parts = static_cast<float*>(ctx->scratch);
  const int status = launch_fold_columns<Op>(call, wide, ctx);
  if (status != POLYOPS_OK) return status;
  return launch_merge_parts<OneNumber<Op>>(call.parts, of, chunks, {dst}, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_REDUCTION_COLUMNS_H_
