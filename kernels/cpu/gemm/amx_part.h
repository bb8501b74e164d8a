// The blocks of one thread's part of a product on AMX, in the order of its plan (amx_plan.h).
#ifndef POLYOPS_CPU_GEMM_AMX_PART_H_
#define POLYOPS_CPU_GEMM_AMX_PART_H_

#include <cstdint>

#include "gemm/amx_plan.h"

#if defined(POLYOPS_ISA_AVX512)

namespace polyops::cpu {
namespace {

// Some rows of one item, against some columns.
struct AmxPart {
  const AmxProblem& p;
  const AmxPlan& plan;
  int64_t item, unit0, unit1, n0, n1;
  char* scratch;
  Finisher& finisher;

  bf16* panels() const { return reinterpret_cast<bf16*>(scratch); }
  // Of the columns from j on, in a block that begins at j0.
  const bf16* panel(int64_t j0, int64_t j) const {
    return plan.prepacked ? p.rhs + j * plan.padded_k : panels() + (j - j0) * plan.padded_k;
  }
  bf16* left_copy(int64_t tile) const {
    char* copies = scratch + plan.packed_bytes;
    return reinterpret_cast<bf16*>(copies + tile * plan.left_tile_bytes);
  }
  int64_t rows_of_unit(int64_t unit) const { return min_of(32, p.m - 32 * unit); }
  const bf16* lhs() const { return p.lhs + item * p.lhs_batch; }

  // First row of a tile: the last one ends where lhs does.
  int64_t first_row(int64_t tile) const {
    const int64_t last = p.m - kTileRows;
    return min_of(kTileRows * tile, last > 0 ? last : 0);
  }

  // The unit's tiles; `copies` counts those packed before it.
  void pack_unit(int64_t unit, int64_t copies) const {
    if (plan.left_tile_bytes == 0) return;
    const int64_t k0 = plan.pack_left ? 0 : p.k / kTileDepth * kTileDepth;
    const int64_t rows = min_of(kTileRows, p.m), tiles = rows_of_unit(unit) > 16 ? 2 : 1;
    for (int64_t t = 0; t < tiles; ++t) {
      const bf16* from = lhs() + first_row(2 * unit + t) * p.lhs_m + k0 * p.lhs_k;
      pack_left(from, p.lhs_m, p.lhs_k, rows, p.k - k0, left_copy(copies + t));
    }
  }

  void aim_unit(int64_t unit, int64_t copies, AmxBlock& block) const {
    const int64_t tiles = rows_of_unit(unit) > 16 ? 2 : 1;
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t row = first_row(2 * unit + t);
      const bf16* copy = left_copy(copies + t);
      LeftTile& tile = block.left[t];
      tile.shift = row - 32 * unit;
      if (plan.pack_left) {
        tile = {copy, 64, kTileBytes, nullptr, tile.shift};
      } else {
        tile = {lhs() + row * p.lhs_m, 2 * p.lhs_m, 64, plan.left_tile_bytes == 0 ? nullptr : copy,
                tile.shift};
      }
    }
    block.steps = plan.pack_left ? plan.padded_k / kTileDepth : p.k / kTileDepth;
  }

  // Columns from j on, the panel of which is packed at `panel`.
  void run_block(const AmxTarget& target, AmxBlock& block, int64_t unit, int64_t j,
                 const bf16* panel) const {
    const int64_t columns = min_of(kPanel, n1 - j);
    block.panel = panel;
    block.row_bytes = 4 * panel_width(columns);
    block.streams = plan.padded_k < kStreamedK ? Streams::kNeither
                    : plan.rows_outside        ? Streams::kRight
                                               : Streams::kLeft;
    run_amx_block(block, target, plan.on_side, {32 * unit, j, rows_of_unit(unit), columns},
                  finisher);
  }

  // Columns [j0, j1), packed.
  void run_rows_outside(const AmxTarget& target, int64_t j0, int64_t j1) const {
    AmxBlock block;
    for (int64_t unit = unit0; unit < unit1; ++unit) {
      pack_unit(unit, 0);
      aim_unit(unit, 0, block);
      for (int64_t j = j0; j < j1; j += kPanel) {
        run_block(target, block, unit, j, panel(j0, j));
      }
    }
  }

  void run_rows_inside(const AmxTarget& target, int64_t j0, int64_t j1) const {
    AmxBlock block;
    for (int64_t j = j0; j < j1; j += kPanel) {
      for (int64_t unit = unit0; unit < unit1; ++unit) {
        aim_unit(unit, 2 * (unit - unit0), block);
        run_block(target, block, unit, j, panel(j0, j));
      }
    }
  }

  void run() const {
    const AmxTarget target = target_of(p, item, true);
    for (int64_t unit = unit0; unit < unit1 && !plan.rows_outside; ++unit) {
      pack_unit(unit, 2 * (unit - unit0));
    }
    for (int64_t j0 = n0; j0 < n1; j0 += plan.block_n) {
      const int64_t j1 = min_of(j0 + plan.block_n, n1);
      if (!plan.prepacked) {
        const bf16* rhs = p.rhs + item * p.rhs_batch + j0 * p.rhs_n;
        pack_panels(rhs, p.rhs_k, p.rhs_n, p.k, j1 - j0, panels(), plan.padded_k);
      }
      plan.rows_outside ? run_rows_outside(target, j0, j1) : run_rows_inside(target, j0, j1);
    }
  }
};

inline void run_amx_part(const AmxProblem& p, const AmxPlan& plan, int64_t index, char* scratch,
                         Finisher& finisher) {
  const int64_t units = p.batch * plan.row_units, panels = ceil_div(p.n, kPanel);
  const int64_t down = index / plan.column_parts, across = index % plan.column_parts;
  const int64_t n0 = across * panels / plan.column_parts * kPanel;
  const int64_t n1 = min_of(p.n, (across + 1) * panels / plan.column_parts * kPanel);
  const int64_t end = (down + 1) * units / plan.row_parts;
  for (int64_t unit = down * units / plan.row_parts; unit < end;) {
    const int64_t item = unit / plan.row_units, first = unit - item * plan.row_units;
    const int64_t count = min_of(plan.row_units - first, end - unit);
    AmxPart{p, plan, item, first, first + count, n0, n1, scratch, finisher}.run();
    unit += count;
  }
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_ISA_AVX512
#endif  // POLYOPS_CPU_GEMM_AMX_PART_H_
