// Few classes, rows next to each other: a thread per row, on a shelf. Forward reads them there,
// backward leaves the gradient in their place and writes it back in packs.
#ifndef POLYOPS_GPU_CROSS_ENTROPY_FEW_H_
#define POLYOPS_GPU_CROSS_ENTROPY_FEW_H_

#include <cstddef>

#include "backward.h"
#include "forward.h"
#include "gpu.h"
#include "shelf.h"

namespace polyops::gpu {
namespace {

template <class T, Smooth kSmooth>
GPU_KERNEL(kFewThreads)
cross_entropy_few(const CrossEntropyCall<T> c) {
  GPU_DYNAMIC_SHARED(T, memory);
  GPU_SHARED(float, shared, 2 * kMostWaves);
  const Shelf<T> shelf(memory, c.rows, c.n);
  shelf.fill(c.src);
  const auto row = static_cast<uint32_t>(block_id() * block_threads() + thread_id());
  const bool inside = row < c.rows;
  const int64_t target = inside ? c.targets.at(row) : c.targets.ignored;
  Labelled label;
  label.counts = c.targets.counts(target);
  if (label.counts) label.weight = c.weights.at(target);
  wait_copies<0>();
  barrier();
  float part[2] = {0, label.weight};
  if (inside) {
    const T* x = memory + thread_id() * c.n;
    RowSums<kSmooth> sums;
#pragma unroll 4
    for (int j = 0; j < c.n; ++j) sums.exps.max = fmaxf(sums.exps.max, widen(x[j]));
#pragma unroll 4
    for (int j = 0; j < c.n; ++j) sums.add(widen(x[j]), weight_for<T, kSmooth>(c.weights, j));
    if (label.counts) label.x = widen(x[target]);
    part[0] = finish_row(c, row, label, sums);
  }
  if (c.parts == nullptr) return;
  sum_team(part, block_threads(), shared);
  if (thread_id() == 0) leave_part(c, block_id(), part);
}

// In place.
template <class T, bool kWeighted>
GPU_DEVICE void write_few_gradient(const CrossEntropyBackwardCall<T>& c, uint32_t row, T* x) {
  const int64_t target = c.targets.at(row);
  const RowGradient<T, kWeighted> gradient(c, row);
  if (!c.targets.counts(target)) {
    const T ignored = narrow<T>(gradient.ignored());
    for (int j = 0; j < c.n; ++j) x[j] = ignored;
    return;
  }
  const auto at = static_cast<int>(target);
  const float own = gradient.of_label(widen(x[at]), at);
#pragma unroll 4
  for (int j = 0; j < c.n; ++j) x[j] = narrow<T>(gradient(widen(x[j]), j));
  x[at] = narrow<T>(own);
}

template <class T, bool kWeighted>
GPU_KERNEL(kFewThreads)
cross_entropy_few_backward(const CrossEntropyBackwardCall<T> c) {
  GPU_DYNAMIC_SHARED(T, memory);
  const Shelf<T> shelf(memory, c.rows, c.n);
  shelf.fill(c.src);
  const auto row = static_cast<uint32_t>(block_id() * block_threads() + thread_id());
  wait_copies<0>();
  barrier();
  if (row < c.rows) write_few_gradient<T, kWeighted>(c, row, memory + thread_id() * c.n);
  barrier();
  shelf.write(c.grad_src);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CROSS_ENTROPY_FEW_H_
