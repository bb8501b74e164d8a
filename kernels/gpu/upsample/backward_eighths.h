// Backward of planes that got eight steps to a place along both axes, from corner to corner: 65 by
// 65 from 513 by 513. Rows of the gradient begin anywhere, but rows r, r + 8 ... lie the same way
// to aligned packs. So eight elements of a row, aligned in memory, belong to three places of src by
// weights that depend on the row's place in a pack alone, and are constants of code that does those
// places in turn; by row they belong to one row of src and the next. A thread adds up eight rows of
// such elements at a time, and sums of neighbours meet in shared memory. Bound: memory.
#ifndef POLYOPS_GPU_UPSAMPLE_BACKWARD_EIGHTHS_H_
#define POLYOPS_GPU_UPSAMPLE_BACKWARD_EIGHTHS_H_

#include "division.h"
#include "tile_parts.h"

namespace polyops::gpu {
namespace {

constexpr int kEighthThreads = 448;
constexpr int kEighthColumns = 110;  // of src in a block, at most
constexpr int kEighthGroups = 2;     // of eight rows, one after the other by a thread
constexpr int kEighthPlaces = 3;     // those before, of and behind a unit

// Of a block: columns and rows of src, the former in `across` parts, the latter in `chunks`.
struct Eighths {
  int columns, across, rows, chunks;
  Division by_columns, by_units, by_across, by_chunks;
};

// Unit `cell` of a row is those eight elements, aligned, of which the first at a whole place is at
// place `cell` of src; a group is eight rows from a whole place on. What a unit of each of a
// group's rows adds to the rows of src there and below. Place in a pack of the plane's first
// element: lead.
template <class T>
GPU_DEVICE void add_units(const Image<T>& image, const T* plane, int lead, int group, int cell,
                          float (&here)[kEighthPlaces], float (&below)[kEighthPlaces]) {
  constexpr int kUnit = 8, kPacks = kUnit / kPack<T>, kAhead = kUnit / kPacks;
  const int wide = image.columns.to;
  const bool left = cell == 0, right = cell == image.columns.from - 1;
  const bool bottom = group == image.rows.from - 1;  // a single row
  const T* const first = plane + (group * kUnit * wide + cell * kUnit);
#pragma unroll
  for (int begin = 0; begin < kUnit; begin += kAhead) {
    Words words[kAhead][kPacks];
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      // The row whose first element is at that place of a pack.
      const int place = (begin + a) % kPack<T>, row = (begin + a - lead) & (kUnit - 1);
      const T* const at = first + ((bottom ? 0 : row * wide) - (bottom ? lead : place));
#pragma unroll
      for (int i = 0; i < kPacks; ++i) {
        const bool beyond = right && i * kPack<T> > place;
        words[a][i] = load_words(at + (beyond ? 0 : i * kPack<T>));
      }
    }
#pragma unroll
    for (int a = 0; a < kAhead; ++a) {
      const int place = (begin + a) % kPack<T>, row = (begin + a - lead) & (kUnit - 1);
      float x[kUnit], sum[kEighthPlaces] = {};
#pragma unroll
      for (int i = 0; i < kPacks; ++i) {
        float part[kPack<T>];
        unpack<T>(words[a][i], part);
#pragma unroll
        for (int j = 0; j < kPack<T>; ++j) x[i * kPack<T> + j] = part[j];
      }
#pragma unroll
      for (int j = 0; j < kUnit; ++j) {
        // What is no element of this row.
        if (j < place ? left : j > place && right) x[j] = 0;
        const int k = j < place ? 0 : 1;
        const float t = 0.125f * static_cast<float>(j < place ? kUnit + j - place : j - place);
        sum[k] = fmaf(1.0f - t, x[j], sum[k]);
        sum[k + 1] = fmaf(t, x[j], sum[k + 1]);  // 0 x, too: it may be NaN
      }
      if (bottom && row != 0) continue;
      const float t = 0.125f * static_cast<float>(row);
#pragma unroll
      for (int k = place == 0 ? 1 : 0; k < kEighthPlaces; ++k) {
        here[k] = fmaf(1.0f - t, sum[k], here[k]);
        below[k] = fmaf(t, sum[k], below[k]);
      }
    }
  }
}

template <class T>
GPU_KERNEL(kEighthThreads, 2)
upsample_backward_eighths(Image<T> image, Eighths of) {
  await_earlier();
  constexpr int kSlots = kEighthGroups + 1;  // rows of sums of a team
  GPU_DYNAMIC_SHARED(float, sums);
  const Axis &columns = image.columns, &rows = image.rows;
  auto plane = static_cast<uint32_t>(block_id());
  const int first_column = static_cast<int>(take_remainder(of.by_across, &plane)) * of.columns;
  const int first_row = static_cast<int>(take_remainder(of.by_chunks, &plane)) * of.rows;
  const int units = of.columns + 2, line = kEighthPlaces * units;
  auto number = static_cast<uint32_t>(thread_id());  // becomes that of the team
  const int unit = static_cast<int>(take_remainder(of.by_units, &number));
  const int team = static_cast<int>(number), cell = first_column + unit - 1;
  if (team * kEighthGroups <= of.rows) {
    const T* const in = image.in + int64_t{plane} * rows.to * columns.to;
    float* to = sums + team * kSlots * line + kEighthPlaces * unit;
    const auto store = [&](const float(&x)[kEighthPlaces]) {
#pragma unroll
      for (int k = 0; k < kEighthPlaces; ++k) to[k] = x[k];
      to += line;
    };
    float here[kEighthPlaces], below[kEighthPlaces] = {};
#pragma unroll 1
    for (int i = 0; i < kEighthGroups; ++i) {
      const int group = first_row - 1 + team * kEighthGroups + i;
#pragma unroll
      for (int k = 0; k < kEighthPlaces; ++k) here[k] = below[k], below[k] = 0;
      if (static_cast<unsigned>(cell) < static_cast<unsigned>(columns.from) &&
          static_cast<unsigned>(group) < static_cast<unsigned>(rows.from)) {
        add_units(image, in, misplaced(in), group, cell, here, below);
      }
      store(here);
    }
    store(below);
  }
  barrier();
  T* const out = image.out + (int64_t{plane} * rows.from + first_row) * columns.from + first_column;
  const int high = of.rows < rows.from - first_row ? of.rows : rows.from - first_row;
#pragma unroll 1
  for (int i = thread_id(); i < high * of.columns; i += block_threads()) {
    auto number = static_cast<uint32_t>(i);
    const int column = static_cast<int>(take_remainder(of.by_columns, &number));
    const int row = static_cast<int>(number);
    if (first_column + column >= columns.from) continue;
    const bool last = first_column + column == columns.from - 1;
    // Units of the place before, of this and of the next one; of the last, what lies beyond.
    const auto line_sum = [&](int team, int slot) {
      const float* const x = sums + (team * kSlots + slot) * line + kEighthPlaces * column;
      const float sum = x[2] + x[4] + x[6];
      return last ? sum + x[5] : sum;
    };
    const int owner = (row + 1) / kEighthGroups, slot = (row + 1) % kEighthGroups;
    float sum = line_sum(owner, slot);
    if (slot == 0) sum += line_sum(owner - 1, kEighthGroups);
    if (first_row + row == rows.from - 1) sum += line_sum(owner, slot + 1);
    out[row * columns.from + column] = narrow<T>(sum);
  }
}

// False where another kernel is to do it.
template <class T>
bool backward_eighths(const Image<T>& image, const polyops_context* ctx, int* status) {
  const auto goes = [](const Axis& axis) {
    return axis.scale == 0.125f && axis.shift == 0 && axis.to == 8 * axis.from - 7;
  };
  if (!goes(image.columns) || !goes(image.rows)) return false;
  const int wide = image.columns.from, high = image.rows.from;
  Eighths of = {};
  of.across = (wide + kEighthColumns - 1) / kEighthColumns;
  of.columns = (wide + of.across - 1) / of.across;
  of.across = (wide + of.columns - 1) / of.columns;
  const int64_t parts = int64_t{image.planes} * of.across;
  int teams = kEighthThreads / (of.columns + 2);
  const auto cut = [&] {
    of.rows = teams * kEighthGroups - 1;
    of.chunks = (high + of.rows - 1) / of.rows;
    of.rows = (high + of.chunks - 1) / of.chunks;
    of.chunks = (high + of.rows - 1) / of.rows;
    return parts * of.chunks;
  };
  while (cut() < 2 * multiprocessors(ctx) && teams > 2) teams /= 2;
  teams = of.rows / kEighthGroups + 1;
  of.by_columns = Division(static_cast<uint32_t>(of.columns));
  of.by_units = Division(static_cast<uint32_t>(of.columns + 2));
  of.by_across = Division(static_cast<uint32_t>(of.across));
  of.by_chunks = Division(static_cast<uint32_t>(of.chunks));
  const int floats = teams * (kEighthGroups + 1) * kEighthPlaces * (of.columns + 2);
  const LaunchShape shape = {parts * of.chunks, whole_waves(teams * (of.columns + 2)),
                             sizeof(float) * static_cast<size_t>(floats)};
  *status = gpu::launch(upsample_backward_eighths<T>, shape, ctx, image, of);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_UPSAMPLE_BACKWARD_EIGHTHS_H_
