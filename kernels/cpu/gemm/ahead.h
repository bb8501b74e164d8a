// Brings memory into the L2 cache while tiles are multiplied.
#ifndef POLYOPS_CPU_GEMM_AHEAD_H_
#define POLYOPS_CPU_GEMM_AHEAD_H_

#include <cstdint>

#include "gemm/tile.h"

namespace polyops::cpu {
namespace {

// What `tiles` tiles of one panel bring of operands.next, each the same share until all of it is on
// its way: a piece of it, not every fourth line (up to 6 % slower). A single tile is no slower than
// memory: it brings what it reads itself 4 KB later (1, 2 and 8 KB were up to 5 % slower; the next
// panel 10 %).
template <class V, class E>
class Ahead {
 public:
  Ahead(const Operands<E>& operands, int64_t tiles) : left_(operands.next), k_(operands.k) {
    if (left_.begin != nullptr && tiles == 1) {
      left_.begin = operands.rhs + 4096 / sizeof(E);
      left_.end = left_.begin + k_ * kTileColumns<V> * kDepth<V, E>;
    }
    lines_ = kPanelLines<V, E> / (tiles == 1 ? 1 : tiles < 4 ? 2 : 4);
    if (lines_ < 1) lines_ = 1;
  }

  // The kernel of the next tile, which is told what to bring. Null: nothing is left, or none of so
  // few vectors brings as much.
  template <class D>
  TileFn<V, E, D> kernel(int64_t rows, int64_t vectors, Tile<V, E, D>& tile) {
    if (left_.begin >= left_.end) return nullptr;
    tile.ahead = left_.begin;
    left_.begin += k_ * lines_ * (64 / static_cast<int64_t>(sizeof(E)));
    constexpr int kAll = kPanelLines<V, E>, kHalf = kAll > 1 ? kAll / 2 : 1;
    constexpr int kQuarter = kHalf > 1 ? kHalf / 2 : 1;
    const auto& grid = lines_ == kAll    ? kTilesAhead<V, E, D, kAll>
                       : lines_ == kHalf ? kTilesAhead<V, E, D, kHalf>
                                         : kTilesAhead<V, E, D, kQuarter>;
    return grid.fn[vectors - 1][rows - 1];
  }

 private:
  Piece<E> left_;
  int64_t k_;
  int lines_;
};

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_GEMM_AHEAD_H_
