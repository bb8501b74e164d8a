// The register tile: kRows x kVectors accumulators, one broadcast of lhs against kVectors loads of
// rhs per step of k. 6 x 4 vectors of AVX-512 leave 8 registers for rhs and the broadcast, and need
// 10 loads for 24 multiply-adds, so that neither load port nor latency (4 cycles) is the limit.
#ifndef POLYOPS_CPU_GEMM_TILE_H_
#define POLYOPS_CPU_GEMM_TILE_H_

#include <cstdint>

#include "rows.h"
#include "simd/bf16_pairs.h"
#include "simd/simd.h"
#include "simd/transpose.h"

namespace polyops::cpu {
namespace {

enum AddendKind : int32_t { kNoAddend, kAddendRow, kAddendBroadcast };

// How operands stored as E are multiplied into V: kDepth elements of k in one step.
template <class V, class E>
struct Operand {
  static constexpr int kDepth = 1;
  static V load(const E* p) { return cpu::load<V>(p); }
  static V load_partial(const E* p, int64_t n) { return cpu::load_partial<V>(p, n); }
  static V broadcast(const E* p) { return V::set1(*p); }
};
#if defined(POLYOPS_ISA_AVX512)
template <>
struct Operand<F32, bf16> {
  static constexpr int kDepth = 2;
  static Bf16Pairs load(const bf16* p) { return load_pairs(p); }
  static Bf16Pairs load_partial(const bf16* p, int64_t n) { return load_pairs_partial(p, n); }
  static Bf16Pairs broadcast(const bf16* p) { return broadcast_pair(p); }
};
#endif
template <class V>
struct Operand<V, f16> {
  static constexpr int kDepth = 1;
  static V load(const f16* p) { return cpu::load<V>(p); }
  static V load_partial(const f16* p, int64_t n) { return cpu::load_partial<V>(p, n); }
  static V broadcast(const f16* p) { return cpu::broadcast(p); }
};
template <class V, class E>
inline constexpr int kDepth = Operand<V, E>::kDepth;
// Sums are rounded where they go to dst: all of k is one block.
template <class V, class E>
inline constexpr bool kRounds = sizeof(E) < sizeof(typename V::Scalar);

// Elements that lie behind each other.
template <class E>
struct Piece {
  const E* begin = nullptr;
  const E* end = nullptr;
};

template <class E>
struct Operands {
  int64_t k;  // in steps of kDepth; so are lhs_k and rhs_k, in elements
  const E* lhs;
  int64_t lhs_m, lhs_k;
  const E* rhs;
  int64_t rhs_k;
  Piece<E> next = {};  // wanted soon, from beyond the L2 cache
};

// dst = alpha * lhs @ rhs + beta * addend for at most kMaxRows rows and kMaxVectors vectors.
// D: how dst and addend are stored.
template <class V, class E, class D>
struct Tile : Operands<E> {
  using S = typename V::Scalar;
  D* dst;
  int64_t dst_m;
  const D* addend;  // kAddendRow: unit stride along columns; kAddendBroadcast: one value per row
  int64_t addend_m;
  S alpha, beta;
  AddendKind addend_kind;
  int32_t last;              // columns in the last vector
  const E* ahead = nullptr;  // what a tile of kTilesAhead brings
};

template <class V>
inline constexpr int kMaxVectors = V::kRegisters >= 32 ? 4 : 2;
template <class V>
inline constexpr int kTileColumns = kMaxVectors<V> * V::kLanes;

// Rows of the tile of that many vectors: narrow tiles are taller, to keep enough chains in flight.
template <class V>
constexpr int rows_of(int vectors) {
  if (V::kRegisters >= 32) return vectors == 4 ? 6 : 8;
  return vectors == 2 && V::kLanes == 1 ? 4 : 6;
}
inline constexpr int kMaxRows = 8;

// Cache lines of a whole panel per step of k.
template <class V, class E>
inline constexpr int kPanelLines =
    kTileColumns<V> * kDepth<V, E> * static_cast<int>(sizeof(E)) / 64;

template <class V, class D>
inline V finish(V acc, V alpha, V beta, AddendKind kind, const D* addend) {
  acc = acc * alpha;
  if (kind == kAddendRow) acc = fma(beta, load<V>(addend), acc);
  if (kind == kAddendBroadcast) acc = fma(beta, V::set1(get(addend)), acc);
  return acc;
}

template <class V, class E, class D, int kRows, int kVectors>
inline void store_tile(const Tile<V, E, D>& t, V (&acc)[kRows][kVectors]) {
  const V alpha = V::set1(t.alpha), beta = V::set1(t.beta);
  const AddendKind kind = t.addend_kind;
  const int step = kind == kAddendRow ? V::kLanes : 0;
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    auto* dst = t.dst + r * t.dst_m;
    const auto* addend = kind == kNoAddend ? nullptr : t.addend + r * t.addend_m;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      if (v + 1 < kVectors || t.last == V::kLanes) {
        store(dst + v * V::kLanes, finish(acc[r][v], alpha, beta, kind, addend + v * step));
      } else if (kind == kAddendRow) {
        const V c = load_partial<V>(addend + v * step, t.last);
        store_partial(dst + v * V::kLanes, fma(beta, c, acc[r][v] * alpha), t.last);
      } else {
        store_partial(dst + v * V::kLanes, finish(acc[r][v], alpha, beta, kind, addend), t.last);
      }
    }
  }
}

// kAhead: so many cache lines from t.ahead on are brought into the cache per step of k; into the L1
// cache if they are as many as are read.
template <class V, class E, class D, int kRows, int kVectors, bool kPartial, int kAhead = 0>
void multiply_tile(const Tile<V, E, D>& t) {
  using Operand = Operand<V, E>;
  constexpr int kStep = V::kLanes * kDepth<V, E>;
  V acc[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) acc[r][v] = V::zero();
  }
  // By the time the products are done, dst is in the cache (2 to 7 % where dst is not small).
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) __builtin_prefetch(t.dst + r * t.dst_m + v * V::kLanes, 1);
  }
  const auto* lhs = t.lhs;
  const auto* rhs = t.rhs;
  const auto* ahead = reinterpret_cast<const char*>(t.ahead);
  const int64_t lhs_m = t.lhs_m, lhs_k = t.lhs_k, rhs_k = t.rhs_k, last = t.last;
  for (int64_t p = t.k; p > 0; --p) {
#pragma GCC unroll 4
    for (int line = 0; line < kAhead; ++line) {
      __builtin_prefetch(ahead + 64 * line, 0, kAhead == kPanelLines<V, E> ? 3 : 2);
    }
    ahead += 64 * kAhead;
    decltype(Operand::load(rhs)) b[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      b[v] = kPartial && v + 1 == kVectors ? Operand::load_partial(rhs + v * kStep, last)
                                           : Operand::load(rhs + v * kStep);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const auto a = Operand::broadcast(lhs + r * lhs_m);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(a, b[v], acc[r][v]);
    }
    lhs += lhs_k;
    rhs += rhs_k;
  }
  store_tile(t, acc);
}

template <class V, class E, class D>
using TileFn = void (*)(const Tile<V, E, D>&);

// A function for every tile: [vectors - 1][rows - 1].
template <class V, class Fn>
struct TileGrid {
  Fn fn[kMaxVectors<V>][kMaxRows];
};

// Made by make.operator()<rows, vectors>().
template <class V, class Fn, int kVectors = kMaxVectors<V>, int kRows = rows_of<V>(kMaxVectors<V>),
          class Make>
constexpr void fill_grid(TileGrid<V, Fn>& grid, Make make) {
  grid.fn[kVectors - 1][kRows - 1] = make.template operator()<kRows, kVectors>();
  if constexpr (kRows > 1) {
    fill_grid<V, Fn, kVectors, kRows - 1>(grid, make);
  } else if constexpr (kVectors > 1) {
    fill_grid<V, Fn, kVectors - 1, rows_of<V>(kVectors - 1)>(grid, make);
  }
}

template <class V, class Fn, class Make>
constexpr TileGrid<V, Fn> make_grid(Make make) {
  TileGrid<V, Fn> grid = {};
  fill_grid(grid, make);
  return grid;
}

// Rows of pairs are always packed, so that no vector of them is partial.
template <class V, class E, class D, bool kPartial>
inline constexpr auto kTiles =
    make_grid<V, TileFn<V, E, D>>([]<int kRows, int kVectors>() -> TileFn<V, E, D> {
      if constexpr (kPartial && kDepth<V, E> > 1) {
        return nullptr;
      } else {
        return multiply_tile<V, E, D, kRows, kVectors, kPartial>;
      }
    });

// Of whole vectors, bringing `kAhead` lines per step; narrow ones bring a single line.
template <class V, class E, class D, int kAhead>
inline constexpr auto kTilesAhead =
    make_grid<V, TileFn<V, E, D>>([]<int kRows, int kVectors>() -> TileFn<V, E, D> {
      if constexpr (kVectors < kMaxVectors<V> && kAhead > 1) {
        return nullptr;
      } else {
        return multiply_tile<V, E, D, kRows, kVectors, false, kAhead>;
      }
    });

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_GEMM_TILE_H_
