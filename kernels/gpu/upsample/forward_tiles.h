// Forward of planes that get no fewer rows and columns, by blocks. Rows of src are staged in shared
// memory, widened; a thread interpolates along each of them what its results are made of, a pack of
// them side by side, keeps as many of these rows as there are taps, and writes the rows of dst
// between them. So an element of src is read and widened once, and what is done along a row is done
// once for all rows of dst that it is part of. Bound: memory, mostly what is written.
#ifndef POLYOPS_GPU_UPSAMPLE_FORWARD_TILES_H_
#define POLYOPS_GPU_UPSAMPLE_FORWARD_TILES_H_

#include "results.h"
#include "tile_parts.h"

namespace polyops::gpu {
namespace {

// Rows of src that are staged at once.
constexpr int kStaged = 4;

// The rows of src that a block stages, a pack or an element of some of them to a thread at once.
template <class T>
class Stage {
 public:
  // A row in shared memory is `apart` floats from the next.
  template <class Mode>
  GPU_DEVICE Stage(const Image<T>& image, const Tiles& tiles, const Tile& tile, Mode, int apart)
      : rows_(image.rows),
        row_(image.columns.from),
        plane_(image.rows.from * image.columns.from),
        planes_(tile.planes),
        stagers_(tiles.stagers),
        stride_(tiles.stride),
        apart_(apart) {
    const Axis& columns = image.columns;
    float unused;
    const int first = Mode::first(columns, tile.column, &unused);
    const int last = Mode::first(columns, tile.stop_column - 1, &unused) + Mode::kTaps - 1;
    from_ = within(columns, first) & -(tiles.packs ? kPack<T> : 1);
    width_ = within(columns, last) + 1 - from_;
    in_ = image.in + int64_t{tile.plane} * plane_ + from_;
  }

  GPU_DEVICE int from() const { return from_; }  // the first column

  // Rows `from` on of all planes, padded; those that there are not are the ones at the edge.
  template <class Unit, int kTogether>
  GPU_DEVICE void load(int from, float* staged) const {
    constexpr int kLong = sizeof(Unit) / sizeof(T);
    const int team = thread_id() / stagers_, lane = thread_id() - team * stagers_;
    const int teams = block_threads() / stagers_, lines = kStaged * planes_;
    if (team >= teams) return;
    for (int line = team; line < lines; line += kTogether * teams) {
      const T* in[kTogether];
      float* to[kTogether];
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        const int it = line + i * teams < lines ? line + i * teams : line;
        const int slot = it % kStaged, p = it / kStaged;
        in[i] = in_ + int64_t{p} * plane_ + within(rows_, from + slot) * row_;
        to[i] = staged + slot * apart_ + p * stride_;
      }
      for (int x = lane * kLong; x < width_; x += stagers_ * kLong) {
        Unit unit[kTogether];
#pragma unroll
        for (int i = 0; i < kTogether; ++i) {
          if constexpr (kLong > 1) {
            unit[i] = load_words(in[i] + x);
          } else {
            unit[i] = in[i][x];
          }
        }
#pragma unroll
        for (int i = 0; i < kTogether; ++i) {
          float all[kLong];
          if constexpr (kLong > 1) {
            unpack<T>(unit[i], all);
          } else {
            all[0] = widen(unit[i]);
          }
#pragma unroll
          for (int j = 0; j < kLong; ++j) to[i][padded(x) + j] = all[j];
        }
      }
    }
  }

 private:
  const Axis& rows_;
  const T* in_;
  int row_, plane_;  // elements from one to the next
  int planes_, stagers_;
  int stride_, apart_;  // floats from one to the next where they are staged, of planes and of rows
  int from_, width_;
};

// Where a thread's results come from along a row, in bytes, and by which weights.
template <class Mode, class Results>
struct RowTaps {
  static constexpr int kTaps = Mode::kTaps, kWide = Results::kWide;
  uint32_t at[kTaps][kWide];
  float weight[kTaps][kWide];

  GPU_DEVICE RowTaps(const Axis& axis, int first_column, int lane, int lanes, int from,
                     int plane_at) {
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      const int column = first_column + Results::column(lane, lanes, j);
      float t, w[kTaps];
      const int first = Mode::first(axis, column < axis.to ? column : axis.to - 1, &t);
      Mode::weights(t, w);
#pragma unroll
      for (int k = 0; k < kTaps; ++k) {
        at[k][j] = sizeof(float) *
                   static_cast<uint32_t>(plane_at + padded(within(axis, first + k) - from));
        forget_bits(&at[k][j]);  // or it is worked out for each row
        weight[k][j] = w[k];
      }
    }
  }
  GPU_DEVICE void interpolate(const float* staged, float (&x)[kWide]) const {
    const auto read = [&](int k, int j) {
      return *reinterpret_cast<const float*>(reinterpret_cast<const char*>(staged) + at[k][j]);
    };
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      x[j] = weight[0][j] * read(0, j);
#pragma unroll
      for (int k = 1; k < kTaps; ++k) x[j] = fmaf(weight[k][j], read(k, j), x[j]);
    }
  }
};

template <class Mode, class Results, class T>
GPU_KERNEL(kUpsampleThreads, Mode::kTaps > Results::kMostTaps ? 2 : 3)
upsample_tiles(Image<T> image, Tiles tiles) {
  await_earlier();
  constexpr int kTaps = Mode::kTaps, kWide = Results::kWide;
  GPU_DYNAMIC_SHARED(float, staged);
  GPU_SHARED(RowTable<Mode>, table, 1);
  const Axis &rows = image.rows, &columns = image.columns;
  const Tile tile(tiles, columns.to, rows.to, image.planes);
  const Stage<T> stage(image, tiles, tile, Mode{}, kSlot<kWide>);
  const int plane = thread_id() / tiles.lanes, lane = thread_id() - plane * tiles.lanes;
  const bool writes = plane < tile.planes;
  const RowTaps<Mode, Results> taps(columns, tile.column, lane, tiles.lanes, stage.from(),
                                    writes ? plane * tiles.stride : 0);
  T* out = image.out + int64_t{tile.plane + plane} * rows.to * columns.to +
           int64_t{tile.row} * columns.to + tile.column;
  const int count = tile.stop_row - tile.row, width = tile.stop_column - tile.column;
  RunRows<T> runs(tiles, reinterpret_cast<T*>(staged + kStaged * kSlot<kWide>), plane, out, width);
  for (int i = thread_id(); i < count; i += block_threads()) table->set(i, rows, tile.row + i);
  float unused;
  float kept[kTaps][kWide] = {};
  int y = 0;
  for (int row = Mode::first(rows, tile.row, &unused); y < count; row += kStaged) {
    if (tiles.packs) {
      stage.template load<Words, 2>(row, staged);
    } else {
      stage.template load<T, 8 / kTaps>(row, staged);
    }
    barrier();
    auto here = table->at(y);
#pragma unroll
    for (int slot = 0; slot < kStaged; ++slot) {
#pragma unroll
      for (int j = 0; j < kWide; ++j) {
#pragma unroll
        for (int k = 1; k < kTaps; ++k) kept[k - 1][j] = kept[k][j];
      }
      taps.interpolate(staged + slot * kSlot<kWide>, kept[kTaps - 1]);
#pragma unroll 1
      for (; y < count && here.first + kTaps - 1 == row + slot; ++y) {
        const auto next = table->at(y + 1);  // before what is stored, which it would wait for
        float sum[kWide];
#pragma unroll
        for (int j = 0; j < kWide; ++j) {
          sum[j] = here.weight[0] * kept[0][j];
#pragma unroll
          for (int k = 1; k < kTaps; ++k) sum[j] = fmaf(here.weight[k], kept[k][j], sum[j]);
        }
        here = next;
        if (Results::kRuns && tiles.run_rows > 0) {
          if (writes) Results::store(runs.row(), width, lane, tiles.lanes, sum);
          runs.next(tiles.run_rows, lane, tiles.lanes, writes);
        } else {
          if (writes) Results::store(out, width, lane, tiles.lanes, sum);
          out += columns.to;
        }
      }
    }
    barrier();
  }
  if (Results::kRuns && runs.any()) runs.store(lane, tiles.lanes, writes);
}

// False where another kernel is to do it.
template <class Mode, class Results, class T>
bool forward_tiles(const Image<T>& image, const polyops_context* ctx, int* status) {
  const Axis& columns = image.columns;
  if (image.rows.to < image.rows.from || columns.to < columns.from) return false;
  const int lanes = (columns.to + Results::kWide - 1) / Results::kWide;
  Tiles tiles = {};
  tiles.across = (lanes + kUpsampleThreads - 1) / kUpsampleThreads;
  tiles.lanes = (lanes + tiles.across - 1) / tiles.across;
  tiles.columns = tiles.lanes * Results::kWide;
  cut_rows(image.rows.to, RowTable<Mode>::kRows, 8, image.planes, 3 * multiprocessors(ctx), &tiles);
  // Of src, from an aligned pack on.
  int wide = columns.from;
  if (tiles.across > 1) {
    const double reached = static_cast<double>(columns.scale) * tiles.columns + Mode::kTaps + 2;
    wide = static_cast<int>(reached < columns.from ? reached : columns.from) + 2 * kPack<T>;
  }
  tiles.stride = padded_width(wide);
  if (tiles.stride > kSlot<Results::kWide>) return false;
  while (tiles.planes * tiles.stride > kSlot<Results::kWide>) --tiles.planes;
  tiles.packs = columns.from % kPack<T> == 0 && reinterpret_cast<uintptr_t>(image.in) % 16 == 0;
  const int threads = whole_waves(tiles.lanes * tiles.planes);
  const int stagers = tiles.packs ? (wide + kPack<T> - 1) / kPack<T> : wide;
  tiles.stagers = stagers < threads ? stagers : threads;
  if constexpr (Results::kRuns) plan_runs<T>(columns.to, &tiles);
  const size_t run_bytes = sizeof(T) * static_cast<size_t>(tiles.planes * tiles.run_pitch);
  const LaunchShape shape = {blocks_of(tiles, image.planes), threads,
                             sizeof(float) * kStaged * kSlot<Results::kWide> + run_bytes};
  *status = gpu::launch(upsample_tiles<Mode, Results, T>, shape, ctx, image, tiles);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_UPSAMPLE_FORWARD_TILES_H_
