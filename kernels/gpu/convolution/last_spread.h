// What SpreadWalk's threads load and store where channels lie next to each other: 2 of each pixel.
#ifndef POLYOPS_GPU_CONVOLUTION_LAST_SPREAD_H_
#define POLYOPS_GPU_CONVOLUTION_LAST_SPREAD_H_

#include "last_sums.h"
#include "spread_walk.h"

namespace polyops::gpu {
namespace {

// Some neighbouring gradients of 2 channels: those around the thread's own.
template <class Own, class T>
struct SpreadLastGrads {
  Few<T, 2> few[Own::kColumns];

  GPU_DEVICE void clear() {
    for (auto& one : few) one.clear();
  }
  GPU_DEVICE void load(const T* own, int32_t channels, bool has_left, bool has_right) {
#pragma unroll
    for (int j = 0; j < Own::kColumns; ++j) {
      const int of = j - Own::kBack;
      if ((of < 0 && !has_left) || (of >= Own::kResults && !has_right)) continue;
      few[j].load(ahead(own, channels, of));
    }
  }
  GPU_DEVICE void get(float (&x)[Own::kColumns][2]) const {
#pragma unroll
    for (int j = 0; j < Own::kColumns; ++j) few[j].get(x[j]);
  }
};

template <class Own, class T>
struct SpreadLastPixels {
  Few<T, 2> few[Own::kPixels];

  GPU_DEVICE void load(const T* first, int32_t channels) {
#pragma unroll
    for (int j = 0; j < Own::kPixels; ++j) few[j].load(ahead(first, channels, j));
  }
  GPU_DEVICE void get(float (&x)[Own::kPixels][2]) const {
#pragma unroll
    for (int j = 0; j < Own::kPixels; ++j) few[j].get(x[j]);
  }
  GPU_DEVICE static void store(const float (&x)[Own::kPixels][2], T* p, int32_t channels) {
#pragma unroll
    for (int j = 0; j < Own::kPixels; ++j) {
      Few<T, 2> one;
      one.set(x[j]);
      one.store(ahead(p, channels, j));
    }
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_LAST_SPREAD_H_
