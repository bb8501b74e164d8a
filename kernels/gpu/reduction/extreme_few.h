// The first of the most extreme of few neighbours: a thread per row (shelf.h).
#ifndef POLYOPS_GPU_REDUCTION_EXTREME_FEW_H_
#define POLYOPS_GPU_REDUCTION_EXTREME_FEW_H_

#include "extreme.h"
#include "gpu.h"
#include "layout.h"
#include "shelf.h"

namespace polyops::gpu {
namespace {

template <class T>
struct ExtremeFewCall {
  uint32_t rows;
  int32_t n;
  int64_t dst_step;
  ExtremeResult<T> to;
};

template <class Op, class T>
GPU_KERNEL(kFewThreads)
find_in_few(const ExtremeFewCall<T> c) {
  await_earlier();
  GPU_DYNAMIC_SHARED(T, memory);
  Shelf<T>(memory, c.rows, c.n).fill(c.to.src);
  const auto row = static_cast<uint32_t>(block_id() * block_threads() + thread_id());
  wait_copies<0>();
  barrier();
  if (row >= c.rows) return;
  const T* x = memory + thread_id() * c.n;
  float best = -__builtin_huge_valf();
  int at = 0;
#pragma unroll 4
  for (int j = 0; j < c.n; ++j) {
    const float rank = Op::rank(widen(x[j]));
    const bool better = beats(rank, best);
    best = better ? rank : best;
    at = better ? j : at;
  }
  c.to.indices[row * c.dst_step] = at;
  if (c.to.values != nullptr) c.to.values[row * c.dst_step] = x[at];
}

// Rows one after the other, aligned.
template <class T>
bool are_few(const ReductionLayout& of, const T* src) {
  const bool adjacent =
      of.kept.rank == 1 && (of.kept.sizes[0] == 1 || of.kept.strides[1][0] == of.n);
  return !of.columns && adjacent && fits_shelf<T>(of.n) &&
         reinterpret_cast<uintptr_t>(src) % 16 == 0;
}

template <class Op, class T>
int launch_extreme_few(const ReductionLayout& of, const ExtremeResult<T>& to,
                       const polyops_context* ctx) {
  const ExtremeFewCall<T> call = {static_cast<uint32_t>(of.kept.numel()),
                                  static_cast<int32_t>(of.n), of.kept.strides[0][0], to};
  const size_t bytes = sizeof(T) * kFewThreads * call.n;
  return gpu::launch(find_in_few<Op, T>, {divide_up(call.rows, kFewThreads), kFewThreads, bytes},
                     ctx, call);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_REDUCTION_EXTREME_FEW_H_
