// A walk in 31 bits: of a GPU's instructions a division by a number that it learns at run time
// takes some 20, and each product of 64 bits 3.
#ifndef POLYOPS_GPU_SHORT_WALK_H_
#define POLYOPS_GPU_SHORT_WALK_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "walk.h"

namespace polyops::gpu {
namespace {

template <int kTensors>
struct ShortWalk {
  int rank;  // 0: the walk is too long
  Division sizes[POLYOPS_MAX_RANK];
  uint32_t strides[kTensors][POLYOPS_MAX_RANK];

  // As of a Walk.
  GPU_DEVICE void offsets(uint32_t index, int64_t (&at)[kTensors]) const {
    uint32_t places[kTensors] = {};
    const int outermost = rank - 1;
#pragma unroll 1
    for (int d = 0; d < outermost; ++d) {
      const uint32_t place = take_remainder(sizes[d], &index);
#pragma unroll
      for (int t = 0; t < kTensors; ++t) places[t] += place * strides[t][d];
    }
#pragma unroll
    for (int t = 0; t < kTensors; ++t) at[t] = places[t] + index * strides[t][outermost];
  }
};

template <int kTensors>
ShortWalk<kTensors> make_short(const Walk<kTensors>& walk) {
  ShortWalk<kTensors> result = {};
  if (walk.numel() > INT32_MAX) return result;
  for (int t = 0; t < kTensors; ++t) {
    int64_t last = 0;
    for (int d = 0; d < walk.rank; ++d) {
      last += (walk.sizes[d] - 1) * walk.strides[t][d];
      result.strides[t][d] = static_cast<uint32_t>(walk.strides[t][d]);
    }
    if (last > INT32_MAX) return result;
  }
  for (int d = 0; d < walk.rank; ++d) {
    result.sizes[d] = Division(static_cast<uint32_t>(walk.sizes[d]));
  }
  result.rank = walk.rank;
  return result;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_SHORT_WALK_H_
