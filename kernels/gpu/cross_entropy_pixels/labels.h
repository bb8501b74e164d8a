// The labels of a thread's pixels.
#ifndef POLYOPS_GPU_CROSS_ENTROPY_PIXELS_LABELS_H_
#define POLYOPS_GPU_CROSS_ENTROPY_PIXELS_LABELS_H_

#include "gpu.h"
#include "nll_loss/samples.h"
#include "place.h"

namespace polyops::gpu {
namespace {

// Of each pixel its class, -1 where it does not count, and the weight of that.
struct Labels {
  int target[kQuad];
  float weight[kQuad];
};

template <class T, int kGroup>
GPU_DEVICE Labels labels_of(const Targets& targets, const ClassWeights<T>& weights, const Tiling& t,
                            const PlaceOf<kGroup>& at) {
  Labels labels;
  int64_t target[kQuad];
  if (at.whole && targets.step == 1 && targets.is_byte == 0) {
    const int64_t* own = static_cast<const int64_t*>(targets.data) + at.sample(t, 0);
#pragma unroll
    for (int j = 0; j < kQuad; ++j) target[j] = own[j * at.step];
  } else {
#pragma unroll
    for (int j = 0; j < kQuad; ++j) {
      target[j] = at.has(t, j) ? targets.at(at.sample(t, j)) : targets.ignored;
    }
  }
  bool right = true;  // asked once, not by each
#pragma unroll
  for (int j = 0; j < kQuad; ++j) {
    const bool ignored = target[j] == targets.ignored, inside = targets.has(target[j]);
    right &= ignored || inside;
    labels.target[j] = !ignored && inside ? static_cast<int>(target[j]) : -1;
    labels.weight[j] = labels.target[j] >= 0 ? 1.0f : 0.0f;
  }
  halt_unless(right);
  if (weights.data != nullptr) {
#pragma unroll
    for (int j = 0; j < kQuad; ++j) {
      if (labels.target[j] >= 0) labels.weight[j] = weights.at(labels.target[j]);
    }
  }
  return labels;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CROSS_ENTROPY_PIXELS_LABELS_H_
