// Backward of planes that do not get fewer rows, by blocks. A thread goes down a few columns of the
// gradient, a pack, and adds each row to the rows of src that it belongs to by their weights,
// before any sum along a row: each element of the gradient is read once, and once widened. Rows
// that are finished go to shared memory, where a thread sums along them what makes one element of
// src. Bound: memory, mostly what is read.
#ifndef POLYOPS_GPU_UPSAMPLE_BACKWARD_TILES_H_
#define POLYOPS_GPU_UPSAMPLE_BACKWARD_TILES_H_

#include "descent.h"

namespace polyops::gpu {
namespace {

// Blocks of most threads whose registers a multiprocessor has.
template <class Mode, class Columns, int kHeld>
constexpr int kTileBlocks = Mode::kTaps * Columns::kWide + 2 * kHeld <= 24 ? 3 : 2;

template <class Mode, class Columns, class T, int kHeld>
GPU_KERNEL(kUpsampleThreads, kTileBlocks<Mode, Columns, kHeld>)
upsample_backward_tiles(Image<T> image, Tiles tiles) {
  await_earlier();
  GPU_DYNAMIC_SHARED(float, finished);
  GPU_SHARED(RowTable<Mode>, table, 1);
  const auto id = static_cast<uint32_t>(block_id());
  const uint32_t rest = id / tiles.across, group = rest / tiles.chunks;
  const int first_column = static_cast<int>(id - rest * tiles.across) * tiles.columns;
  const int first_row = static_cast<int>(rest - group * tiles.chunks) * tiles.rows;
  const int stop_row =
      first_row + tiles.rows < image.rows.from ? first_row + tiles.rows : image.rows.from;
  const int first_plane = static_cast<int>(group) * tiles.planes;
  const int planes =
      image.planes - first_plane < tiles.planes ? image.planes - first_plane : tiles.planes;
  const int from = Mode::begin_of(image.columns, first_column) & -Columns::kAlign;

  const Steps<Mode> steps(image.rows, first_row, stop_row);

  // Down the gradient. Threads that have no plane read the first one.
  const int plane = thread_id() / tiles.lanes;
  const bool writes = plane < planes;
  const int plane_in = image.rows.to * image.columns.to;
  const Columns columns(image.in + int64_t{first_plane + (writes ? plane : 0)} * plane_in +
                            int64_t{steps.rows > 0 ? steps.begin : 0} * image.columns.to,
                        image.columns.to, from, thread_id() - plane * tiles.lanes, tiles.lanes);
  Descent<Mode, Columns> descent(columns, steps, first_row, image.rows.from - 1);

  // Along a row.
  const int all = thread_id() / tiles.columns, team = all >> tiles.shared_log2;
  const int column = first_column + thread_id() - all * tiles.columns;
  const int teams = tiles.teams >> tiles.shared_log2;
  const bool sums = team < teams && column < image.columns.from;
  const int slots_each = kBatch >> tiles.shared_log2;
  const int first_slot = (all & ((1 << tiles.shared_log2) - 1)) * slots_each;
  const ColumnSum<Mode, kHeld> column_sum(image.columns, sums ? column : first_column, from,
                                          tiles.stride - 1);
  const int plane_out = image.rows.from * image.columns.from;
  T* const out = image.out + int64_t{first_plane + team} * plane_out + column;
  for (int p = thread_id(); p < tiles.planes; p += block_threads()) {
#pragma unroll
    for (int slot = 0; slot < kBatch; ++slot) {
      finished[slot * kSlot<Columns::kWide> + (p + 1) * tiles.stride - 1] = 0;
    }
  }

  for (int step = 0; step < steps.count; step += kBatch) {
    if (step % RowTable<Mode>::kRows == 0) {
      steps.fill(image.rows, step, table);
      barrier();
    }
    const int row = descent.next_finished();
    const int slots = descent.take(step, *table, finished + plane * tiles.stride, writes);
    barrier();
    if (sums) {
      T* at = out + (row + first_slot) * image.columns.from;
      const float* lines = finished + first_slot * kSlot<Columns::kWide>;
      const int own = slots - first_slot < slots_each ? slots - first_slot : slots_each;
#pragma unroll 1
      for (int p = team; p < planes; p += teams) {
        column_sum.template of<kBatch, kSlot<Columns::kWide>>(
            lines + p * tiles.stride, own,
            [&](int slot, float sum) { at[slot * image.columns.from] = narrow<T>(sum); });
        at += int64_t{teams} * plane_out;
      }
    }
    barrier();
  }
}

// Columns of src so that a block's threads suffice for them and for their gradient's.
template <class Mode, class Columns>
bool cut_columns(const Axis& axis, Tiles* tiles) {
  for (tiles->across = 1;; ++tiles->across) {
    tiles->columns = (axis.from + tiles->across - 1) / tiles->across;
    double wide = axis.to;
    if (tiles->across > 1) {
      wide = (tiles->columns + Mode::kTaps + 1) * static_cast<double>(axis.inverse) + 2 +
             Columns::kAlign;
      wide = wide < axis.to ? wide : axis.to;
    }
    tiles->lanes = static_cast<int>((wide + Columns::kWide - 1) / Columns::kWide);
    if (tiles->columns <= kUpsampleThreads && tiles->lanes <= kUpsampleThreads) return true;
    if (tiles->columns == 1) return false;
  }
}

template <class Mode, class Columns, int kHeld, class T>
int launch_tiles(const Image<T>& image, Tiles tiles, const polyops_context* ctx) {
  cut_rows(image.rows.from, 32, 4, image.planes, 3 * multiprocessors(ctx), &tiles);
  const int busy = tiles.lanes * tiles.planes;
  const int threads = whole_waves(busy < tiles.columns ? tiles.columns : busy);
  tiles.teams = threads / tiles.columns;
  while (2 << tiles.shared_log2 <= kBatch &&
         tiles.teams >> (tiles.shared_log2 + 1) >= tiles.planes) {
    ++tiles.shared_log2;
  }
  tiles.stride = padded_width(tiles.lanes * Columns::kWide) + 1;
  const LaunchShape shape = {blocks_of(tiles, image.planes), threads,
                             sizeof(float) * kBatch * kSlot<Columns::kWide>};
  return gpu::launch(upsample_backward_tiles<Mode, Columns, T, kHeld>, shape, ctx, image, tiles);
}

// Whether a row of the gradient goes on by at most one row of src, whatever the rounding.
inline bool goes_by_one(const Axis& axis) {
  return axis.inverse == 1.0f || axis.inverse >= 1.0f + static_cast<float>(axis.to) * 0x1p-21f;
}

// False where another kernel is to do it.
template <class Mode, class Columns, class T>
bool backward_tiles(const Image<T>& image, const polyops_context* ctx, int* status) {
  constexpr int kHeld = 2 * Mode::kTaps;  // all that an image twice as wide takes
  Tiles tiles = {};
  if (!goes_by_one(image.rows) || !cut_columns<Mode, Columns>(image.columns, &tiles)) return false;
  *status = image.columns.inverse < 2.01f
                ? launch_tiles<Mode, Columns, kHeld>(image, tiles, ctx)
                : launch_tiles<Mode, Columns, 2 * kHeld>(image, tiles, ctx);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_UPSAMPLE_BACKWARD_TILES_H_
