// What elementwise ops share: tensors that are one run of memory, in whatever order of dimensions,
// go by packs, kPacks of each tensor in flight per thread; rows of whole packs, as half of a wider
// tensor has them, by packs whose place is taken apart; rows that lie otherwise by
// elementwise_shifted.h; an input of another order of dimensions than the result by
// elementwise_turned.h; rows of elements that lie apart by elementwise_near.h; anything else so
// element by element. Bound: memory, each tensor once.
//
// An op is a type with
//   using Args; static constexpr int kInputs, kOutputs;
//   static void tensors(const Args&, const polyops_tensor** t)   inputs, then outputs
//   int with_function<T>(const Args&, F f)    f(what is computed of T's)
// which is float operator()(float, ...), or void operator()(float, ..., float* out, ...) of several
// outputs. An output may be exactly one of the inputs.
#ifndef POLYOPS_GPU_ELEMENTWISE_H_
#define POLYOPS_GPU_ELEMENTWISE_H_

#include <cstdint>

#include "elementwise_near.h"
#include "elementwise_shifted.h"
#include "elementwise_turned.h"
#include "gpu.h"
#include "short_walk.h"
#include "span.h"
#include "walk.h"

namespace polyops::gpu {
namespace {

// Packs of each tensor per thread.
template <int kInputs>
inline constexpr int kRunPacks = kInputs < 3 ? 2 : 1;
// Stock's of float32, to which blocks of 256 lost 3 % on an H200.
template <class T, int kInputs>
inline constexpr int kRunThreads = sizeof(T) == 4 && kInputs == 1 ? 128 : kElementThreads;

template <class T, int kInputs, int kOutputs, class Function>
GPU_KERNEL(kRunThreads<T, kInputs>)
run_elements(Function f, Pointers<T, kInputs, kOutputs> p, int64_t n) {
  await_earlier();
  constexpr int kPacks = kRunPacks<kInputs>;
  constexpr int64_t kStep = kRunThreads<T, kInputs>;
  const int64_t first = block_id() * kPacks * kStep + thread_id();
  const Span<T> span(p.out[0], n);
  const bool inside = span.whole(first) && span.whole(first + (kPacks - 1) * kStep);
  const int64_t at = first * kPack<T> - span.shift;  // of the first pack's first element
  float x[kInputs][kPacks][kPack<T>], y[kOutputs][kPacks][kPack<T>];
  if (inside) {
    Words words[kInputs][kPacks];
#pragma unroll
    for (int i = 0; i < kInputs * kPacks; ++i) {
      const int64_t later = i % kPacks * kStep * kPack<T>;
      words[i / kPacks][i % kPacks] = load_words(p.in[i / kPacks] + at + later);
    }
#pragma unroll
    for (int i = 0; i < kInputs * kPacks; ++i) {
      unpack<T>(words[i / kPacks][i % kPacks], x[i / kPacks][i % kPacks]);
    }
  } else {
#pragma unroll
    for (int i = 0; i < kInputs; ++i) {
      load_packs<kPacks>(Span<const T>(p.in[i], n), first, kStep, x[i]);
    }
  }
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) {
      float operands[kInputs], results[kOutputs];
#pragma unroll
      for (int i = 0; i < kInputs; ++i) operands[i] = x[i][k][j];
      apply(f, operands, results);
#pragma unroll
      for (int o = 0; o < kOutputs; ++o) y[o][k][j] = results[o];
    }
  }
#pragma unroll
  for (int o = 0; o < kOutputs; ++o) {
    if (!inside) {
      store_packs<kPacks>(Span<T>(p.out[o], n), first, kStep, y[o]);
      continue;
    }
#pragma unroll
    for (int k = 0; k < kPacks; ++k) {
      store_words(p.out[o] + at + k * kStep * kPack<T>, pack<T>(y[o][k]));
    }
  }
}

// The walk counts packs.
template <class T, int kInputs, int kOutputs, class Function>
GPU_KERNEL(kElementThreads)
row_elements(Function f, Pointers<T, kInputs, kOutputs> p, Walk<kInputs + kOutputs> walk,
             uint32_t packs) {
  await_earlier();
  constexpr int kPacks = kRunPacks<kInputs>;
  const uint32_t first = static_cast<uint32_t>(block_id()) * kPacks * kElementThreads + thread_id();
  int64_t at[kPacks][kInputs + kOutputs];
  Words words[kInputs][kPacks];
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const uint32_t number = first + k * kElementThreads;
    if (number >= packs) break;
    walk.offsets(number, at[k]);
#pragma unroll
    for (int i = 0; i < kInputs; ++i) words[i][k] = load_words(p.in[i] + at[k][i] * kPack<T>);
  }
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    if (first + k * kElementThreads >= packs) break;
    float x[kInputs][kPack<T>], y[kOutputs][kPack<T>];
#pragma unroll
    for (int i = 0; i < kInputs; ++i) unpack<T>(words[i][k], x[i]);
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) {
      float operands[kInputs], results[kOutputs];
#pragma unroll
      for (int i = 0; i < kInputs; ++i) operands[i] = x[i][j];
      apply(f, operands, results);
#pragma unroll
      for (int o = 0; o < kOutputs; ++o) y[o][j] = results[o];
    }
#pragma unroll
    for (int o = 0; o < kOutputs; ++o) {
      store_words(p.out[o] + at[k][kInputs + o] * kPack<T>, pack<T>(y[o]));
    }
  }
}

// Elements per thread, whose loads are all under way before the first is used.
constexpr int kWalked = 4;

template <class T, int kInputs, int kOutputs, class Function>
GPU_KERNEL(kElementThreads)
walk_elements(Function f, Pointers<T, kInputs, kOutputs> p, Walk<kInputs + kOutputs> walk,
              const GPU_CONSTANT ShortWalk<kInputs + kOutputs> short_walk, int64_t n) {
  await_earlier();
  const int64_t first = block_id() * kWalked * kElementThreads + thread_id();
  int64_t at[kWalked][kInputs + kOutputs];
  T loaded[kWalked][kInputs];
#pragma unroll
  for (int k = 0; k < kWalked; ++k) {
    const int64_t i = first + k * kElementThreads;
    if (i >= n) break;
    if (short_walk.rank > 0) {
      short_walk.offsets(static_cast<uint32_t>(i), at[k]);
    } else {
      walk.template offsets<int64_t>(i, at[k]);
    }
#pragma unroll
    for (int t = 0; t < kInputs; ++t) loaded[k][t] = p.in[t][at[k][t]];
  }
#pragma unroll
  for (int k = 0; k < kWalked; ++k) {
    if (first + k * kElementThreads >= n) break;
    float operands[kInputs], results[kOutputs];
#pragma unroll
    for (int t = 0; t < kInputs; ++t) operands[t] = widen(loaded[k][t]);
    apply(f, operands, results);
#pragma unroll
    for (int o = 0; o < kOutputs; ++o) p.out[o][at[k][kInputs + o]] = narrow<T>(results[o]);
  }
}

template <class Op>
struct Elementwise {
  using Args = typename Op::Args;
  static constexpr int kInputs = Op::kInputs, kOutputs = Op::kOutputs;
  static constexpr int kTensors = kInputs + kOutputs;

  static const char* supports(const void* data) {
    const polyops_tensor* t[kTensors];
    Op::tensors(*static_cast<const Args*>(data), t);
    if (!has_type(t[0]->dtype)) return "dtype";
    for (int i = 1; i < kTensors; ++i) {
      if (t[i]->dtype != t[0]->dtype) return "dtype";
      if (t[i]->rank != t[0]->rank) return "rank";
      for (int d = 0; d < t[0]->rank; ++d) {
        if (t[i]->sizes[d] != t[0]->sizes[d]) return "shape";
      }
    }
    return nullptr;
  }

  static int launch(const void* data, const polyops_context* ctx) {
    const Args& args = *static_cast<const Args*>(data);
    const polyops_tensor* t[kTensors];
    Op::tensors(args, t);
    return with_type(t[0]->dtype, [&]<class T>() {
      return Op::template with_function<T>(args, [&](auto f) { return launch_as<T>(f, t, ctx); });
    });
  }

 private:
  template <class T, class Function>
  static int launch_as(Function f, const polyops_tensor* const (&t)[kTensors],
                       const polyops_context* ctx) {
    constexpr int64_t kOfBlock = kElementThreads * kRunPacks<kInputs>;  // packs
    Walk<kTensors> walk = make_walk(t);
    const int64_t n = walk.numel();
    Pointers<T, kInputs, kOutputs> p;
    for (int i = 0; i < kInputs; ++i) p.in[i] = static_cast<const T*>(t[i]->data);
    for (int o = 0; o < kOutputs; ++o) p.out[o] = static_cast<T*>(t[kInputs + o]->data);
    const int shift = p.shift();
    if (walk.is_run() && shift >= 0) {  // packs of all tensors begin at the same elements
      constexpr int64_t kOfRun = kRunThreads<T, kInputs> * kRunPacks<kInputs>;
      const int64_t packs = n / kPack<T> + 2;  // at most: both ends may reach out
      return gpu::launch(run_elements<T, kInputs, kOutputs, Function>,
                         {(packs + kOfRun - 1) / kOfRun, kRunThreads<T, kInputs>}, ctx, f, p, n);
    }
    if (shift == 0 && n / kPack<T> < INT32_MAX && walk.to_packs(kPack<T>)) {
      const int64_t packs = n / kPack<T>;
      return gpu::launch(row_elements<T, kInputs, kOutputs, Function>,
                         {(packs + kOfBlock - 1) / kOfBlock, kElementThreads}, ctx, f, p, walk,
                         static_cast<uint32_t>(packs));
    }
    if (is_shifted(walk, p)) return launch_shifted(f, p, walk, ctx);
    if constexpr (kInputs <= 2 && kOutputs == 1) {
      int x;
      const int turned = turned_input<T, kInputs, kOutputs>(walk, &x);
      if (turned >= 0) {
        const TurnedTiles t = make_turned(walk, x, turned, p);
        if (tile_count(t.tiles) >= kFewestTurnedTiles) {
          return turned == 0 ? launch_turned<kInputs, 0, T>(f, t, ctx)
                             : launch_turned<kInputs, kInputs - 1, T>(f, t, ctx);
        }
      }
    }
    if constexpr (kInputs == 2 && kOutputs == 1) {  // of one, they mostly are one row
      NearRows<kTensors> near;
      if (make_near(walk, &near)) return launch_near(f, p, near, ctx);
    }
    constexpr int64_t kOfWalk = kElementThreads * kWalked;  // elements
    return gpu::launch(walk_elements<T, kInputs, kOutputs, Function>,
                       {(n + kOfWalk - 1) / kOfWalk, kElementThreads}, ctx, f, p, walk,
                       make_short(walk), n);
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_ELEMENTWISE_H_
