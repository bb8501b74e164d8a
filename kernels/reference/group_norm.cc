#include "reference/group_norm.h"

#include <cmath>
#include <vector>

#include "reference/elements.h"

namespace polyops::reference {
namespace {

// Elements of a group follow each other, row-major.
struct Groups {
  int64_t rows, n, channels, pixels, width;

  Groups(const polyops_tensor& src, int32_t groups)
      : rows(src.sizes[0] * groups),
        n(src.sizes[1] / groups * src.sizes[2]),
        channels(src.sizes[1]),
        pixels(src.sizes[2]),
        width(src.sizes[1] / groups) {}
  int64_t channel(int64_t row, int64_t i) const { return (row * width + i / pixels) % channels; }
};

double load_or(const polyops_tensor& t, int64_t element, double otherwise) {
  return polyops_is_present(&t) ? load(t, element) : otherwise;
}

void store_if_present(const polyops_tensor& t, int64_t element, long double value) {
  if (polyops_is_present(&t)) store(t, element, static_cast<double>(value));
}

}  // namespace

void group_norm(const polyops_group_norm_args& args) {
  const Groups groups(args.src, args.groups);
  const int64_t n = groups.n;
  for (int64_t row = 0; row < groups.rows; ++row) {
    const auto x = [&](int64_t i) -> long double { return load(args.src, row * n + i); };
    long double mean = 0, rest = 0, var = 0;
    for (int64_t i = 0; i < n; ++i) mean += x(i) / n;
    for (int64_t i = 0; i < n; ++i) rest += (x(i) - mean) / n;
    mean += rest;
    for (int64_t i = 0; i < n; ++i) var += (x(i) - mean) * (x(i) - mean) / n;
    const long double rstd = 1 / std::sqrt(var + args.eps);
    for (int64_t i = 0; i < n; ++i) {
      const int64_t c = groups.channel(row, i);
      const long double y =
          (x(i) - mean) * rstd * load_or(args.weight, c, 1) + load_or(args.bias, c, 0);
      store(args.dst, row * n + i, static_cast<double>(y));
    }
    store(args.mean, row, static_cast<double>(mean));
    store(args.rstd, row, static_cast<double>(rstd));
  }
}

void group_norm_backward(const polyops_group_norm_backward_args& args) {
  const Groups groups(args.src, args.groups);
  const int64_t n = groups.n;
  std::vector<long double> grad_weight(groups.channels), grad_bias(groups.channels);
  for (int64_t row = 0; row < groups.rows; ++row) {
    const long double mean = load(args.mean, row), rstd = load(args.rstd, row);
    const auto grad = [&](int64_t i) -> long double { return load(args.grad_dst, row * n + i); };
    const auto x_hat = [&](int64_t i) { return (load(args.src, row * n + i) - mean) * rstd; };
    const auto g = [&](int64_t i) {
      return grad(i) * load_or(args.weight, groups.channel(row, i), 1);
    };
    long double sum = 0, product = 0;
    for (int64_t i = 0; i < n; ++i) {
      sum += g(i) / n;
      product += g(i) * x_hat(i) / n;
      grad_weight[groups.channel(row, i)] += grad(i) * x_hat(i);
      grad_bias[groups.channel(row, i)] += grad(i);
    }
    for (int64_t i = 0; i < n; ++i) {
      store_if_present(args.grad_src, row * n + i, rstd * (g(i) - sum - x_hat(i) * product));
    }
  }
  for (int64_t c = 0; c < groups.channels; ++c) {
    store_if_present(args.grad_weight, c, grad_weight[c]);
    store_if_present(args.grad_bias, c, grad_bias[c]);
  }
}

}  // namespace polyops::reference
