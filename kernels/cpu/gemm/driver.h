// Runs one part of a plan: loops over items of the batch, cache blocks and tiles.
#ifndef POLYOPS_CPU_GEMM_DRIVER_H_
#define POLYOPS_CPU_GEMM_DRIVER_H_

#include <cstdint>

#include "gemm/panel.h"
#include "gemm/plan.h"

namespace polyops::cpu {
namespace {

// One item's rows [m0, m1) x columns [n0, n1).
struct Range {
  int64_t item, m0, m1, n0, n1;
};

template <class V, class S>
void run_direct(const Problem<S, S>& p, const Plan& plan, const Range& range) {
  const S* lhs = p.lhs + range.item * p.lhs_batch + range.m0 * p.lhs_m;
  const S* rhs = p.rhs + range.item * p.rhs_batch;
  Operands<S> operands;
  operands.lhs_m = p.lhs_m;
  operands.lhs_k = p.lhs_k;
  operands.rhs_k = p.rhs_k;
  for (int64_t k0 = 0; k0 < p.k; k0 += plan.block_k) {
    const Target<S> target = target_of(p, range.item, k0 == 0);
    operands.k = min_of(plan.block_k, p.k - k0);
    operands.lhs = lhs + k0 * p.lhs_k;
    for (int64_t j = range.n0; j < range.n1; j += kTileColumns<V>) {
      const int64_t columns = min_of(kTileColumns<V>, range.n1 - j);
      const int vectors = static_cast<int>(ceil_div(columns, V::kLanes));
      operands.rhs = rhs + k0 * p.rhs_k + j;
      run_panel<V>(operands, target, Split(range.m1 - range.m0, rows_of<V>(vectors)), range.m0, j,
                   columns, false);
    }
  }
}

template <class V, class E, class S>
void run_dot(const Problem<E, S>& p, const Plan& plan, const Range& range) {
  const int64_t rows = range.m1 - range.m0;
  const E* lhs = p.lhs + range.item * p.lhs_batch + range.m0 * p.lhs_m;
  const E* rhs = p.rhs + range.item * p.rhs_batch;
  S sums[kDotMaxRows * V::kLanes];
  for (int64_t k0 = 0; k0 < p.k; k0 += plan.block_k) {
    const Target<S, E> target = target_of(p, range.item, k0 == 0);
    const int64_t k = min_of(plan.block_k, p.k - k0);
    Tile<V, E, E> tile;
    set_target(target, tile);
    for (int64_t j = range.n0; j < range.n1; j += V::kLanes) {
      const int64_t columns = min_of(V::kLanes, range.n1 - j);
      dot_strip<V>(rows, columns, lhs + k0, p.lhs_m, rhs + j * p.rhs_n + k0, p.rhs_n, k, sums);
      if (!fits_vectors(target)) {
        scatter(target, range.m0, j, rows, columns, sums, V::kLanes);
        continue;
      }
      tile.last = static_cast<int32_t>(columns);
      for (int64_t r = 0; r < rows; ++r) {
        aim(target, range.m0 + r, j, tile);
        V acc[1][1] = {{load<V>(sums + r * V::kLanes)}};
        store_tile(tile, acc);
      }
    }
  }
}

template <class V, class E, class S>
struct PackedBlock {
  static constexpr int64_t kStep = kDepth<V, E>;
  const Problem<E, S>& p;
  const Plan& plan;
  const Range& range;
  E* panels;
  E* lhs_copy;

  // k [k0, k0 + k) of the panel whose columns begin at j, of a block that begins at n0. In scratch
  // it is packed the first time; a single one is used up before the next comes into its place.
  const E* panel(int64_t n0, int64_t j, int64_t columns, int64_t k0, int64_t k, bool first) {
    const int64_t width = ceil_div(columns, V::kLanes) * V::kLanes;
    if (plan.path == Path::kPrepacked) {
      return p.rhs + j * ceil_div(p.k, kStep) * kStep + k0 * width;
    }
    const bool one_panel = range.m1 - range.m0 <= kBlockM;
    E* copy = one_panel ? panels : panels + (j - n0) * plan.block_k;
    if (first) {
      const E* rhs = p.rhs + range.item * p.rhs_batch + k0 * p.rhs_k + j * p.rhs_n;
      pack<V>(rhs, p.rhs_k, p.rhs_n, k, columns, copy, width);
    }
    return copy;
  }

  // What is wanted after the panel at j, if that lies in one piece: the panel behind it, or those
  // columns of rhs that are packed into its place.
  const E* next_panel(int64_t n0, int64_t j, int64_t n1, int64_t k0, int64_t k, bool first) {
    constexpr int64_t kColumns = kTileColumns<V>;
    int64_t next = j + kColumns;
    if (plan.path == Path::kPrepacked) {
      if (next >= n1) {
        next = n0;
        k0 += k;
      }
      if (next + kColumns > n1 || k0 + k > p.k) return nullptr;
      return p.rhs + next * ceil_div(p.k, kStep) * kStep + k0 * kColumns;
    }
    if (first) {
      if (next + kColumns > range.n1 || p.rhs_k != 1 || p.rhs_n != p.k) return nullptr;
      return p.rhs + range.item * p.rhs_batch + next * p.k + k0 * kColumns;
    }
    if (next >= n1) next = n0;
    return next + kColumns <= n1 ? panels + (next - n0) * plan.block_k : nullptr;
  }

  // Weights in the place of lhs: their further rows, with the first panel.
  Piece<E> next_rows(const Operands<E>& operands, int64_t rows, bool first) {
    const bool one_piece = operands.lhs_k == 1 && operands.lhs_m == operands.k;
    if (!first || !one_piece) return {};
    return {operands.lhs + kMaxRows * operands.lhs_m, operands.lhs + rows * operands.lhs_m};
  }

  // Rows [m0, m1) of columns [n0, n1) with k [k0, k0 + k); packs the panels the first time.
  void run(int64_t m0, int64_t m1, int64_t n0, int64_t n1, int64_t k0, int64_t k, bool first) {
    const Target<S, E> target = target_of(p, range.item, k0 == 0);
    const E* lhs = p.lhs + range.item * p.lhs_batch + m0 * p.lhs_m + k0 * p.lhs_k;
    Operands<E> operands;
    operands.k = ceil_div(k, kStep);
    operands.lhs = lhs;
    operands.lhs_m = p.lhs_m;
    operands.lhs_k = p.lhs_k * kStep;
    if (plan.pack_lhs) {
      pack<V>(lhs, p.lhs_k, p.lhs_m, k, m1 - m0, lhs_copy, plan.lhs_length);
      operands.lhs = lhs_copy;
      operands.lhs_m = kStep;
      operands.lhs_k = plan.lhs_length * kStep;
    }
    for (int64_t j = n0; j < n1; j += kTileColumns<V>) {
      const int64_t columns = min_of(kTileColumns<V>, n1 - j);
      const int64_t vectors = ceil_div(columns, V::kLanes);
      operands.rhs = panel(n0, j, columns, k0, k, first);
      if (!fits_vectors(target)) {
        operands.next = next_rows(operands, m1 - m0, j == n0);
      } else if (const E* next = next_panel(n0, j, n1, k0, k, first)) {
        operands.next = {next, next + operands.k * kStep * kTileColumns<V>};
      } else {
        operands.next = {};
      }
      operands.rhs_k = vectors * V::kLanes * kStep;
      run_panel<V>(operands, target, Split(m1 - m0, rows_of<V>(static_cast<int>(vectors))), m0, j,
                   columns, true);
    }
  }
};

template <class V, class E, class S>
void run_packed(const Problem<E, S>& p, const Plan& plan, const Range& range, E* scratch) {
  PackedBlock<V, E, S> block{p, plan, range, scratch + plan.lhs_elements, scratch};
  const Split blocks(range.m1 - range.m0, kBlockM);
  for (int64_t n0 = range.n0; n0 < range.n1; n0 += plan.block_n) {
    const int64_t n1 = min_of(n0 + plan.block_n, range.n1);
    for (int64_t k0 = 0; k0 < p.k; k0 += plan.block_k) {
      const int64_t k = min_of(plan.block_k, p.k - k0);
      for (int64_t i = 0; i < blocks.count; ++i) {
        const int64_t m0 = range.m0 + blocks.begin(i);
        block.run(m0, m0 + blocks.size(i), n0, n1, k0, k, i == 0);
      }
    }
  }
}

// Part `index` of the plan: some of the batch * m rows, some vectors of the columns.
template <class V, class E, class S>
void run_part(const Problem<E, S>& p, const Plan& plan, int64_t index, E* scratch) {
  const int64_t units = ceil_div(p.n, plan.unit), rows = p.batch * p.m;
  const int64_t down = index / plan.column_parts, across = index % plan.column_parts;
  const int64_t row0 = down * rows / plan.row_parts, row1 = (down + 1) * rows / plan.row_parts;
  Range range;
  range.n0 = across * units / plan.column_parts * plan.unit;
  range.n1 = min_of(p.n, (across + 1) * units / plan.column_parts * plan.unit);
  for (int64_t row = row0; row < row1; row += range.m1 - range.m0) {
    range.item = row / p.m;
    range.m0 = row - range.item * p.m;
    range.m1 = min_of(p.m, range.m0 + row1 - row);
    if (plan.path == Path::kDot) {
      run_dot<V>(p, plan, range);
    } else if (plan.path != Path::kDirect) {
      run_packed<V>(p, plan, range, scratch);
    } else if constexpr (!kRounds<V, E>) {
      run_direct<V>(p, plan, range);
    }
  }
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_GEMM_DRIVER_H_
