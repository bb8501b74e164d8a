#include "reference/batch_norm.h"

#include <cmath>

#include "reference/elements.h"

namespace polyops::reference {
namespace {

double load_or(const polyops_tensor& t, int64_t element, double otherwise) {
  return polyops_is_present(&t) ? load(t, element) : otherwise;
}

void store_if_present(const polyops_tensor& t, int64_t element, long double value) {
  if (polyops_is_present(&t)) store(t, element, static_cast<double>(value));
}

// The elements of a channel, in row-major order of samples and pixels.
struct Channel {
  int64_t c, channels, pixels, n;

  Channel(const polyops_tensor& src, int64_t channel)
      : c(channel), channels(src.sizes[1]), pixels(src.sizes[2]), n(src.sizes[0] * src.sizes[2]) {}
  int64_t at(int64_t i) const { return (i / pixels * channels + c) * pixels + i % pixels; }
};

struct Moments {
  long double mean, var;
};

Moments moments_of(const polyops_tensor& src, const Channel& of) {
  long double mean = 0, rest = 0, var = 0;
  for (int64_t i = 0; i < of.n; ++i) mean += load(src, of.at(i));
  mean /= of.n;
  for (int64_t i = 0; i < of.n; ++i) rest += load(src, of.at(i)) - mean;
  mean += rest / of.n;
  for (int64_t i = 0; i < of.n; ++i) {
    const long double d = load(src, of.at(i)) - mean;
    var += d * d;
  }
  return {mean, var / of.n};
}

void update(const polyops_tensor& running, int64_t c, long double value, double momentum) {
  if (!polyops_is_present(&running)) return;
  const long double next = momentum * value + (1 - momentum) * load(running, c);
  store(running, c, static_cast<double>(next));
}

}  // namespace

void batch_norm(const polyops_batch_norm_args& args) {
  for (int64_t c = 0; c < args.src.sizes[1]; ++c) {
    const Channel of(args.src, c);
    const Moments m = args.training != 0
                          ? moments_of(args.src, of)
                          : Moments{load(args.running_mean, c), load(args.running_var, c)};
    const long double rstd = 1 / std::sqrt(m.var + args.eps);
    for (int64_t i = 0; i < of.n; ++i) {
      const long double x = (load(args.src, of.at(i)) - m.mean) * rstd;
      const long double y = x * load_or(args.weight, c, 1) + load_or(args.bias, c, 0);
      store(args.dst, of.at(i), static_cast<double>(y));
    }
    store_if_present(args.mean, c, m.mean);
    store_if_present(args.rstd, c, rstd);
    if (args.training == 0) continue;
    update(args.running_mean, c, m.mean, args.momentum);
    update(args.running_var, c, m.var * of.n / (of.n - 1), args.momentum);
  }
}

void batch_norm_backward(const polyops_batch_norm_backward_args& args) {
  for (int64_t c = 0; c < args.src.sizes[1]; ++c) {
    const Channel of(args.src, c);
    const long double mean = load(args.mean, c), weight = load_or(args.weight, c, 1);
    const long double rstd = polyops_is_present(&args.rstd)
                                 ? static_cast<long double>(load(args.rstd, c))
                                 : 1 / std::sqrt(load(args.var, c) + args.eps);
    const auto grad = [&](int64_t i) -> long double { return load(args.grad_dst, of.at(i)); };
    const auto x_hat = [&](int64_t i) { return (load(args.src, of.at(i)) - mean) * rstd; };
    long double sum = 0, product = 0;
    for (int64_t i = 0; i < of.n; ++i) {
      sum += grad(i);
      product += grad(i) * x_hat(i);
    }
    store_if_present(args.grad_weight, c, product);
    store_if_present(args.grad_bias, c, sum);
    const bool training = args.training != 0;
    for (int64_t i = 0; i < of.n; ++i) {
      const long double shared = training ? sum / of.n + x_hat(i) * product / of.n : 0;
      store_if_present(args.grad_src, of.at(i), rstd * weight * (grad(i) - shared));
    }
  }
}

}  // namespace polyops::reference
