// Images that are planes of rows, in tiles: several whole planes, or some rows of one, or a stretch
// of a single row. Whatever a block takes of a tensor is one run of elements, so it comes into
// shared memory by packs of 16 aligned bytes whatever the width, 7 as well as 112, and goes back by
// such.
//
// A strip is what a thread computes at a time: kStripRows rows of one plane, of a few results each.
// Neighbouring lanes have neighbouring columns: two elements of 16 bits are a bank of shared
// memory.
#ifndef POLYOPS_GPU_CONVOLUTION_TILE_H_
#define POLYOPS_GPU_CONVOLUTION_TILE_H_

#include "layout.h"
#include "span.h"

namespace polyops::gpu {
namespace {

constexpr int kTileThreads = 256;
// 7: images of 7, 14, 28, 56 and 112 rows leave none over.
constexpr int kStripRows = 7;
// Of results. Under 3x3 taps 4 compile to some 27 instructions each, 2 to 38; where the sums of all
// taps are kept besides, registers end at 2.
constexpr int kForwardColumns = 4, kStripColumns = 2;
constexpr int64_t kTileBytes = 40 << 10;
constexpr int32_t kRowTile = 4096;  // columns, where rows are cut

// Compile-time: filter and stride. Images of one row alone have filters of one.
template <int kHeight, int kWidth, int kStride>
struct Window {
  static constexpr int kH = kHeight, kW = kWidth, kS = kStride, kTaps = kHeight * kWidth;
  static constexpr int kRows = kStripRows;                         // of results in a strip
  static constexpr int kInRows = (kRows - 1) * kStride + kHeight;  // that it reads
  template <int kResults>  // columns that so many results read
  static constexpr int kReads = (kResults - 1) * kStride + kWidth;
};

// How results fall into tiles: planes > 1 only where tiles are whole planes.
struct Tiling {
  int32_t planes, rows, columns;  // of results in a tile
  int32_t down, across;           // tiles of a plane
  bool gathers;                   // results are what a convolution of stride 2 reads, see Reads
  GPU_DEVICE int32_t parts() const { return down * across; }
};

inline bool is_row(const Shape& s) { return s.h.in == 1 && s.h.out == 1 && s.h.taps == 1; }

// columns: of a strip.
inline Tiling tiles_of(const Shape& s, int element_bytes, int columns, bool gathers = false) {
  const int64_t row = int64_t{s.w.in} * s.h.stride + s.w.out;
  const int64_t halo = int64_t{s.w.in} * (s.h.taps - 1);
  const int64_t room = kTileBytes / element_bytes;
  const int64_t plane = int64_t{s.h.in} * s.w.in + int64_t{s.h.out} * s.w.out;
  Tiling t = {1, s.h.out, s.w.out, 1, 1, gathers};
  if (plane <= room) {
    const int64_t strips = ceil_div(s.w.out, columns) * ceil_div(s.h.out, kStripRows);
    const int64_t wanted = kTileThreads / strips, fit = room / plane;
    t.planes = static_cast<int32_t>(wanted < 1 ? 1 : wanted < fit ? wanted : fit);
  } else {
    int64_t rows = (room - halo) / row / kStripRows * kStripRows;
    if (rows < kStripRows) rows = kStripRows;
    // As even as can be.
    const int64_t down = ceil_div(s.h.out, rows);
    rows = ceil_div(ceil_div(s.h.out, down), kStripRows) * kStripRows;
    t.rows = static_cast<int32_t>(rows < s.h.out ? rows : s.h.out);
  }
  t.down = static_cast<int32_t>(ceil_div(s.h.out, t.rows));
  t.across = static_cast<int32_t>(ceil_div(s.w.out, t.columns));
  return t;
}

// Stretches of one row, as even as can be.
inline Tiling row_tiles(const Shape& s) {
  Tiling t = {1, 1, s.w.out, 1, 1, false};
  t.across = static_cast<int32_t>(ceil_div(s.w.out, kRowTile));
  t.columns = static_cast<int32_t>(ceil_div(s.w.out, t.across));
  return t;
}

// Rows of images so wide that a strip's do not fit into shared memory are left to others.
inline bool fits_tiles(const Shape& s, int element_bytes) {
  if (is_row(s)) return true;
  const int64_t row = int64_t{s.w.in} * s.h.stride + s.w.out;
  const int64_t halo = int64_t{s.w.in} * (s.h.taps - 1);
  return (kStripRows * row + halo) * element_bytes <= kTileBytes * 3 / 2;
}

// The stretch of an axis that some results read, not clipped to it: forward, and where they are the
// gradients of a convolution's input: result x is x + padding = 2 o + tap of a gradient o.
struct Reads {
  int32_t begin, end;
  GPU_DEVICE Reads(const Axis& axis, int32_t first, int32_t count, bool gathers) {
    if (gathers) {
      begin = (first + axis.padding - axis.taps + 1) >> 1;
      end = ((first + count - 1 + axis.padding) >> 1) + 1;
    } else {
      begin = first * axis.stride - axis.padding;
      end = begin + (count - 1) * axis.stride + axis.taps;
    }
  }
};

// A tile: its results, and what it reads of the input. Rows and columns of the first one.
struct Tile {
  int32_t plane, planes;
  int32_t row, rows, column, columns;
  int32_t in_row, in_rows, in_column, in_columns;  // clipped to the image

  // part: which tile of its planes; they are cut in one direction, or not at all.
  GPU_DEVICE Tile(const Shape& s, const Tiling& t, int32_t first, int32_t count, int32_t part)
      : plane(first), planes(count) {
    row = t.down > 1 ? part * t.rows : 0;
    column = t.across > 1 ? part * t.columns : 0;
    rows = least(t.rows, s.h.out - row);
    columns = least(t.columns, s.w.out - column);
    in_row = in_column = 0;
    in_rows = s.h.in;
    in_columns = s.w.in;
    if (t.down > 1) clip(s.h, Reads(s.h, row, rows, t.gathers), &in_row, &in_rows);
    if (t.across > 1) clip(s.w, Reads(s.w, column, columns, t.gathers), &in_column, &in_columns);
  }

  GPU_DEVICE static int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }
  GPU_DEVICE static void clip(const Axis& axis, const Reads& reads, int32_t* begin, int32_t* size) {
    const int32_t end = least(reads.end, axis.in);
    *begin = reads.begin < 0 ? 0 : reads.begin;
    *size = end > *begin ? end - *begin : 0;
  }

  // The first element and the number of them, of input and of results.
  GPU_DEVICE int64_t in_first(const Shape& s) const {
    return int64_t{plane} * s.in() + int64_t{in_row} * s.w.in + in_column;
  }
  GPU_DEVICE int32_t in_count() const { return planes * in_rows * in_columns; }
  GPU_DEVICE int64_t out_first(const Shape& s) const {
    return int64_t{plane} * s.out() + int64_t{row} * s.w.out + column;
  }
  GPU_DEVICE int32_t out_count() const { return planes * rows * columns; }
};

// Elements that a run takes in shared memory, at most.
template <class T>
int32_t room_of(int64_t count) {
  return static_cast<int32_t>((count + 2 * kPack<T> - 1) / kPack<T> * kPack<T>);
}
// Those of the input that a tile reads, at most.
inline int64_t most_in(const Shape& s, const Tiling& t) {
  const int64_t rows = t.down > 1 ? int64_t{t.rows - 1} * s.h.stride + s.h.taps : s.h.in;
  const int64_t columns = t.across > 1 ? int64_t{t.columns - 1} * s.w.stride + s.w.taps : s.w.in;
  return int64_t{t.planes} * (rows < s.h.in ? rows : s.h.in) *
         (columns < s.w.in ? columns : s.w.in);
}

// A strip's place in its tile.
struct Strip {
  int32_t plane, row, column;

  // across, down: strips of a plane; rows, columns: of results in one.
  GPU_DEVICE Strip(int32_t index, int32_t across, int32_t down, int rows, int columns) {
    plane = row = 0;
    column = index;
    if (index >= across) {
      const auto line = static_cast<uint32_t>(index) / static_cast<uint32_t>(across);
      column = index - static_cast<int32_t>(line) * across;
      plane = static_cast<int32_t>(line / static_cast<uint32_t>(down));
      row = (static_cast<int32_t>(line) - plane * down) * rows;
    }
    column *= columns;
  }
};

struct HalfWord {
  uint16_t w;
} __attribute__((may_alias));
struct Word {
  uint32_t w;
} __attribute__((may_alias));

// The columns of a row that a strip reads, 0 where the row has none: by a factor or mask of an
// element's bits, so that a load needs neither a comparison nor a branch. Where there is none
// another row is read, or what lies around the tile, kAround elements of room.
constexpr int kAround = 8;
template <int kCount, class T>
struct Columns {
  static constexpr bool kByFactor = std::is_same_v<T, bf16>;
  int32_t first;
  uint32_t inside[kCount];

  GPU_DEVICE Columns(int32_t column, int32_t columns) : first(column) {
#pragma unroll
    for (int j = 0; j < kCount; ++j) {
      const bool has = static_cast<uint32_t>(column + j) < static_cast<uint32_t>(columns);
      inside[j] = !has ? 0 : kByFactor ? 1u << 16 : ~0u;
      forget_bits(&inside[j]);  // else it is compared and chosen again in every row
    }
  }
  GPU_DEVICE void load(const T* row, float (&x)[kCount]) const {
#pragma unroll
    for (int j = 0; j < kCount; ++j) x[j] = one(row + first + j, inside[j]);
  }
  GPU_DEVICE static float one(const T* p, uint32_t inside) {
    if constexpr (sizeof(T) == 4) {
      return float_of_bits(reinterpret_cast<const Word*>(p)->w & inside);
    } else {
      const uint32_t bits = reinterpret_cast<const HalfWord*>(p)->w;
      if constexpr (kByFactor) return float_of_bits(bits * inside);
      float low, high;
      widen2<T>(bits & inside, &low, &high);
      return low;
    }
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_TILE_H_
