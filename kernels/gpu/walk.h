// Which elements, or rows, of several strided tensors belong together: dimensions merged where no
// tensor has a gap. What is left is a run of elements next to each other, or an index to be taken
// apart.
#ifndef POLYOPS_GPU_WALK_H_
#define POLYOPS_GPU_WALK_H_

#include <cstdint>
#include <type_traits>

#include "gpu.h"
#include "polyops/tensor_view.h"

namespace polyops::gpu {
namespace {

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

  // Counts packs of so many elements from here on, if all tensors consist of whole ones.
  bool to_packs(int64_t pack) {
    bool whole = sizes[0] % pack == 0;
    for (int t = 0; t < kTensors; ++t) {
      whole &= strides[t][0] == 1;
      for (int d = 1; d < rank; ++d) whole &= strides[t][d] % pack == 0;
    }
    if (!whole) return false;
    sizes[0] /= pack;
    for (int t = 0; t < kTensors; ++t) {
      for (int d = 1; d < rank; ++d) strides[t][d] /= pack;
    }
    return true;
  }

  // Where the element of that number is in each tensor. A walk of one dimension divides nothing.
  // Index: what counts elements; 32 bits divide faster.
  template <class Index = uint32_t>
  GPU_DEVICE void offsets(std::type_identity_t<Index> index, int64_t (&at)[kTensors]) const {
    const int outermost = rank - 1;
#pragma unroll
    for (int t = 0; t < kTensors; ++t) at[t] = 0;
#pragma unroll 1
    for (int d = 0; d < outermost; ++d) {
      const auto size = static_cast<Index>(sizes[d]);
      const Index place = index % size;
      index /= size;
#pragma unroll
      for (int t = 0; t < kTensors; ++t) at[t] += place * strides[t][d];
    }
#pragma unroll
    for (int t = 0; t < kTensors; ++t) at[t] += index * strides[t][outermost];
  }
};

// In which order elements are numbered: by where they are in the last tensor's memory, or by
// their dimensions, the last one fastest.
enum class Order { kMemory, kDimensions };

// Of the dimensions [begin, end) of tensors of the same sizes.
template <int kTensors>
Walk<kTensors> make_walk(const polyops_tensor* const (&tensors)[kTensors], Order by, int begin,
                         int end) {
  const polyops_tensor& last = *tensors[kTensors - 1];
  Walk<kTensors> walk = {};
  int order[POLYOPS_MAX_RANK], count = 0;
  for (int d = end - 1; d >= begin; --d) {
    if (last.sizes[d] == 1) continue;
    int at = count++;
    for (; by == Order::kMemory && at > 0 && last.strides[order[at - 1]] > last.strides[d]; --at)
      order[at] = order[at - 1];
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

// Of all dimensions.
template <int kTensors>
Walk<kTensors> make_walk(const polyops_tensor* const (&tensors)[kTensors]) {
  return make_walk(tensors, Order::kMemory, 0, tensors[0]->rank);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_WALK_H_
