#include "reference/layer_norm.h"

#include <cmath>
#include <vector>

#include "reference/elements.h"
#include "reference/normalized.h"

namespace polyops::reference {
void layer_norm(const polyops_layer_norm_args& args) {
  const int64_t n = row_length(args.src, args.normalized_rank);
  for (int64_t row = 0; row < polyops_numel(&args.src) / n; ++row) {
    long double mean = 0;
    for (int64_t i = 0; i < n; ++i) mean += load(args.src, row * n + i);
    mean /= n;
    // What rounding took from the mean shows in the deviations when it is large beside them.
    long double shift = 0;
    for (int64_t i = 0; i < n; ++i) shift += load(args.src, row * n + i) - mean;
    shift /= n;
    const auto deviation = [&](int64_t i) { return load(args.src, row * n + i) - mean - shift; };
    long double var = 0;
    for (int64_t i = 0; i < n; ++i) var += deviation(i) * deviation(i);
    var /= n;
    const long double rstd = 1 / std::sqrt(var + args.eps);
    for (int64_t i = 0; i < n; ++i) {
      const long double x = deviation(i) * rstd;
      const long double y = x * load_or(args.weight, i, 1) + load_or(args.bias, i, 0);
      store(args.dst, row * n + i, static_cast<double>(y));
    }
    store(args.mean, row, static_cast<double>(mean));
    store(args.rstd, row, static_cast<double>(rstd));
  }
}

void layer_norm_backward(const polyops_layer_norm_backward_args& args) {
  const int64_t n = row_length(args.src, args.normalized_rank);
  std::vector<long double> grad_weight(n), grad_bias(n);
  for (int64_t row = 0; row < polyops_numel(&args.src) / n; ++row) {
    const long double mean = load(args.mean, row);
    const long double rstd = load(args.rstd, row);
    const auto x_hat = [&](int64_t i) { return (load(args.src, row * n + i) - mean) * rstd; };
    long double sum = 0;
    long double product = 0;
    for (int64_t i = 0; i < n; ++i) {
      const long double grad = load(args.grad_dst, row * n + i);
      const long double g = grad * load_or(args.weight, i, 1);
      sum += g;
      product += g * x_hat(i);
      grad_weight[i] += grad * x_hat(i);
      grad_bias[i] += grad;
    }
    for (int64_t i = 0; i < n; ++i) {
      const long double g = load(args.grad_dst, row * n + i) * load_or(args.weight, i, 1);
      const long double grad = rstd * (g - sum / n - x_hat(i) * product / n);
      store_if_present(args.grad_src, row * n + i, static_cast<double>(grad));
    }
  }
  for (int64_t i = 0; i < n; ++i) {
    store_if_present(args.grad_weight, i, static_cast<double>(grad_weight[i]));
    store_if_present(args.grad_bias, i, static_cast<double>(grad_bias[i]));
  }
}

}  // namespace polyops::reference
