// Runs the tiles of one panel of columns: where their results go, and what is added to them.
#ifndef POLYOPS_CPU_GEMM_PANEL_H_
#define POLYOPS_CPU_GEMM_PANEL_H_

#include <cstdint>

#include "gemm/packing.h"
#include "gemm/tile.h"

namespace polyops::cpu {
namespace {

// What is added to a product, and where the sum goes: the addend with the first block of k, what
// stands in dst itself with every later one (so that an addend that is dst is read before it is
// written).
template <class S>
struct Target {
  S* dst;
  int64_t dst_m, dst_n;
  const S* addend;  // nullptr: none
  int64_t addend_m, addend_n;
  S alpha, beta;
};

// Element by element, for layouts that vectors do not fit.
template <class S>
void scatter(const Target<S>& t, int64_t i, int64_t j, int64_t rows, int64_t columns, const S* sums,
             int64_t sums_m) {
  for (int64_t r = 0; r < rows; ++r) {
    S* dst = t.dst + (i + r) * t.dst_m + j * t.dst_n;
    const S* addend =
        t.addend == nullptr ? nullptr : t.addend + (i + r) * t.addend_m + j * t.addend_n;
    for (int64_t c = 0; c < columns; ++c) {
      const S product = t.alpha * sums[r * sums_m + c];
      dst[c * t.dst_n] = addend == nullptr ? product : product + t.beta * addend[c * t.addend_n];
    }
  }
}

template <class S>
inline bool fits_vectors(const Target<S>& t) {
  return t.dst_n == 1 && (t.addend == nullptr || t.addend_n <= 1);
}

template <class V, class E, class S>
inline void aim(const Target<S>& target, int64_t i, int64_t j, Tile<V, E>& tile) {
  tile.dst = target.dst + i * target.dst_m + j;
  if (target.addend != nullptr) {
    tile.addend = target.addend + i * target.addend_m + j * target.addend_n;
  }
}

// The tile's target apart from its place.
template <class V, class E, class S>
inline void set_target(const Target<S>& target, Tile<V, E>& tile) {
  tile.dst_m = target.dst_m;
  tile.addend = nullptr;
  tile.addend_m = target.addend_m;
  tile.addend_kind = target.addend == nullptr ? kNoAddend
                     : target.addend_n == 1   ? kAddendRow
                                              : kAddendBroadcast;
  tile.alpha = target.alpha;
  tile.beta = target.beta;
}

// The rows that `tiles` splits, from dst's `row` on, x one panel.
template <class V, class E, class S>
void run_panel(Tile<V, E> tile, const Target<S>& target, const E* lhs, const Split& tiles,
               int64_t row, int64_t column, int64_t columns, bool packed_rhs) {
  const int64_t vectors = ceil_div(columns, V::kLanes);
  const bool partial = !packed_rhs && columns % V::kLanes != 0;
  const bool whole = fits_vectors(target);
  S sums[kMaxRows * kTileColumns<V>];
  tile.last = static_cast<int32_t>(columns - (vectors - 1) * V::kLanes);
  if (whole) {
    set_target(target, tile);
  } else {
    tile.dst = sums;
    tile.dst_m = kTileColumns<V>;
    tile.addend_kind = kNoAddend;
    tile.alpha = 1;
    tile.beta = 0;
  }
  const auto& kernels = kTiles<V, E>.fn[partial][vectors - 1];
  for (int64_t i = 0; i < tiles.count; ++i) {
    const int64_t begin = tiles.begin(i), rows = tiles.size(i);
    tile.lhs = lhs + begin * tile.lhs_m;
    if (whole) aim(target, row + begin, column, tile);
    kernels[rows - 1](tile);
    if (!whole) scatter(target, row + begin, column, rows, columns, sums, kTileColumns<V>);
  }
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_GEMM_PANEL_H_
