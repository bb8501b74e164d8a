// What elementwise ops share: tensors that are one run of memory, in whatever order of dimensions, go
// by packs, kPacks of each tensor in flight per thread; anything else element by element, its index
// taken apart. Bound: memory, each tensor once.
//
// An op is a type with
//   using Args; static constexpr int kInputs;
//   static void tensors(const Args&, const polyops_tensor** t)   inputs, then the output
//   int with_function<T>(const Args&, F f)    f(what is computed of T's, float operator()(float, ...))
// and its output may be exactly one of the inputs.
#ifndef POLYOPS_GPU_ELEMENTWISE_H_
#define POLYOPS_GPU_ELEMENTWISE_H_

#include <cstdint>

#include "gpu.h"
#include "span.h"
#include "walk.h"

namespace polyops::gpu {
namespace {

constexpr int kElementThreads = 256;

template <class Function>
GPU_DEVICE float apply(const Function& f, const float (&x)[1]) {
  return f(x[0]);
}
template <class Function>
GPU_DEVICE float apply(const Function& f, const float (&x)[2]) {
  return f(x[0], x[1]);
}

// Packs per thread: 64 bytes of loads in flight, whether of one input or of two.
template <int kInputs>
inline constexpr int kRunPacks = 4 / kInputs;

template <class T, int kInputs>
struct Pointers {
  const T* in[kInputs];
  T* out;
};

template <class T, int kInputs, class Function>
GPU_KERNEL(kElementThreads)
run_elements(Function f, Pointers<T, kInputs> p, int64_t n) {
  constexpr int kPacks = kRunPacks<kInputs>;
  const Span<T> out(p.out, n);
  const int64_t step = block_threads();
  const int64_t first = block_id() * kPacks * step + thread_id();
  float x[kInputs][kPacks][kPack<T>];
#pragma unroll
  for (int i = 0; i < kInputs; ++i) {
    load_packs<kPacks>(Span<const T>(p.in[i], n), first, step, x[i]);
  }
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) {
      float operands[kInputs];
#pragma unroll
      for (int i = 0; i < kInputs; ++i) operands[i] = x[i][k][j];
      x[0][k][j] = apply(f, operands);
    }
  }
  store_packs<kPacks>(out, first, step, x[0]);
}

template <class T, int kInputs, class Function>
GPU_KERNEL(kElementThreads)
walk_elements(Function f, Pointers<T, kInputs> p, Walk<kInputs + 1> walk, int64_t n) {
  const int64_t step = grid_blocks() * block_threads();
  for (int64_t i = block_id() * block_threads() + thread_id(); i < n; i += step) {
    int64_t at[kInputs + 1];
    walk.template offsets<int64_t>(i, at);
    float operands[kInputs];
#pragma unroll
    for (int t = 0; t < kInputs; ++t) operands[t] = widen(p.in[t][at[t]]);
    p.out[at[kInputs]] = narrow<T>(apply(f, operands));
  }
}

template <class Op>
struct Elementwise {
  using Args = typename Op::Args;
  static constexpr int kInputs = Op::kInputs;

  static const char* supports(const void* data) {
    const polyops_tensor* t[kInputs + 1];
    Op::tensors(*static_cast<const Args*>(data), t);
    if (!has_type(t[0]->dtype)) return "dtype";
    for (int i = 1; i <= kInputs; ++i) {
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
    const polyops_tensor* t[kInputs + 1];
    Op::tensors(args, t);
    return with_type(t[0]->dtype, [&]<class T>() {
      return Op::template with_function<T>(args, [&](auto f) { return launch_as<T>(f, t, ctx); });
    });
  }

 private:
  template <class T, class Function>
  static int launch_as(Function f, const polyops_tensor* const (&t)[kInputs + 1],
                       const polyops_context* ctx) {
    const Walk<kInputs + 1> walk = make_walk(t);
    const int64_t n = walk.numel();
    Pointers<T, kInputs> p;
    bool together = walk.is_run();  // packs of all tensors begin at the same elements
    p.out = static_cast<T*>(t[kInputs]->data);
    for (int i = 0; i < kInputs; ++i) {
      p.in[i] = static_cast<const T*>(t[i]->data);
      together &=
          reinterpret_cast<uintptr_t>(p.in[i]) % 16 == reinterpret_cast<uintptr_t>(p.out) % 16;
    }
    if (!together) {
      const int64_t blocks = (n + kElementThreads - 1) / kElementThreads;
      return gpu::launch(walk_elements<T, kInputs, Function>,
                         {blocks < kMostBlocks ? blocks : kMostBlocks, kElementThreads}, ctx, f, p,
                         walk, n);
    }
    constexpr int64_t kOfBlock = kElementThreads * kRunPacks<kInputs> * kPack<T>;
    const int64_t blocks =
        (n + kPack<T> + kOfBlock - 1) / kOfBlock;  // one pack more: the first's gap
    return gpu::launch(run_elements<T, kInputs, Function>, {blocks, kElementThreads}, ctx, f, p, n);
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_ELEMENTWISE_H_
