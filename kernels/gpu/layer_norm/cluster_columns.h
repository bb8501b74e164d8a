// A thread's columns of the section that a block of a cluster has: which they are, what it keeps of
// them for all rows, and what it does with a row in shared memory; see backward_cluster.h.
#ifndef POLYOPS_GPU_LAYER_NORM_CLUSTER_COLUMNS_H_
#define POLYOPS_GPU_LAYER_NORM_CLUSTER_COLUMNS_H_

#include <type_traits>

#include "backward_finish.h"
#include "backward_row.h"
#include "cluster_rows.h"

namespace polyops::gpu {
namespace {

// Of a thread at most; weights of 16 bits are two to a register.
template <class P>
constexpr int kUnits = sizeof(P) == 4 ? 3 : 4;

// Of a section: each wave's lanes have theirs in turn, which is the same work wherever rows begin.
template <class T>
struct UnitColumns {
  static constexpr int kStep = kHalfWave;

  int first;  // of the thread
  int left;   // of the section from its wave's first one on

  GPU_DEVICE UnitColumns(int thread, int count) {
    const int lane = thread & (kHalfWave - 1), chunk = (thread - lane) * kUnit;
    first = chunk + lane;
    left = count - chunk;
  }
  GPU_DEVICE bool has(int unit) const { return left > unit * kUnitStep; }
  GPU_DEVICE bool whole(int unit) const { return left >= unit * kUnitStep + kUnit * kHalfWave; }
  GPU_DEVICE bool has(int unit, int j) const {
    return left - (thread_id() & (kHalfWave - 1)) > of(unit, j);
  }
  GPU_DEVICE static int of(int unit, int j) { return unit * kUnitStep + j * kStep; }
  GPU_DEVICE static void load(const T* mine, int unit, float (&x)[kUnit]) {
#pragma unroll
    for (int j = 0; j < kUnit; ++j) x[j] = widen(mine[of(unit, j)]);
  }
  template <class U>
  GPU_DEVICE void store(U* mine, int unit, const float (&x)[kUnit]) const {
    U* const to = mine + of(unit, 0);
    if (whole(unit)) {
#pragma unroll
      for (int j = 0; j < kUnit; ++j) to[j * kStep] = narrow<U>(x[j]);
    } else {
#pragma unroll
      for (int j = 0; j < kUnit; ++j) {
        if (has(unit, j)) to[j * kStep] = narrow<U>(x[j]);
      }
    }
  }
};

// The same of aligned rows of 16 bits: a unit is a pack.
template <class T>
struct PackColumns {
  static_assert(kPack<T> == kUnit);

  int first, left;  // of the thread; of the section from there on

  GPU_DEVICE PackColumns(int thread, int count) : first(thread * kUnit), left(count - first) {}
  GPU_DEVICE bool has(int unit) const { return left > unit * kUnitStep; }
  GPU_DEVICE static int of(int unit, int j) { return unit * kUnitStep + j; }
  GPU_DEVICE static void load(const T* mine, int unit, float (&x)[kUnit]) {
    const Words words = *reinterpret_cast<const Words*>(mine + of(unit, 0));  // or it is four loads
    unpack<T>(words, x);
  }
  template <class U>
  GPU_DEVICE static void store(U* mine, int unit, const float (&x)[kUnit]) {
    store_elements(mine + of(unit, 0), x);
  }
};

// The weights of a unit, as they are in memory.
template <class P>
struct UnitWeights {
  static constexpr int kPerWord = 4 / static_cast<int>(sizeof(P));
  uint32_t w[kUnit / kPerWord];

  GPU_DEVICE void set(int j, P x) {
    if constexpr (kPerWord == 1) {
      w[j] = float_bits(x);
    } else {
      uint16_t bits;
      __builtin_memcpy(&bits, &x, sizeof bits);
      w[j / 2] = j % 2 == 0 ? bits : w[j / 2] | uint32_t{bits} << 16;
    }
  }
  GPU_DEVICE void set(const Words& words) {
    static_assert(kPerWord == 2);
#pragma unroll
    for (int i = 0; i < kUnit / kPerWord; ++i) w[i] = words.w[i];
  }
  GPU_DEVICE void get(float (&x)[kUnit]) const {
#pragma unroll
    for (int i = 0; i < kUnit / kPerWord; ++i) {
      if constexpr (kPerWord == 1) {
        x[i] = float_of_bits(w[i]);
      } else {
        uint32_t both = w[i];
        forget_bits(&both);  // or it would be two registers for good
        widen2<P>(both, &x[2 * i], &x[2 * i + 1]);
      }
    }
  }
};

// Zeros behind a section, where lanes have columns of a unit that ends with it. What is copied with
// a row reaches less than two packs beyond it: those are for each row, the rest for good. kAny:
// there are such; packs end with the section.
template <class T, bool kAny>
struct Behind {
  int near;  // this thread's column of those, or negative

  GPU_DEVICE Behind(int count, int thread, T* memory, const ClusterPlan& plan) : near(-1) {
    if constexpr (!kAny) return;
    constexpr int kWave = kUnit * kHalfWave, kReach = 2 * kPack<T>;
    const int begin = count / kWave * kWave;  // of that unit
    const int at = count + ((thread - count) & (kHalfWave - 1));
    const bool ours = thread / kHalfWave == begin / kWave % kSectionWaves;
    if (count != begin && ours && at < count + kReach && at < begin + kWave) near = at;
    for (int far = count + kReach + thread; far < plan.place; far += kSectionThreads) {
      for (int i = 0; i < 2 * plan.stages; ++i) memory[i * plan.place + far] = narrow<T>(0.0f);
    }
  }
  GPU_DEVICE void fix(T* grad, T* src) const {
    if (near < 0) return;
    grad[near] = narrow<T>(0.0f);
    src[near] = narrow<T>(0.0f);
    before_runs();
  }
};

// A thread's share of all rows of the block. kPacked: by PackColumns.
template <bool kPacked, class Norm, class T, class P>
struct ColumnShare {
  using Columns = std::conditional_t<kPacked, PackColumns<T>, UnitColumns<T>>;
  static constexpr int kCount = kUnits<P>;
  // Where add_row() has no registers left for what happens between units: sums would go to memory
  // for which the cache has no room (float16 1024x50257: 152 us, so 114).
  static constexpr bool kBefore = std::is_same_v<T, f16> && Norm::kParameters * kCount == 8;

  Columns columns;
  UnitWeights<P> weights[kCount];
  float sums[Norm::kParameters][kCount][kUnit];

  GPU_DEVICE ColumnShare(int thread, const Section& section, const P* weight)
      : columns(thread, section.n), sums{} {
    if constexpr (kPacked) {
      if (weight != nullptr && misplaced(weight) == 0) {
#pragma unroll
        for (int u = 0; u < kCount; ++u) {
          const P* const from = weight + section.begin + columns.first + columns.of(u, 0);
          weights[u].set(columns.has(u) ? load_words(from) : Words{});
        }
        return;
      }
    }
#pragma unroll
    for (int u = 0; u < kCount; ++u) {
#pragma unroll
      for (int j = 0; j < kUnit; ++j) {
        const int at = columns.first + columns.of(u, j);
        const bool given = weight != nullptr && at < section.n;
        weights[u].set(j, given ? weight[section.begin + at] : narrow<P>(1.0f));
      }
    }
  }
  // between(): after the first unit, or before it.
  template <class F>
  GPU_DEVICE void add_row(const T* grad, const T* src, const Normal<Norm>& normal,
                          float (&of_row)[Norm::kSums], F between) {
    if constexpr (kBefore) between();
    RowSums<Norm> all;
#pragma unroll
    for (int u = 0; u < kCount; ++u) {
      if (!columns.has(u)) break;
      float g[kUnit], x[kUnit], weight[kUnit];
      columns.load(grad, u, g);
      columns.load(src, u, x);
      weights[u].get(weight);
#pragma unroll
      for (int j = 0; j < kUnit; ++j) {
        all.add(j, normal, g[j], x[j], weight[j], &sums[Norm::kParameters - 1][u][j],
                &sums[0][u][j]);
      }
      if (!kBefore && u == 0) between();
    }
    all.get(normal, of_row);
  }
  GPU_DEVICE void store_row(const T* grad, const T* src, const Gradient<Norm>& gradient,
                            T* out) const {
#pragma unroll
    for (int u = 0; u < kCount; ++u) {
      if (!columns.has(u)) break;
      float g[kUnit], x[kUnit], weight[kUnit], y[kUnit];
      columns.load(grad, u, g);
      columns.load(src, u, x);
      weights[u].get(weight);
      gradient.all(g, x, weight, y);
      columns.store(out + columns.first, u, y);
    }
  }
  GPU_DEVICE void finish(float* out, int64_t stride) const {
#pragma unroll
    for (int i = 0; i < Norm::kParameters; ++i) {
      float* const to = out + i * stride + columns.first;
#pragma unroll
      for (int u = 0; u < kCount; ++u) {
        if (!columns.has(u)) break;
        columns.store(to, u, sums[i][u]);
      }
    }
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_CLUSTER_COLUMNS_H_
