// gelu and its gradient, erf and tanh form. Bound: memory, 4 (16 bits) and 8 bytes per element, 6
// and 12 backward. At 4.2 TB/s an H200 has 27 instructions for an element of 16 bits, special
// functions counted by what they are made of; the runtime's erf and tanh take two or three times
// that, and lose their digits in the left tail.
#include <type_traits>

#include "activation/curves.h"
#include "polyops/ops/gelu.h"
#include "unary.h"

namespace polyops::gpu {
namespace {

constexpr float kTanhScale = 0.79788456080286535588f;  // sqrt(2 / pi)
constexpr float kTanhCubic = 0.044715f;

// (1 + tanh(y)) / 2 of y = sqrt(2 / pi) (x + 0.044715 x^3), and its slope by 2 y; neither cancels.
GPU_DEVICE float logistic_form(float x, float* slope) {
  const float inner = x * fmaf(kTanhCubic * x, x, 1.0f);
  const float e = exp2_flush(-2 * kLog2E * kTanhScale * fabsf(inner));
  const float r = reciprocal_fast(1 + e);
  *slope = e * r * r;
  return x < 0 ? e * r : r;
}

// Phi(-t), the standard normal distribution, and exp(-t^2 / 2), for t >= 0. Their quotient is u
// P(u) with u = 1 / (1 + 0.4 t); P by weighted minimax over 0 <= t <= 13.5, off by 3e-8 of the
// quotient up to t = 2.5, then by what float32 has left of it: 1e-6 at t = 4, 5e-5 at 13.
GPU_DEVICE float lower_tail(float t, float* bell) {
  *bell = exp_fast(-0.5f * t * t);
  const float u = reciprocal_fast(fmaf(0.4f, t, 1.0f));
  float p = -0x1.20b06p-5f;
  p = fmaf(p, u, 0x1.6f407cp-3f);
  p = fmaf(p, u, -0x1.51da42p-2f);
  p = fmaf(p, u, 0x1.9d5466p-3f);
  p = fmaf(p, u, 0x1.4c811ep-6f);
  p = fmaf(p, u, 0x1.29e01ep-3f);
  p = fmaf(p, u, 0x1.450a56p-3f);
  p = fmaf(p, u, 0x1.46d12p-3f);
  return p * u * *bell;
}

GPU_DEVICE float normal_distribution(float x, float* bell) {
  const float tail = lower_tail(fabsf(x), bell);
  return x < 0 ? tail : 1 - tail;
}

// The same for bfloat16, which has 8 bits: the logistic function of an odd polynomial fitted to
// Phi's log odds up to kCoarseEnd, off by 1.7e-4, in the left tail by 1.3e-3 of Phi. Beyond it is
// 0, as stock's is from -5.4 down; the other term of a slope is all but 3 % of it there.
constexpr float kCoarseEnd = 6.08f;
GPU_DEVICE float coarse_distribution(float x) {
  const float s = fminf(x * x, kCoarseEnd * kCoarseEnd);
  float p = 0x1.61050cp-28f;
  p = fmaf(p, s, -0x1.a481a4p-22f);
  p = fmaf(p, s, -0x1.0532fep-19f);
  p = fmaf(p, s, 0x1.4fdf1ep-10f);
  p = fmaf(p, s, -0x1.bcd636p-4f);
  p = fmaf(p, s, -0x1.2647e8p+1f);
  const float inside = reciprocal_fast(1 + exp2_flush(x * p));
  return x < -kCoarseEnd ? 0.0f : inside;
}

constexpr float kInvSqrt2Pi = 0.39894228040143267794f;

template <class T>
struct ErfForm {
  GPU_DEVICE float operator()(float x) const {
    if constexpr (std::is_same_v<T, bf16>) return x * coarse_distribution(x);
    float bell;
    return x * normal_distribution(x, &bell);
  }
  GPU_DEVICE float operator()(float grad, float x) const {
    float bell, value;
    if constexpr (std::is_same_v<T, bf16>) {
      bell = exp2_flush(-0.5f * kLog2E * x * x);
      value = coarse_distribution(x);
    } else {
      value = normal_distribution(x, &bell);
    }
    return grad * fmaf(x * kInvSqrt2Pi, bell, value);
  }
};

struct TanhForm {
  GPU_DEVICE float operator()(float x) const {
    float slope;
    return x * logistic_form(x, &slope);
  }
  GPU_DEVICE float operator()(float grad, float x) const {
    float slope;
    const float value = logistic_form(x, &slope);
    // Beyond 12 the slope is exactly 0, while its factor may be infinite.
    const float near = x < -12 ? -12.0f : x > 12 ? 12.0f : x;
    const float factor = 2 * kTanhScale * fmaf(3 * kTanhCubic * near, near, 1.0f);
    return grad * fmaf(x * slope, factor, value);
  }
};

struct Gelu : Unary<polyops_gelu_args> {
  template <class T, class F>
  static int with_function(const Args& args, F f) {
    return args.tanh != 0 ? f(TanhForm()) : f(ErfForm<T>());
  }
};

struct GeluBackward : UnaryBackward<polyops_gelu_backward_args> {
  template <class T, class F>
  static int with_function(const Args& args, F f) {
    return args.tanh != 0 ? f(TanhForm()) : f(ErfForm<T>());
  }
};

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_UNARY(gelu, Gelu, GeluBackward)
