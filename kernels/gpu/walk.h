// Elementwise ops: which elements of several strided tensors belong together. Dimensions are put in
// the order of the output's memory and merged where no tensor has a gap; what is left is a run of
// elements next to each other, or an index to be taken apart.
#ifndef POLYOPS_GPU_WALK_H_
#define POLYOPS_GPU_WALK_H_

#include <cstdint>

#include "polyops/tensor_view.h"

namespace polyops::gpu {

template <int kTensors>
struct Walk {
  int rank;
  int64_t sizes[POLYOPS_MAX_RANK];  // innermost first
  int64_t strides[kTensors][POLYOPS_MAX_RANK];

  int64_t numel() const {
    int64_t n = 1;
    for (int d = 0; d < rank; ++d) n *= sizes[d];
    return n;
  }
  // All tensors are one run of elements.
  bool is_run() const {
    if (rank > 1) return false;
    for (int t = 0; t < kTensors; ++t) {
      if (strides[t][0] != 1) return false;
    }
    return true;
  }
};

// Tensors of the same sizes; the last one's memory decides the order.
template <int kTensors>
Walk<kTensors> make_walk(const polyops_tensor* const (&tensors)[kTensors]) {
  const polyops_tensor& last = *tensors[kTensors - 1];
  Walk<kTensors> walk = {};
  int order[POLYOPS_MAX_RANK], count = 0;
  for (int d = last.rank - 1; d >= 0; --d) {
    if (last.sizes[d] == 1) continue;
    int at = count++;
    for (; at > 0 && last.strides[order[at - 1]] > last.strides[d]; --at) order[at] = order[at - 1];
    order[at] = d;
  }
  for (int i = 0; i < count; ++i) {
    const int d = order[i];
    bool merges = walk.rank > 0;
    for (int t = 0; merges && t < kTensors; ++t) {
      const int inner = walk.rank - 1;
      merges = tensors[t]->strides[d] == walk.strides[t][inner] * walk.sizes[inner];
    }
    if (merges) {
      walk.sizes[walk.rank - 1] *= last.sizes[d];
      continue;
    }
    walk.sizes[walk.rank] = last.sizes[d];
    for (int t = 0; t < kTensors; ++t) walk.strides[t][walk.rank] = tensors[t]->strides[d];
    ++walk.rank;
  }
  if (walk.rank == 0) {  // one element
    walk.rank = 1;
    walk.sizes[0] = 1;
    for (int t = 0; t < kTensors; ++t) walk.strides[t][0] = 1;
  }
  return walk;
}

}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_WALK_H_
