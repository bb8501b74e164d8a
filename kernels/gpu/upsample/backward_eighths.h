// Backward of planes whose rows are made of steps of an eighth of a place, of Linear: eight results
// side by side, wherever they begin, belong to three places of src. So a thread reads the gradient
// by aligned packs, whatever a row's length, and sums along the row first: three sums of eight
// elements go to shared memory, by weights that stay in registers, as it goes down by eight rows at
// a time, which begin at the same place of a pack. Of these sums a thread adds up what makes one
// element of src. A block has all rows of the gradient that its rows of src take: one barrier.
// Bound: what a block waits for; a sixth fewer instructions brought 2 %. Elements of 32 bits and
// rows of whole packs lose by it: backward_tiles.h takes 65 us of 78, and 74 of 80.
#ifndef POLYOPS_GPU_UPSAMPLE_BACKWARD_EIGHTHS_H_
#define POLYOPS_GPU_UPSAMPLE_BACKWARD_EIGHTHS_H_

#include "division.h"
#include "eighths.h"
#include "tile_parts.h"

namespace polyops::gpu {
namespace {

// Of a block: columns and rows of src, the former in `across` parts, the latter in `chunks`.
struct Eighths {
  int columns, across, rows, chunks;
  Division by_columns, by_units, by_across, by_chunks;
};

// What the rows of src of a block are made of.
struct EighthRows {
  int begin[kEighthRows], count[kEighthRows];  // the former in rows of the gradient
  float weight[kEighthRows][kEighthTaps];

  GPU_DEVICE void fill(const Axis& axis, int first, int rows) {
#pragma unroll 1
    for (int i = thread_id(); i < rows * kEighthTaps; i += block_threads()) {
      const int row = i / kEighthTaps, tap = i % kEighthTaps;
      const int from = reaching(axis, first + row - 1), to = reaching(axis, first + row + 1);
      if (tap == 0) begin[row] = from, count[row] = to - from;
      weight[row][tap] = from + tap < to ? Linear::weight(axis, from + tap, first + row) : 0.0f;
    }
  }
};

// The element of src in that row, of the table, from the sums that begin at `line`; rows of these
// are `apart` from each other.
GPU_DEVICE float eighth_sum(const EighthRows& table, int row, const float* line, int apart) {
  const int count = table.count[row];
  const float* weight = table.weight[row];
  float sum = 0;
#pragma unroll 4
  for (int y = 0; y < count; ++y, line += apart) {
    sum = fmaf(weight[y], line[0] + line[1] + line[2], sum);
  }
  return sum;
}

template <class T>
GPU_KERNEL(kEighthThreads, 3)
upsample_backward_eighths(Image<T> image, Eighths of) {
  GPU_DYNAMIC_SHARED(float, sums);
  GPU_SHARED(EighthRows, table, 1);
  const Axis &columns = image.columns, &rows = image.rows;
  auto plane = static_cast<uint32_t>(block_id());
  const int first_column = static_cast<int>(take_remainder(of.by_across, &plane)) * of.columns;
  const int first_row = static_cast<int>(take_remainder(of.by_chunks, &plane)) * of.rows;
  const int wide =
      of.columns < columns.from - first_column ? of.columns : columns.from - first_column;
  const int high = of.rows < rows.from - first_row ? of.rows : rows.from - first_row;
  table->fill(rows, first_row, high);
  const int begin = reaching(rows, first_row - 1), end = reaching(rows, first_row + high);
  const int apart = 3 * of.columns;
  const T* const in = image.in + int64_t{plane} * rows.to * columns.to;
  auto number = static_cast<uint32_t>(thread_id());  // becomes that of the team
  const int cell = static_cast<int>(take_remainder(of.by_units, &number)) - 2;
  const int team = static_cast<int>(number);
  if (team < kEighthTeams && begin + team < end) {
    const T* const line = in + int64_t{begin + team} * columns.to;
    const EighthUnit<T> unit(columns, line, first_column + cell);
    unit.go(line, (end - begin - team + kEighthTeams - 1) / kEighthTeams,
            sums + team * apart + 3 * cell, kEighthTeams * apart, -cell, wide - cell);
  }
  barrier();
  T* const out = image.out + (int64_t{plane} * rows.from + first_row) * columns.from + first_column;
#pragma unroll 1
  for (int i = thread_id(); i < high * of.columns; i += block_threads()) {
    auto number = static_cast<uint32_t>(i);
    const int column = static_cast<int>(take_remainder(of.by_columns, &number));
    const int row = static_cast<int>(number);
    if (column >= wide) continue;
    const float* const lines = sums + (table->begin[row] - begin) * apart + 3 * column;
    float sum = eighth_sum(*table, row, lines, apart);
    const bool second = first_column + column == 1 && columns.shift != 0;
    const bool last = first_row + row == rows.from - 1 && sum - sum != 0;
    if (second || last) {  // 0 x: nothing, but of what is not finite
      const float* at = lines;
      for (int y = 0; y < table->count[row]; ++y, at += apart) {
        // What lies before the first place, of the second.
        if (second) sum = fmaf(0.0f, at[-1], sum);
        const bool joins = last && Linear::joins(rows, table->begin[row] + y, rows.from - 1);
        if (joins) sum = fmaf(0.0f, at[0] + at[1] + at[2], sum);
      }
    }
    out[row * columns.from + column] = narrow<T>(sum);
  }
}

// False where another kernel is to do it.
template <class T>
bool backward_eighths(const Image<T>& image, const polyops_context* ctx, int* status) {
  const Axis &columns = image.columns, &rows = image.rows;
  if (columns.scale != 0.125f || columns.to >= 1 << 18) return false;
  if (!(rows.inverse >= 1.0f && rows.inverse <= 8.0f) || rows.to >= 1 << 18) return false;
  Eighths of = {};
  of.across = (columns.from + kEighthColumns - 1) / kEighthColumns;
  of.columns = (columns.from + of.across - 1) / of.across;
  of.across = (columns.from + of.columns - 1) / of.columns;
  const int64_t parts = int64_t{image.planes} * of.across;
  int most = kEighthRows;
  while (most > 2 && parts * ((rows.from + most - 1) / most) < 2 * multiprocessors(ctx)) most /= 2;
  of.chunks = (rows.from + most - 1) / most;
  of.rows = (rows.from + of.chunks - 1) / of.chunks;
  of.chunks = (rows.from + of.rows - 1) / of.rows;
  of.by_columns = Division(static_cast<uint32_t>(of.columns));
  of.by_units = Division(static_cast<uint32_t>(of.columns + 2));
  of.by_across = Division(static_cast<uint32_t>(of.across));
  of.by_chunks = Division(static_cast<uint32_t>(of.chunks));
  const int lines = static_cast<int>(static_cast<float>(of.rows + 1) * rows.inverse) + 3;
  const LaunchShape shape = {parts * of.chunks, whole_waves(kEighthTeams * (of.columns + 2)),
                             sizeof(float) * static_cast<size_t>(lines * 3 * of.columns)};
  *status = gpu::launch(upsample_backward_eighths<T>, shape, ctx, image, of);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_UPSAMPLE_BACKWARD_EIGHTHS_H_
