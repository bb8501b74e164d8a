// The curves that activations are made of, for elements of type T: close to float32's last place
// for float32, in few instructions for 16 bits.
#ifndef POLYOPS_GPU_ACTIVATION_CURVES_H_
#define POLYOPS_GPU_ACTIVATION_CURVES_H_

#include <type_traits>

#include "gpu.h"

namespace polyops::gpu {
namespace {

constexpr float kLog2E = 1.44269504088896340736f;

// Coefficients from the highest power down.
template <class... Rest>
GPU_DEVICE float polynomial(float x, float highest, Rest... rest) {
  float p = highest;
  ((p = fmaf(p, x, rest)), ...);
  return p;
}

// e^x; for 16 bits off by 6e-8 |x| of it.
template <class T>
GPU_DEVICE float exponential(float x) {
  if constexpr (std::is_same_v<T, float>) return exp_close(x);
  const float root = exp2_flush(0.5f * kLog2E * x);  // whose square may be denormal
  return root * root;
}

// x, computed whatever is then chosen: otherwise the compiler branches around what takes long.
GPU_DEVICE float always(float x) {
  uint32_t bits = float_bits(x);
  forget_bits(&bits);
  return float_of_bits(bits);
}

// log(1 + u) / u for 0 <= u <= 1: minimax polynomials, off by 1.5e-6, for float32 by 2e-8, and
// exact where u vanishes.
template <class T>
GPU_DEVICE float log_ratio(float u) {
  if constexpr (std::is_same_v<T, float>) {
    return polynomial(u, -0x1.b2f588p-9f, 0x1.4b0836p-6f, -0x1.d86324p-5f, 0x1.b579c2p-4f,
                      -0x1.3a7a82p-3f, 0x1.935ca0p-3f, -0x1.ff26e2p-3f, 0x1.554df0p-2f,
                      -0x1.ffffd2p-2f, 1.0f);
  } else {
    return polynomial(u, 0x1.de07d2p-7f, -0x1.15eb32p-4f, 0x1.354e08p-3f, -0x1.e38f74p-3f,
                      0x1.535ba4p-2f, -0x1.ffe7bep-2f, 1.0f);
  }
}

// e^x - 1. Near 0, where the difference would cancel, x times a minimax polynomial: off by 1e-7 of
// the result within 0.25, for float32 by 3e-8 within 1.
template <class T>
GPU_DEVICE float exp_less_1(float x) {
  constexpr bool kClose = std::is_same_v<T, float>;
  float ratio;
  if constexpr (kClose) {
    ratio = polynomial(x, 0x1.831cb6p-19f, 0x1.abae94p-16f, 0x1.9fc482p-13f, 0x1.6bf04ep-10f,
                       0x1.11119cp-7f, 0x1.5555b4p-5f, 0x1.555554p-3f, 0.5f, 1.0f);
  } else {
    ratio = polynomial(x, 0x1.121f58p-7f, 0x1.5641aap-5f, 0x1.5554ecp-3f, 0x1.ffff86p-2f, 1.0f);
  }
  const float near = always(x * ratio), far = always(exponential<T>(x) - 1);
  return fabsf(x) < (kClose ? 1.0f : 0.25f) ? near : far;
}

// 1 / (1 + e^-x), and its slope; neither cancels.
template <class T>
GPU_DEVICE float logistic(float x, float* slope) {
  const float e = exponential<T>(-fabsf(x));
  const float r = reciprocal_fast(1 + e);
  *slope = e * r * r;
  return x < 0 ? e * r : r;
}
template <class T>
GPU_DEVICE float logistic(float x) {
  float slope;
  return logistic<T>(x, &slope);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_ACTIVATION_CURVES_H_
