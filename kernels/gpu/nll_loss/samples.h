// What forward and backward of nll_loss share: a sample's target and its weight.
#ifndef POLYOPS_GPU_NLL_LOSS_SAMPLES_H_
#define POLYOPS_GPU_NLL_LOSS_SAMPLES_H_

#include <cstdint>

#include "gpu.h"
#include "polyops/ops/nll_loss.h"
#include "row.h"

namespace polyops::gpu {
namespace {

struct Targets {
  const void* data;
  int64_t step;
  int64_t ignored;
  int64_t classes;
  int32_t is_byte;

  GPU_DEVICE int64_t at(uint32_t sample) const {
    const int64_t i = sample * step;
    return is_byte != 0 ? static_cast<const uint8_t*>(data)[i]
                        : static_cast<const int64_t*>(data)[i];
  }
  // Whether it is a class; halts if it should be.
  GPU_DEVICE bool counts(int64_t target) const {
    if (target == ignored) return false;
    const bool inside = has(target);
    halt_unless(inside);
    return inside;
  }
  GPU_DEVICE bool has(int64_t target) const {
    return static_cast<uint64_t>(target) < static_cast<uint64_t>(classes);
  }
};

inline Targets targets_of(const polyops_tensor& target, int64_t ignored, int64_t classes) {
  return {target.data, target.strides[target.rank - 1], ignored, classes,
          target.dtype == POLYOPS_UINT8};
}

template <class T>
struct ClassWeights {
  const T* data;  // null: all 1
  int64_t step;

  GPU_DEVICE float at(int64_t target) const {
    return data == nullptr ? 1.0f : widen(data[target * step]);
  }
};

template <class T>
ClassWeights<T> weights_of(const polyops_tensor& weight) {
  if (polyops_is_present(&weight) == 0) return {nullptr, 0};
  return {static_cast<const T*>(weight.data), weight.strides[0]};
}

// One of each pixel of src, all a step apart.
inline bool is_of_pixels(const polyops_tensor& t, const polyops_tensor& src) {
  return t.rank == 2 && t.sizes[0] == src.sizes[0] && t.sizes[1] == src.sizes[2] &&
         (t.sizes[0] == 1 || t.strides[0] == t.sizes[1] * t.strides[1]);
}

inline int64_t samples_of(const polyops_tensor& src) {
  return src.rank == 3 ? src.sizes[0] * src.sizes[2] : src.sizes[0];
}

// src: the tensor of samples by classes, or of images by classes by pixels. The others are checked
// in what a kernel relies on.
inline const char* unsupported(const polyops_tensor& src, const polyops_tensor& target,
                               const polyops_tensor& weight) {
  if (!has_type(src.dtype)) return "dtype";
  if (target.dtype != POLYOPS_INT64 && target.dtype != POLYOPS_UINT8) return "dtype";
  const bool pixels = src.rank == 3;
  if (!pixels && (src.rank != 2 || target.rank != 1)) return "shape";
  if (pixels ? !is_of_pixels(target, src) : target.sizes[0] != src.sizes[0]) return "shape";
  if (polyops_is_present(&weight) != 0) {
    if (weight.dtype != src.dtype) return "dtype";
    if (weight.rank != 1 || weight.sizes[0] != src.sizes[1]) return "shape";
  }
  bool large = polyops_numel(&src) > int64_t{1} << 40 || samples_of(src) > kMostElements;
  for (int d = 0; d < src.rank; ++d) large |= src.sizes[d] > kMostElements;
  return large ? "size" : nullptr;
}

// One value, or one of each sample of src.
inline bool fits_reduction(const polyops_tensor& value, int32_t reduction,
                           const polyops_tensor& src) {
  if (reduction != POLYOPS_NLL_LOSS_NONE) return polyops_numel(&value) == 1;
  if (src.rank == 3) return is_of_pixels(value, src);
  return value.rank == 1 && value.sizes[0] == src.sizes[0];
}

inline int64_t step_of(const polyops_tensor& value, int32_t reduction) {
  return reduction == POLYOPS_NLL_LOSS_NONE ? value.strides[value.rank - 1] : 0;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_NLL_LOSS_SAMPLES_H_
