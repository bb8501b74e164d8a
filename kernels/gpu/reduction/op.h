// What elements are folded into one by, and where it goes.
#ifndef POLYOPS_GPU_REDUCTION_OP_H_
#define POLYOPS_GPU_REDUCTION_OP_H_

#include "gpu.h"
#include "reduce.h"
#include "store.h"

namespace polyops::gpu {
namespace {

struct Sum {
  static constexpr float kNone = 0;
  GPU_DEVICE static float merge(float a, float b) { return a + b; }
};
// rank(): grows towards what wins.
struct Largest {
  static constexpr float kNone = -__builtin_huge_valf();
  GPU_DEVICE static float merge(float a, float b) { return max_or_nan(a, b); }
  GPU_DEVICE static float rank(float x) { return x; }
};
struct Smallest {
  static constexpr float kNone = __builtin_huge_valf();
  GPU_DEVICE static float merge(float a, float b) { return min_or_nan(a, b); }
  GPU_DEVICE static float rank(float x) { return -x; }
};

// Of a power of two of them, by halves; x[0] is the result.
template <class Op, class X, int kCount>
GPU_DEVICE X merge_halves(X (&x)[kCount]) {
#pragma unroll
  for (int half = kCount / 2; half > 0; half /= 2) {
#pragma unroll
    for (int i = 0; i < half; ++i) x[i] = Op::merge(x[i], x[i + half]);
  }
  return x[0];
}

// Of a team of lanes: a power of two within a wave, or the block, whose waves meet in `shared`
// (kMostWaves elements). A block's is right in its first wave alone.
template <class Op>
GPU_DEVICE float merge_team(float x, int team, float* shared) {
  const int lanes = team < wave_size() ? team : wave_size();
  for (int mask = lanes / 2; mask > 0; mask /= 2) x = Op::merge(x, shuffle_xor(x, mask));
  if (team <= wave_size()) return x;
  const int lane = thread_id() % wave_size();
  if (lane == 0) shared[thread_id() / wave_size()] = x;
  barrier();
  x = lane < block_threads() / wave_size() ? shared[lane] : Op::kNone;
  for (int mask = wave_size() / 2; mask > 0; mask /= 2) x = Op::merge(x, shuffle_xor(x, mask));
  return x;
}

// Of any dtype: one element of many is a result.
struct Result {
  void* data;
  int32_t dtype;
  float divisor;  // of each

  // Not times its reciprocal, which would round twice.
  GPU_DEVICE float divide(float x) const { return divisor == 1 ? x : x / divisor; }
  GPU_DEVICE void store(int64_t at, float x) const {
    x = divide(x);
    if (dtype == POLYOPS_FLOAT32) {
      static_cast<float*>(data)[at] = x;
    } else if (dtype == POLYOPS_BFLOAT16) {
      static_cast<bf16*>(data)[at] = narrow<bf16>(x);
    } else {
      static_cast<f16*>(data)[at] = narrow<f16>(x);
    }
  }
  // Neighbours, aligned as store_elements() wants it.
  template <int kCount>
  GPU_DEVICE void store_pack(int64_t at, const float (&all)[kCount]) const {
    float x[kCount];
#pragma unroll
    for (int j = 0; j < kCount; ++j) x[j] = divide(all[j]);
    if (dtype == POLYOPS_FLOAT32) {
      store_elements(static_cast<float*>(data) + at, x);
    } else if (dtype == POLYOPS_BFLOAT16) {
      store_elements(static_cast<bf16*>(data) + at, x);
    } else {
      store_elements(static_cast<f16*>(data) + at, x);
    }
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_REDUCTION_OP_H_
