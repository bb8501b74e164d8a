#include "reference/gelu.h"

#include <cmath>
#include <numbers>

#include "reference/elements.h"

namespace polyops::reference {
namespace {

constexpr double kTanhScale = std::numbers::sqrt2 * std::numbers::inv_sqrtpi;  // sqrt(2 / pi)
constexpr double kTanhCubic = 0.044715;

// (1 + tanh(y)) / 2, without the cancellation of that form for negative y.
double logistic_of_twice(double y) { return 1.0 / (1.0 + std::exp(-2.0 * y)); }

// gelu(x) / x, and what gelu'(x) is beyond it.
double factor(double x, bool tanh) {
  if (!tanh) return 0.5 * std::erfc(-x / std::numbers::sqrt2);
  return logistic_of_twice(kTanhScale * (x + kTanhCubic * x * x * x));
}

double slope(double x, bool tanh) {
  const double value = factor(x, tanh);
  if (!tanh) {
    const double density = std::exp(-0.5 * x * x) / std::sqrt(2.0 * std::numbers::pi);
    return value + x * density;
  }
  const double inner_slope = kTanhScale * (1.0 + 3.0 * kTanhCubic * x * x);
  const double other = factor(-x, tanh);  // 1 - value
  return value + 2.0 * x * value * other * inner_slope;
}

}  // namespace

void gelu(const polyops_gelu_args& args) {
  for (int64_t i = 0; i < polyops_numel(&args.src); ++i) {
    const double x = load(args.src, i);
    store(args.dst, i, x * factor(x, args.tanh != 0));
  }
}

void gelu_backward(const polyops_gelu_backward_args& args) {
  for (int64_t i = 0; i < polyops_numel(&args.src); ++i) {
    const double grad = load(args.grad_dst, i);
    store(args.grad_src, i, grad * slope(load(args.src, i), args.tanh != 0));
  }
}

}  // namespace polyops::reference
