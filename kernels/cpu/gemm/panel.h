// Runs the tiles of one panel of columns: where their results go, and what is added to them.
#ifndef POLYOPS_CPU_GEMM_PANEL_H_
#define POLYOPS_CPU_GEMM_PANEL_H_

#include <cstdint>

#include "gemm/packing.h"
#include "gemm/tile.h"
#include "rows.h"

namespace polyops::cpu {
namespace {

// What is added to a product, and where the sum goes: the addend with the first block of k, what
// stands in dst itself with every later one (so that an addend that is dst is read before it is
// written). D: how dst and addend are stored.
template <class S, class D = S>
struct Target {
  D* dst;
  int64_t dst_m, dst_n;
  const D* addend;  // nullptr: none
  int64_t addend_m, addend_n;
  S alpha, beta;
};

// Element by element, for layouts that vectors do not fit.
template <class S, class D>
void scatter(const Target<S, D>& t, int64_t i, int64_t j, int64_t rows, int64_t columns,
             const S* sums, int64_t sums_m) {
  for (int64_t r = 0; r < rows; ++r) {
    D* dst = t.dst + (i + r) * t.dst_m + j * t.dst_n;
    const D* addend =
        t.addend == nullptr ? nullptr : t.addend + (i + r) * t.addend_m + j * t.addend_n;
    for (int64_t c = 0; c < columns; ++c) {
      const S product = t.alpha * sums[r * sums_m + c];
      put(dst + c * t.dst_n,
          addend == nullptr ? product : product + t.beta * get(addend + c * t.addend_n));
    }
  }
}

template <class S, class D>
inline bool fits_vectors(const Target<S, D>& t) {
  return t.dst_n == 1 && (t.addend == nullptr || t.addend_n <= 1);
}

template <class V, class E, class S, class D>
inline void aim(const Target<S, D>& target, int64_t i, int64_t j, Tile<V, E, D>& tile) {
  tile.dst = target.dst + i * target.dst_m + j;
  if (target.addend != nullptr) {
    tile.addend = target.addend + i * target.addend_m + j * target.addend_n;
  }
}

// The tile's target apart from its place.
template <class V, class E, class S, class D>
inline void set_target(const Target<S, D>& target, Tile<V, E, D>& tile) {
  tile.dst_m = target.dst_m;
  tile.addend = nullptr;
  tile.addend_m = target.addend_m;
  tile.addend_kind = target.addend == nullptr ? kNoAddend
                     : target.addend_n == 1   ? kAddendRow
                                              : kAddendBroadcast;
  tile.alpha = target.alpha;
  tile.beta = target.beta;
}

// Brings the next panel into the L2 cache while `tiles` tiles read this one, the same share by each
// of the first. A single tile is no slower than memory: it brings what it reads itself 4 KB later
// (1, 2 and 8 KB were up to 5 % slower; the next panel 10 %).
template <class V, class E, class D>
class NextPanel {
 public:
  NextPanel(const Operands<E>& panel, int64_t tiles)
      : at_(tiles == 1 ? panel.rhs + 4096 / sizeof(E) : panel.next),
        end_(at_ + panel.k * kStep),
        lines_(lines_of(tiles)) {}

  // The kernel of the next tile, which is told what to bring; null once all of it is on its way.
  TileFn<V, E, D> kernel(int64_t rows, int64_t steps, Tile<V, E, D>& tile) {
    if (at_ >= end_) return nullptr;
    tile.next = at_;
    at_ += steps * lines_ * (64 / static_cast<int64_t>(sizeof(E)));
    constexpr int kAll = kPanelLines<V, E>, kHalf = kAll > 1 ? kAll / 2 : 1;
    constexpr int kQuarter = kHalf > 1 ? kHalf / 2 : 1;
    const auto& grid = lines_ == kAll    ? kTilesAhead<V, E, D, kAll>
                       : lines_ == kHalf ? kTilesAhead<V, E, D, kHalf>
                                         : kTilesAhead<V, E, D, kQuarter>;
    return grid.fn[kMaxVectors<V> - 1][rows - 1];
  }

 private:
  static constexpr int64_t kStep = kTileColumns<V> * kDepth<V, E>;
  static int lines_of(int64_t tiles) {
    const int lines = kPanelLines<V, E> / (tiles == 1 ? 1 : tiles < 4 ? 2 : 4);
    return lines < 1 ? 1 : lines;
  }

  const E *at_, *end_;
  int lines_;
};

// The rows that `tiles` splits, from dst's `row` on, x one panel, into a target that fits vectors.
template <class V, class E, class S, class D>
void run_panel_in_place(const Operands<E>& operands, const Target<S, D>& target, const Split& tiles,
                        int64_t row, int64_t column, int64_t columns, bool partial) {
  const int64_t vectors = ceil_div(columns, V::kLanes);
  Tile<V, E, D> tile;
  static_cast<Operands<E>&>(tile) = operands;
  tile.last = static_cast<int32_t>(columns - (vectors - 1) * V::kLanes);
  set_target(target, tile);
  const auto& kernels = (partial ? kTiles<V, E, D, true> : kTiles<V, E, D, false>).fn[vectors - 1];
  const auto run = [&](int64_t i, TileFn<V, E, D> kernel) {
    const int64_t begin = tiles.begin(i);
    tile.lhs = operands.lhs + begin * operands.lhs_m;
    aim(target, row + begin, column, tile);
    kernel(tile);
  };
  int64_t i = 0;
  if constexpr (kPanelLines<V, E> > 0) {
    if (operands.next != nullptr && vectors == kMaxVectors<V>) {
      NextPanel<V, E, D> next(operands, tiles.count);
      for (; i < tiles.count; ++i) {
        const auto kernel = next.kernel(tiles.size(i), operands.k, tile);
        if (kernel == nullptr) break;
        run(i, kernel);
      }
    }
  }
  for (; i < tiles.count; ++i) run(i, kernels[tiles.size(i) - 1]);
}

// As above, into any target.
template <class V, class E, class S, class D>
void run_panel(const Operands<E>& operands, const Target<S, D>& target, const Split& tiles,
               int64_t row, int64_t column, int64_t columns, bool packed_rhs) {
  const bool partial = !packed_rhs && columns % V::kLanes != 0;
  if (fits_vectors(target)) {
    return run_panel_in_place<V>(operands, target, tiles, row, column, columns, partial);
  }
  S sums[kMaxRows * kTileColumns<V>];
  const Target<S> own = {sums, kTileColumns<V>, 1, nullptr, 0, 0, S{1}, S{0}};
  for (int64_t i = 0; i < tiles.count; ++i) {
    const int64_t begin = tiles.begin(i), rows = tiles.size(i);
    Operands<E> part = operands;
    part.lhs += begin * operands.lhs_m;
    run_panel_in_place<V>(part, own, Split(rows, rows), 0, 0, columns, partial);
    scatter(target, row + begin, column, rows, columns, sums, kTileColumns<V>);
  }
}

// As above, sums of more than `most` steps in blocks.
template <class V, class E, class S>
void run_panel_in_blocks(Operands<E> operands, Target<S> target, const Split& tiles, int64_t row,
                         int64_t column, int64_t columns, bool packed_rhs, int64_t most) {
  for (int64_t left = operands.k;;) {
    operands.k = min_of(left, most);
    run_panel<V>(operands, target, tiles, row, column, columns, packed_rhs);
    left -= operands.k;
    if (left <= 0) return;
    operands.lhs += operands.k * operands.lhs_k;
    operands.rhs += operands.k * operands.rhs_k;
    target = {target.dst,   target.dst_m, target.dst_n, target.dst,
              target.dst_m, target.dst_n, target.alpha, S{1}};
  }
}

// As many panels as the columns need, of rhs rows that lie behind each other.
template <class V, class E, class S>
void run_panels(Operands<E> operands, const Target<S>& target, int64_t row, int64_t rows,
                int64_t columns, bool packed_rhs) {
  const E* rhs = operands.rhs;
  for (int64_t j = 0; j < columns; j += kTileColumns<V>) {
    const int64_t width = min_of(kTileColumns<V>, columns - j);
    const int vectors = static_cast<int>(ceil_div(width, V::kLanes));
    operands.rhs = rhs + j * kDepth<V, E>;
    run_panel_in_blocks<V>(operands, target, Split(rows, rows_of<V>(vectors)), row, j, width,
                           packed_rhs, kSumSteps<S>);
  }
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_GEMM_PANEL_H_
