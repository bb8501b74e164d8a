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

// What is left of a walk without that dimension.
template <int N>
void remove_dimension(Walk<N>* walk, int dimension) {
  if (walk->rank == 1) {
    walk->sizes[0] = 1;
    return;
  }
  --walk->rank;
  for (int d = dimension; d < walk->rank; ++d) {
    walk->sizes[d] = walk->sizes[d + 1];
    for (int t = 0; t < N; ++t) walk->strides[t][d] = walk->strides[t][d + 1];
  }
}

template <int N>
Columns<N> walk_columns(const polyops_tensor* const (&tensors)[N], int dim) {
  Columns<N> columns = {0, walk_rows<N>(tensors, dim)};
  Walk<N>& walk = columns.outer;
  if (walk.numel() == 1) return columns;
  for (int t = 0; t < N; ++t) {
    if (walk.strides[t][0] != 1) return columns;
  }
  columns.width = walk.sizes[0];
  remove_dimension(&walk, 0);
  return columns;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_SOFTMAX_LAYOUT_H_
