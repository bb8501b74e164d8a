// How one problem is cut: among threads, into cache blocks, and by which path each part runs.
#ifndef POLYOPS_CPU_GEMM_PLAN_H_
#define POLYOPS_CPU_GEMM_PLAN_H_

#include <cstddef>
#include <cstdint>

#include "gemm/dot.h"
#include "gemm/packing.h"
#include "gemm/problem.h"

namespace polyops::cpu {
namespace {

enum class Path : int32_t {
  kPacked,    // rhs copied into panels, block by block
  kDirect,    // rhs read where it lies, columns contiguous
  kDot,       // rhs read where it lies, k contiguous
  kPrepacked  // rhs lies in panels already, each with all of k
};

// A panel of kBlockK rows (192 KB) and a block of kBlockM rows of lhs (576 KB) share the L2 cache.
// A kBlockK of 384 was 2 to 7 % slower, of 1024 no faster; a kBlockM of 96 up to 18 % slower.
inline constexpr int64_t kBlockK = 768;
inline constexpr int64_t kBlockM = 192;
// kDot: lhs stays in the L2 cache while rhs streams by, each row of it as far as that allows.
inline constexpr int64_t kDotElements = 65536;
// kDirect: from memory only few rows of rhs at a time, or there would be too many pages.
inline constexpr int64_t kStreamBytes = 4 << 20;
inline constexpr int64_t kStreamK = 16;
// A matrix and a vector, of which stock's sums are short: where the rows of rhs lie behind each
// other (64 were up to 12 % slower), and elsewhere (97 were found to miss twice stock's error).
inline constexpr int64_t kVectorStreamK = 128;
inline constexpr int64_t kVectorK = 32;
// Packed rhs of all threads together, unless there are so many that less than 4 panels were left.
inline constexpr int64_t kPackedBytes = 6 << 20;

struct Plan {
  int64_t row_parts, column_parts;  // of batch * m rows, of n in units
  int64_t unit;                     // columns that stay together: a vector, or a panel
  Path path;
  bool pack_lhs;
  int64_t block_k, block_n;
  int64_t lhs_length;    // of a step's row in the copy of lhs
  int64_t lhs_elements;  // scratch of one part: the copy of lhs, and behind it the panels
  size_t part_bytes;
};

// How many threads the work is worth: 5 us each, at 55 multiply-adds (110 of bfloat16) or 25 bytes
// of rhs per ns (with 10 us, 40 x 40 x 384 took 17 us for 8, a batch of 4096 of 4 x 4 x 4 128 us
// for 84).
template <class V, class E>
inline int64_t useful_threads(const Problem<E, typename V::Scalar>& p, int64_t threads) {
  const double products = static_cast<double>(p.batch) * p.m * p.n * p.k;
  const double bytes = static_cast<double>(p.batch) * p.n * p.k * sizeof(E);
  const double ns = products / (55 * kDepth<V, E>)+bytes / 25;
  const double parts = ns / 5000;
  if (parts < 2) return 1;
  return parts < threads ? static_cast<int64_t>(parts) : threads;
}

// The grid with the least time per part, in multiply-adds per step of k: a vector of rhs costs as
// much to pack as 4 rows to multiply, or 15 if it is turned, and as 4 to bring in if it is packed
// already; a row of lhs costs something to bring in.
template <class V, class E, class S>
inline void choose_grid(const Problem<E, S>& p, int64_t threads, bool prepacked, Plan& plan) {
  plan.row_parts = plan.column_parts = 1;
  if (threads == 1) return;
  const int64_t rows = p.batch * p.m, units = ceil_div(p.n, plan.unit);
  double best = 0;
  for (int64_t across = 1; across <= threads && across <= units; ++across) {
    const int64_t down = min_of(threads / across, rows);
    const int64_t part_rows = ceil_div(rows, down);
    const int64_t part_vectors = ceil_div(units, across) * plan.unit / V::kLanes;
    const double items = static_cast<double>(ceil_div(part_rows, p.m));
    const double packing = (p.rhs_k == 1 && !prepacked ? 15 : 4) * items;
    const double cost = (part_rows + packing) * part_vectors + 0.2 * part_rows;
    if (across == 1 || cost < best) {
      best = cost;
      plan.row_parts = down;
      plan.column_parts = across;
    }
  }
}

// Where all of k is one block: kDot only if it fits, kDirect never.
template <class V, class E, class S>
inline Path choose_path(const Problem<E, S>& p, int64_t rows, int64_t columns) {
  if (V::kLanes > 1 && p.rhs_k == 1 && p.lhs_k == 1 && rows <= kDotMaxRows && rows * 18 <= p.k &&
      !(kRounds<V, E> && rows * p.k > 4 * kDotElements)) {
    return Path::kDot;
  }
  if (!kRounds<V, E> && p.rhs_n == 1 &&
      (rows <= 2 * rows_of<V>(kMaxVectors<V>) || columns * p.k <= 4096)) {
    return Path::kDirect;
  }
  return Path::kPacked;
}

template <class V, class E, class S>
inline int64_t most_k(const Problem<E, S>& p, Path path, int64_t rows) {
  if (kRounds<V, E>) return p.k;
  if (sizeof(S) == sizeof(double)) return kSumSteps<S>;
  if (path == Path::kDot) return kDotElements / rows;
  const int64_t bytes = p.n * p.k * static_cast<int64_t>(sizeof(E));
  if (path == Path::kDirect && bytes > kStreamBytes) return kStreamK;
  if (p.m > 1 && p.n > 1) return kBlockK;
  return path == Path::kDirect ? kVectorStreamK : kVectorK;
}

template <class V, class E, class S>
inline Plan plan_of(const Problem<E, S>& p, int32_t num_threads, bool prepacked = false) {
  constexpr int64_t kStep = kDepth<V, E>;
  Plan plan;
  plan.unit = prepacked ? kTileColumns<V> : V::kLanes;
  choose_grid<V>(p, num_threads > 1 ? useful_threads<V>(p, num_threads) : 1, prepacked, plan);
  const int64_t rows = min_of(p.m, ceil_div(p.batch * p.m, plan.row_parts));
  plan.block_n = ceil_div(ceil_div(p.n, plan.unit), plan.column_parts) * plan.unit;
  plan.path = prepacked ? Path::kPrepacked : choose_path<V>(p, rows, plan.block_n);
  const int64_t most = most_k<V>(p, plan.path, rows);
  plan.block_k = ceil_div(ceil_div(p.k, ceil_div(p.k, most)), kStep) * kStep;
  plan.pack_lhs = false;
  plan.lhs_length = plan.lhs_elements = 0;
  plan.part_bytes = 0;
  if (plan.path == Path::kDirect || plan.path == Path::kDot) return plan;

  // A transposed lhs is read where it lies (a copy was up to 8 % slower), unless its rows would all
  // fall on the same few sets of the cache.
  const bool same_sets = p.lhs_k * static_cast<int64_t>(sizeof(E)) % 4096 == 0;
  plan.pack_lhs = p.lhs_k != 1 && (p.lhs_m != 1 || same_sets);
  // Pairs are read where they lie only if none ends behind its row.
  if (kStep > 1) plan.pack_lhs = p.lhs_k != 1 || p.k % kStep != 0;
  if (plan.pack_lhs) {
    // An odd number of cache lines, lest a tile's steps through k fall on few sets of the L1 cache.
    const int64_t line = 64 / (static_cast<int64_t>(sizeof(E)) * kStep);
    plan.lhs_length = (ceil_div(min_of(rows, kBlockM), line) | 1) * line;
    plan.lhs_elements = plan.lhs_length * plan.block_k;
  }
  const int64_t panel = kTileColumns<V> * plan.block_k;
  const int64_t parts = plan.row_parts * plan.column_parts;
  int64_t panels = ceil_div(plan.block_n, kTileColumns<V>);
  if (prepacked) {
    panels = 0;
  } else if (rows <= kBlockM) {
    panels = 1;  // each panel is used up before the next is packed, into the same place
    if (!plan.pack_lhs) plan.block_n = kTileColumns<V>;
  } else {
    const int64_t fit = kPackedBytes / (parts * panel * static_cast<int64_t>(sizeof(E)));
    panels = min_of(panels, fit < 4 ? 4 : fit);
    plan.block_n = panels * kTileColumns<V>;
  }
  plan.part_bytes = ceil_div((plan.lhs_elements + panels * panel) * sizeof(E), 64) * 64;
  return plan;
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_GEMM_PLAN_H_
