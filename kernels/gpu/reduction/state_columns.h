// Columns (columns.h), folded by several numbers (states.h).
#ifndef POLYOPS_GPU_REDUCTION_STATE_COLUMNS_H_
#define POLYOPS_GPU_REDUCTION_STATE_COLUMNS_H_

#include "columns.h"
#include "gpu.h"
#include "parts.h"
#include "states.h"
#include "tiles.h"

namespace polyops::gpu {
namespace {

template <class Op, class T>
struct StateColumnsCall {
  const T* src;
  ColumnTiles tiles;
  typename Op::Finish dst;
  bool packed;    // packs of results can be stored as such
  int64_t pitch;  // parts of all results
  float* parts;   // null: results
};

// Of `rows` rows of a column of packs, every step-th: kRows at a time, then fewer.
template <int kRows, class T, int kWide, class Many>
GPU_DEVICE void take_column(const T* column, int64_t ahead, int32_t rows, int32_t step, Many* x) {
  int32_t row = 0;
  for (; row + (kRows - 1) * step < rows; row += kRows * step, column += kRows * ahead) {
    Piece<T, kWide> pieces[kRows];
#pragma unroll
    for (int k = 0; k < kRows; ++k) pieces[k].load(column + k * ahead);
    float all[kRows][kWide];
#pragma unroll
    for (int k = 0; k < kRows; ++k) pieces[k].get(all[k]);
    x->take(all);
  }
  if constexpr (kRows > 1) {
    take_column<kRows / 2, T, kWide>(column, ahead, rows - row, step, x);
  }
}

template <class Op, class T>
GPU_DEVICE void store_column_numbers(const StateColumnsCall<Op, T>& c, const ColumnTask& task,
                                     uint32_t column, const typename Op::Numbers& x) {
  if (c.parts != nullptr) {
    put_numbers(c.parts, c.pitch, int64_t{task.left} * c.tiles.width + column, x);
  } else {
    c.dst.store(task.at[0] + column * c.tiles.dst_step, x);
  }
}

template <class Op, class T, int kWide, class Many>
GPU_DEVICE void store_columns(const StateColumnsCall<Op, T>& c, const ColumnTask& task,
                              uint32_t column, const Many& x) {
  if constexpr (kWide > 1) {
    if (c.parts == nullptr && c.packed) {
      c.dst.store_pack(task.at[0] + column, x);
      return;
    }
  }
#pragma unroll
  for (int j = 0; j < kWide; ++j) store_column_numbers<Op>(c, task, column + j, x.get(j));
}

constexpr int kMergeChains = 4;
template <int kWide>
constexpr int kStatePitch = kWide * kFoldPitch<kWide>;  // of a number of all columns

// Lanes one below the other, by as many threads as there are columns of all teams.
template <class Op, class T, int kWide>
GPU_DEVICE void merge_down_numbers(const StateColumnsCall<Op, T>& c, uint32_t first_task,
                                   const float* shared) {
  using N = typename Op::Numbers;
  constexpr int kWideLog2 = kWide == 8 ? 3 : kWide == 4 ? 2 : 0;
  const ColumnTiles& of = c.tiles;
  const int columns_log2 = of.across_log2 + kWideLog2;
  const int team_log2 = of.across_log2 + of.down_log2;
  for (int i = thread_id(); i < kFoldThreads * kWide >> of.down_log2; i += kFoldThreads) {
    const int team = i >> columns_log2, column = i & ((1 << columns_log2) - 1);
    const int from = column % kWide * kFoldPitch<kWide> + (team << team_log2) + column / kWide;
    // In chains, each of which rounds less often.
    N x[kMergeChains];
#pragma unroll
    for (int k = 0; k < kMergeChains; ++k) x[k] = Op::none();
    for (int d = 0; d < 1 << of.down_log2; d += kMergeChains) {
#pragma unroll
      for (int k = 0; k < kMergeChains; ++k) {
        if (d + k >= 1 << of.down_log2) break;
        const int at = from + ((d + k) << of.across_log2);
        x[k] = Op::merge(x[k], get_numbers<N>(shared, kStatePitch<kWide>, at));
      }
    }
    merge_halves<Op>(x);
    const ColumnTask task(of, first_task + team, kWide);
    if (task.ours && task.column + column < static_cast<uint32_t>(of.width)) {
      store_column_numbers<Op>(c, task, task.column + column, x[0]);
    }
  }
}

template <class Op, class T, int kWide>
GPU_KERNEL(kFoldThreads, 4)
fold_state_columns(const GPU_CONSTANT StateColumnsCall<Op, T> c) {
  await_earlier();
  GPU_SHARED(float, shared, Op::Numbers::kSize* kStatePitch<kWide>);
  if (c.parts != nullptr) let_later_begin();
  const ColumnTiles& of = c.tiles;
  const int team_log2 = of.across_log2 + of.down_log2;
  const auto first_task = static_cast<uint32_t>(block_id() << (kFoldThreadsLog2 - team_log2));
  const ColumnTask task(of, first_task + (thread_id() >> team_log2), kWide);
  const uint32_t column = task.column + (thread_id() & ((1 << of.across_log2) - 1)) * kWide;
  const bool ours = task.ours && column < static_cast<uint32_t>(of.width);
  auto x = begin_many<Op, kWide>(c.dst);
  if (ours) {
    const auto down = static_cast<int32_t>(thread_id() & ((1 << team_log2) - 1)) >> of.across_log2;
    const auto first = static_cast<int32_t>(task.first);
    const int32_t rows = of.rows - first < of.part ? of.rows - first : of.part;
    const T* from = c.src + task.at[1] + task.run * of.run_stride + column;
    const int32_t step = 1 << of.down_log2;
    take_column<kAtOnce<Op, kFoldRows<kWide>>, T, kWide>(from + (first + down) * of.stride,
                                                         step * of.stride, rows - down, step, &x);
  }
  if (of.down_log2 == 0) {
    if (ours) store_columns<Op, T, kWide>(c, task, column, x);
    return;
  }
#pragma unroll
  for (int j = 0; j < kWide; ++j) {
    put_numbers(shared, kStatePitch<kWide>, j * kFoldPitch<kWide> + thread_id(), x.get(j));
  }
  barrier();
  merge_down_numbers<Op, T, kWide>(c, first_task, shared);
}

template <class Op, class T>
int launch_state_columns(const ReductionLayout& of, const T* src, const typename Op::Finish& dst,
                         const polyops_context* ctx) {
  const int wide = in_packs<T>(of, src) ? kPack<T> : 1;
  const bool packed =
      wide > 1 && of.dst_step == 1 && dst.aligned() && rows_aligned(of.kept, 0, nullptr, wide);
  StateColumnsCall<Op, T> call = {src, column_tiles(of, wide), dst, packed, 0, nullptr};
  const int64_t chunks = call.tiles.chunks;
  if (chunks > 1) {
    call.parts = static_cast<float*>(ctx->scratch);
    call.pitch = of.kept.numel() * of.width * chunks;
  }
  const int team_log2 = call.tiles.across_log2 + call.tiles.down_log2;
  const int64_t blocks = divide_up(call.tiles.tasks, kFoldThreads >> team_log2);
  const auto kernel =
      wide == 1 ? fold_state_columns<Op, T, 1> : fold_state_columns<Op, T, kPack<T>>;
  const int status = gpu::launch(kernel, {blocks, kFoldThreads}, ctx, call);
  if (status != POLYOPS_OK || chunks == 1) return status;
  return launch_merge_parts<Op>(call.parts, of, chunks, dst, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_REDUCTION_STATE_COLUMNS_H_
