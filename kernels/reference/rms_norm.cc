#include "reference/rms_norm.h"

#include <cmath>
#include <vector>

#include "reference/elements.h"
#include "reference/normalized.h"

namespace polyops::reference {

void rms_norm(const polyops_rms_norm_args& args) {
  const int64_t n = row_length(args.src, args.normalized_rank);
  for (int64_t row = 0; row < polyops_numel(&args.src) / n; ++row) {
    long double square = 0;
    for (int64_t i = 0; i < n; ++i) {
      const long double x = load(args.src, row * n + i);
      square += x * x;
    }
    const long double rstd = 1 / std::sqrt(square / n + args.eps);
    for (int64_t i = 0; i < n; ++i) {
      const long double x = load(args.src, row * n + i) * rstd;
      store(args.dst, row * n + i, static_cast<double>(x * load_or(args.weight, i, 1)));
    }
    store(args.rstd, row, static_cast<double>(rstd));
  }
}

void rms_norm_backward(const polyops_rms_norm_backward_args& args) {
  const int64_t n = row_length(args.src, args.normalized_rank);
  std::vector<long double> grad_weight(n);
  for (int64_t row = 0; row < polyops_numel(&args.src) / n; ++row) {
    const long double rstd = load(args.rstd, row);
    const auto x_hat = [&](int64_t i) { return load(args.src, row * n + i) * rstd; };
    long double product = 0;
    for (int64_t i = 0; i < n; ++i) {
      const long double grad = load(args.grad_dst, row * n + i);
      product += grad * load_or(args.weight, i, 1) * x_hat(i);
      grad_weight[i] += grad * x_hat(i);
    }
    for (int64_t i = 0; i < n; ++i) {
      const long double g = load(args.grad_dst, row * n + i) * load_or(args.weight, i, 1);
      const long double grad = rstd * (g - x_hat(i) * product / n);
      store_if_present(args.grad_src, row * n + i, static_cast<double>(grad));
    }
  }
  for (int64_t i = 0; i < n; ++i) {
    store_if_present(args.grad_weight, i, static_cast<double>(grad_weight[i]));
  }
}

}  // namespace polyops::reference
