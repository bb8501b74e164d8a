// Runs the tiles of one panel of columns: where their results go, and what is added to them.
#ifndef POLYOPS_CPU_GEMM_PANEL_H_
#define POLYOPS_CPU_GEMM_PANEL_H_

#include <cstdint>

#include "gemm/ahead.h"
#include "gemm/packing.h"
#include "gemm/target.h"
#include "gemm/tile.h"
#include "rows.h"

namespace polyops::cpu {
namespace {

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

// The rows that `tiles` splits, from dst's `row` on, x one panel, into a target that fits vectors.
template <class V, class E, class S, class D>
void run_panel_in_place(const Operands<E>& operands, const Target<S, D>& target, const Split& tiles,
                        int64_t row, int64_t column, int64_t columns, bool partial,
                        Ahead<V, E>& ahead) {
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
    for (; i < tiles.count; ++i) {
      const auto kernel = ahead.kernel(tiles.size(i), vectors, tile);
      if (kernel == nullptr) break;
      run(i, kernel);
    }
  }
  for (; i < tiles.count; ++i) run(i, kernels[tiles.size(i) - 1]);
}

// As above, into any target.
template <class V, class E, class S, class D>
void run_panel(const Operands<E>& operands, const Target<S, D>& target, const Split& tiles,
               int64_t row, int64_t column, int64_t columns, bool packed_rhs) {
  const bool partial = !packed_rhs && columns % V::kLanes != 0;
  Ahead<V, E> ahead(operands, tiles.count);
  if (fits_vectors(target)) {
    return run_panel_in_place<V>(operands, target, tiles, row, column, columns, partial, ahead);
  }
  S sums[kTargetRows * kTileColumns<V>];
  const Target<S> own = {sums, kTileColumns<V>, 1, nullptr, 0, 0, S{1}, S{0}};
  const int64_t end = tiles.begin(tiles.count);
  for (int64_t i = 0; i < end; i += kTargetRows) {
    const int64_t rows = min_of(kTargetRows, end - i);
    Operands<E> part = operands;
    part.lhs += i * operands.lhs_m;
    run_panel_in_place<V>(part, own, Split(rows, tiles.size(0)), 0, 0, columns, partial, ahead);
    if (fits_turned(target)) {
      scatter_turned<V>(target, row + i, column, rows, columns, sums, kTileColumns<V>);
    } else {
      scatter(target, row + i, column, rows, columns, sums, kTileColumns<V>);
    }
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
