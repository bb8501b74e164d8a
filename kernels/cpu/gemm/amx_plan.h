// How a product is cut for AMX: which operand is packed into pairs, which threads take what, and in
// which order a part runs.
#ifndef POLYOPS_CPU_GEMM_AMX_PLAN_H_
#define POLYOPS_CPU_GEMM_AMX_PLAN_H_

#include <cstddef>
#include <cstdint>

#include "gemm/amx_block.h"
#include "gemm/problem.h"

#if defined(POLYOPS_ISA_AVX512)

namespace polyops::cpu {
namespace {

using AmxProblem = Problem<bf16, float>;

// Of either operand, in the L2 cache.
inline constexpr int64_t kAmxBytes = 768 << 10;

// From here on, 32 rows or columns of each operand and the sums do not fit the L1 cache together.
inline constexpr int64_t kStreamedK = 224;

struct AmxPlan {
  int64_t row_parts, column_parts;  // of batch * row_units; of panels
  int64_t row_units;                // blocks of 32 rows in an item
  int64_t padded_k;
  bool prepacked;     // rhs lies in panels already
  int64_t block_n;    // columns packed at a time, or read while the cache keeps them
  bool rows_outside;  // one block of rows against all panels, and then the next one
  bool pack_left;
  bool on_side;             // dst has its unit stride along rows
  int64_t left_tiles;       // how many are packed at a time
  int64_t left_tile_bytes;  // of 16 rows' copy: all of k, or the last step, or nothing
  int64_t panel_bytes;
  int64_t packed_bytes;  // of the panels in scratch; behind them lie the copies of lhs
  size_t part_bytes;
};

inline bool fits_on_side(const AmxProblem& p) {
  return p.dst_n != 1 && p.dst_m == 1 && (!p.has_addend || p.addend_m <= 1);
}

// Cycles beyond the products themselves, roughly.
inline double amx_overhead(const AmxProblem& p) {
  const double left = static_cast<double>(p.batch) * ceil_div(p.m, 16) * ceil_div(p.k, 32);
  const double right = static_cast<double>(p.batch) * ceil_div(p.n, 16) * ceil_div(p.k, 32);
  const double tiles = static_cast<double>(p.batch) * ceil_div(p.m, 16) * ceil_div(p.n, 16);
  double cost = right * (p.rhs_n == 1 ? 32 : p.rhs_k == 1 ? 70 : 2000);
  if (p.lhs_k != 1) cost += left * (p.lhs_m == 1 ? 100 : 2000);
  const bool rows = p.dst_n == 1 && (!p.has_addend || p.addend_n <= 1);
  return cost + tiles * (rows ? 40 : fits_on_side(p) ? 120 : 1000);
}

inline AmxProblem amx_problem_of(const polyops_gemm_args& args) {
  auto p = read_problem<bf16, float>(args);
  auto q = p;
  fold_batch(p);
  transpose(q);
  fold_batch(q);
  return amx_overhead(q) < amx_overhead(p) ? q : p;
}

// At least 5 us for each, at 400 multiply-adds or 25 bytes of an operand per ns.
inline int64_t amx_threads(const AmxProblem& p, int64_t threads) {
  const double products = static_cast<double>(p.batch) * p.m * p.n * p.k;
  const double bytes = 2.0 * p.batch * (p.n + p.m) * p.k;
  const double parts = (products / 400 + bytes / 25) / 5000;
  if (parts < 2) return 1;
  return parts < threads ? static_cast<int64_t>(parts) : threads;
}

// The grid with the least time per part, in cycles per step of k.
inline void choose_amx_grid(const AmxProblem& p, int64_t threads, AmxPlan& plan) {
  plan.row_parts = plan.column_parts = 1;
  if (threads == 1) return;
  const int64_t units = p.batch * plan.row_units, panels = ceil_div(p.n, kPanel);
  const int64_t pack = p.rhs_n == 1 ? 64 : 140;
  double best = 0;
  for (int64_t across = 1; across <= threads && across <= panels; ++across) {
    const int64_t down = min_of(threads / across, units);
    const int64_t part_units = ceil_div(units, down), part_panels = ceil_div(panels, across);
    const double items = static_cast<double>(ceil_div(part_units, plan.row_units));
    const double cost = (64.0 * part_units + pack * items) * part_panels + 64 * part_units;
    if (across == 1 || cost < best) {
      best = cost;
      plan.row_parts = down;
      plan.column_parts = across;
    }
  }
}

inline AmxPlan amx_plan_of(const AmxProblem& p, int32_t num_threads, bool prepacked = false) {
  AmxPlan plan;
  plan.prepacked = prepacked;
  plan.row_units = ceil_div(p.m, 32);
  plan.padded_k = ceil_div(p.k, kTileDepth) * kTileDepth;
  choose_amx_grid(p, num_threads > 1 ? amx_threads(p, num_threads) : 1, plan);
  plan.on_side = fits_on_side(p);
  plan.panel_bytes = 2 * kPanel * plan.padded_k;

  const int64_t panels = ceil_div(ceil_div(p.n, kPanel), plan.column_parts);
  const int64_t fit = kAmxBytes / plan.panel_bytes;
  const int64_t block_panels = min_of(panels, fit < 1 ? 1 : fit);
  plan.block_n = block_panels * kPanel;

  const int64_t units = min_of(plan.row_units, ceil_div(p.batch * plan.row_units, plan.row_parts));
  plan.rows_outside = units * plan.panel_bytes > kAmxBytes;
  plan.pack_left = p.lhs_k != 1;
  plan.left_tile_bytes = plan.pack_left         ? 32 * plan.padded_k
                         : plan.padded_k != p.k ? kTileBytes
                                                : 0;
  plan.left_tiles = 2 * (plan.rows_outside ? 1 : units);
  plan.packed_bytes = prepacked ? 0 : block_panels * plan.panel_bytes;
  plan.part_bytes = plan.packed_bytes + plan.left_tiles * plan.left_tile_bytes;
  return plan;
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_ISA_AVX512
#endif  // POLYOPS_CPU_GEMM_AMX_PLAN_H_
