// How a call's tensors lie in memory, for forward (src, dst) and backward (grad_dst, dst, grad_src)
// alike: where each row begins.
#ifndef POLYOPS_GPU_SOFTMAX_LAYOUT_H_
#define POLYOPS_GPU_SOFTMAX_LAYOUT_H_

#include <cstdint>

#include "gpu.h"
#include "polyops/tensor_view.h"
#include "walk.h"

namespace polyops::gpu {
namespace {

// Rows and what is in one: both are counted in 32 bits.
constexpr int64_t kMostRows = kMostBlocks;
constexpr int64_t kMostElements = (int64_t{1} << 31) - (1 << 16);  // sums of indices must not wrap

template <int N>
bool unit_stride(const polyops_tensor* const (&tensors)[N], int dim) {
  for (const polyops_tensor* t : tensors) {
    if (t->sizes[dim] != 1 && t->strides[dim] != 1) return false;
  }
  return true;
}

// Every dimension but `dim`: an element of it is a row. The last tensor's memory decides the order.
template <int N>
Walk<N> walk_rows(const polyops_tensor* const (&tensors)[N], int dim) {
  polyops_tensor rows[N];
  const polyops_tensor* pointers[N];
  for (int t = 0; t < N; ++t) {
    rows[t] = *tensors[t];
    rows[t].sizes[dim] = 1;
    pointers[t] = &rows[t];
  }
  return make_walk<N>(pointers);
}

// Columns along `dim`, `width` of them side by side; 0: no dimension but `dim` has unit stride in
// every tensor. `outer` walks everything else.
template <int N>
struct Columns {
  int64_t width;
  Walk<N> outer;
};

template <int N>
Columns<N> walk_columns(const polyops_tensor* const (&tensors)[N], int dim) {
  Columns<N> columns = {0, walk_rows<N>(tensors, dim)};
  Walk<N>& walk = columns.outer;
  if (walk.numel() == 1) return columns;
  for (int t = 0; t < N; ++t) {
    if (walk.strides[t][0] != 1) return columns;
  }
  columns.width = walk.sizes[0];
  if (walk.rank == 1) {
    walk.sizes[0] = 1;
    return columns;
  }
  --walk.rank;
  for (int d = 0; d < walk.rank; ++d) {
    walk.sizes[d] = walk.sizes[d + 1];
    for (int t = 0; t < N; ++t) walk.strides[t][d] = walk.strides[t][d + 1];
  }
  return columns;
}

// All rows begin at a multiple of 16 bytes.
template <class T, int N>
bool rows_aligned(const Walk<N>& walk, int t, const void* data) {
  if (reinterpret_cast<uintptr_t>(data) % 16 != 0) return false;
  for (int d = 0; d < walk.rank; ++d) {
    if (walk.sizes[d] != 1 && walk.strides[t][d] % kPack<T> != 0) return false;
  }
  return true;
}

// Where the row of that number begins in each tensor. A walk of one dimension divides nothing.
template <int N>
GPU_DEVICE void find_row(const Walk<N>& walk, uint32_t row, int64_t (&at)[N]) {
  const int outermost = walk.rank - 1;
#pragma unroll
  for (int t = 0; t < N; ++t) at[t] = 0;
#pragma unroll 1
  for (int d = 0; d < outermost; ++d) {
    const auto size = static_cast<uint32_t>(walk.sizes[d]);
    const uint32_t place = row % size;
    row /= size;
#pragma unroll
    for (int t = 0; t < N; ++t) at[t] += place * walk.strides[t][d];
  }
#pragma unroll
  for (int t = 0; t < N; ++t) at[t] += row * walk.strides[t][outermost];
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_SOFTMAX_LAYOUT_H_
