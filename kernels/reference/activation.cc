#include "reference/activation.h"

#include <algorithm>
#include <cmath>

#include "reference/elements.h"

namespace polyops::reference {
namespace {

double logistic(double x) {
  return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x));
}

// log(1 + e^x)
double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

double value(const std::string& op, const double* scalars, double x) {
  if (op == "mish") return x * std::tanh(softplus(x));
  if (op == "log_sigmoid") return -softplus(-x);
  if (op == "softplus") {
    const double beta = scalars[0], threshold = scalars[1];
    return x * beta > threshold ? x : softplus(x * beta) / beta;
  }
  const double alpha = scalars[0], scale = scalars[1], input_scale = scalars[2];
  return scale * (x > 0 ? x : alpha * std::expm1(x * input_scale));
}

double slope(const std::string& op, const double* scalars, bool of_result, double x) {
  if (op == "mish") {
    const double tanh = std::tanh(softplus(x));
    return tanh + x * logistic(x) * (1 - tanh * tanh);
  }
  if (op == "log_sigmoid") return logistic(-x);
  if (op == "softplus") {
    const double beta = scalars[0], threshold = scalars[1];
    return x * beta > threshold ? 1 : logistic(x * beta);
  }
  const double alpha = scalars[0], scale = scalars[1], input_scale = scalars[2];
  if (!(x <= 0)) return scale;
  if (of_result) return input_scale * (x + alpha * scale);
  return input_scale * alpha * scale * std::exp(x * input_scale);
}

}  // namespace

void activation(const std::string& op, const polyops_activation_args& args) {
  for (int64_t i = 0; i < polyops_numel(&args.src); ++i) {
    store(args.dst, i, value(op, args.scalars, load(args.src, i)));
  }
}

void activation_backward(const std::string& op, const polyops_activation_backward_args& args) {
  for (int64_t i = 0; i < polyops_numel(&args.src); ++i) {
    const double grad = load(args.grad_dst, i);
    const double x = load(args.src, i);
    store(args.grad_src, i, grad * slope(op, args.scalars, args.of_result != 0, x));
  }
}

}  // namespace polyops::reference
