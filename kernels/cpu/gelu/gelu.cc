// gelu and its gradient, erf and tanh form. All four are x c(x) or grad c(x) with a smooth c for
// which c(-x) = 1 - c(x): one table of polynomials each (simd/curve.h, tables*.h), 5 fma and 6
// lookups for 16 float32, no exp and no division. 8 bytes per element (4 in bfloat16), 12 (6)
// backward; bound by arithmetic in cache, 3.8 ns per 16 elements, where a copy of them takes 1.0.
//
// Lost: 1 - c(x) by select in the forward pass (+15 %); even powers apart from odd ones (+2 %);
// bfloat16 widened and narrowed by halves (+29 %) and with float32's degree (+13 %). vreduceps and
// vrangeps instead of rounding and clamping save 10 %, on AVX-512 alone: not worth their own path.
#include "polyops/ops/gelu.h"

#include "elementwise.h"
#include "simd/curve.h"
#include "simd/exp.h"
#include "table.h"
#if defined(POLYOPS_ISA_AVX2)
#include "gelu/tables8.h"
#else
#include "gelu/tables16.h"
#endif

namespace polyops::cpu {
namespace {

#if defined(POLYOPS_ISA_SCALAR)
constexpr double kSqrtHalf = 0.70710678118654752440;
constexpr double kInvSqrt2Pi = 0.39894228040143267794;
constexpr double kTanhScale = 0.79788456080286535588;  // sqrt(2 / pi)
constexpr double kTanhCubic = 0.044715;

// gelu(x) / x. The tanh form as a logistic function: 1 + tanh would cancel for negative x.
inline double exact_value(double x, bool tanh) {
  if (!tanh) return 0.5 * __builtin_erfc(-x * kSqrtHalf);
  return 1.0 / (1.0 + __builtin_exp(-2.0 * kTanhScale * (x + kTanhCubic * x * x * x)));
}

inline double exact_slope(double x, bool tanh) {
  const double value = exact_value(x, tanh);
  if (!tanh) return value + x * kInvSqrt2Pi * __builtin_exp(-0.5 * x * x);
  const double inner_slope = kTanhScale * (1.0 + 3.0 * kTanhCubic * x * x);
  return value + 2.0 * x * value * exact_value(-x, tanh) * inner_slope;
}
#endif

// The erf form's slope, Phi(x) + x phi(x), from x = -6.3 down, where the table ends but float32
// does not, until -13: Phi by its asymptotic series, off by 2e-6.
inline F32 erf_slope_beyond(F32 x) {
  const F32 inverse = F32::set1(1) / x;
  const F32 q = inverse * inverse;
  const F32 phi = exp_nonpositive(x * x * F32::set1(-0.5f)) * F32::set1(0x1.988454p-2f);
  F32 series = fnma(q, F32::set1(15), F32::set1(3));
  series = fnma(q, series, F32::set1(1));
  series = fnma(q, series, F32::set1(1));
  return phi * fnma(inverse, series, x);
}

template <int kIntervals, int kDegree>
inline F32 erf_slope(const Curve<kIntervals, kDegree>& half, F32 x) {
  const F32 inside = mirrored(half, x);
  const auto beyond = lt(x, F32::set1((1.5f - kIntervals) * half.width));
  if (!any(beyond)) return inside;
  return select(beyond, erf_slope_beyond(x), inside);
}

struct Gelu {
  using Args = polyops_gelu_args;
  static constexpr int kInputs = 1;
  static void tensors(const Args& args, const polyops_tensor** t) {
    t[0] = &args.src;
    t[1] = &args.dst;
  }
  template <class E>
  static void run(const Args& args, const E* const* in, E* out, int64_t n) {
    if (args.tanh != 0) {
      map1(in, out, n, [](F32 x) { return mirrored_times_x(kTanhValue, x); });
    } else {
      map1(in, out, n, [](F32 x) { return mirrored_times_x(kErfValue, x); });
    }
  }
  static void run(const Args& args, const bf16* const* in, bf16* out, int64_t n) {
    if (args.tanh != 0) {
      map1(in, out, n, [](F32 x) { return mirrored_times_x(kTanhValueShort, x); });
    } else {
      map1(in, out, n, [](F32 x) { return mirrored_times_x(kErfValueShort, x); });
    }
  }
#if defined(POLYOPS_ISA_SCALAR)
  static void run(const Args& args, const double* const* in, double* out, int64_t n) {
    const bool tanh = args.tanh != 0;
    map1(in, out, n, [tanh](F64 x) { return F64{x.v * exact_value(x.v, tanh)}; });
  }
#endif
};

struct GeluBackward {
  using Args = polyops_gelu_backward_args;
  static constexpr int kInputs = 2;
  static void tensors(const Args& args, const polyops_tensor** t) {
    t[0] = &args.grad_dst;
    t[1] = &args.src;
    t[2] = &args.grad_src;
  }
  template <class E>
  static void run(const Args& args, const E* const* in, E* out, int64_t n) {
    if (args.tanh != 0) {
      map2(in, out, n, [](F32 grad, F32 x) { return grad * mirrored(kTanhSlope, x); });
    } else {
      map2(in, out, n, [](F32 grad, F32 x) { return grad * erf_slope(kErfSlope, x); });
    }
  }
  static void run(const Args& args, const bf16* const* in, bf16* out, int64_t n) {
    if (args.tanh != 0) {
      map2(in, out, n, [](F32 grad, F32 x) { return grad * mirrored(kTanhSlopeShort, x); });
    } else {
      map2(in, out, n, [](F32 grad, F32 x) { return grad * erf_slope(kErfSlopeShort, x); });
    }
  }
#if defined(POLYOPS_ISA_SCALAR)
  static void run(const Args& args, const double* const* in, double* out, int64_t n) {
    const bool tanh = args.tanh != 0;
    map2(in, out, n, [tanh](F64 grad, F64 x) { return F64{grad.v * exact_slope(x.v, tanh)}; });
  }
#endif
};

using Forward = Elementwise<Gelu>;
using Backward = Elementwise<GeluBackward>;

}  // namespace
}  // namespace polyops::cpu

POLYOPS_CPU_KERNELS(gelu,
                    POLYOPS_KERNEL("gelu", "gelu_contiguous", Forward::supports_contiguous, nullptr,
                                   Forward::launch_contiguous),
                    POLYOPS_KERNEL("gelu", "gelu_strided", Forward::supports_any, nullptr,
                                   Forward::launch_any),
                    POLYOPS_KERNEL("gelu_backward", "gelu_backward_contiguous",
                                   Backward::supports_contiguous, nullptr,
                                   Backward::launch_contiguous),
                    POLYOPS_KERNEL("gelu_backward", "gelu_backward_strided", Backward::supports_any,
                                   nullptr, Backward::launch_any))
