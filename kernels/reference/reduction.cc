#include "reference/reduction.h"

#include <cmath>
#include <vector>

#include "reference/elements.h"

namespace polyops::reference {
namespace {

// The number of dst's element that src's goes into.
int64_t target_of(const polyops_tensor& src, uint32_t dims, int64_t element) {
  int64_t target = 0, scale = 1;
  for (int32_t d = src.rank - 1; d >= 0; --d) {
    const int64_t place = element % src.sizes[d];
    element /= src.sizes[d];
    if ((dims >> d & 1) != 0) continue;
    target += place * scale;
    scale *= src.sizes[d];
  }
  return target;
}

template <class F>
std::vector<long double> folded(const polyops_reduction_args& args, long double first, F merge) {
  std::vector<long double> all(static_cast<size_t>(polyops_numel(&args.dst)), first);
  for (int64_t i = 0; i < polyops_numel(&args.src); ++i) {
    long double& one = all[static_cast<size_t>(target_of(args.src, args.dims, i))];
    one = merge(one, static_cast<long double>(load(args.src, i)));
  }
  return all;
}

void store_all(const polyops_reduction_args& args, const std::vector<long double>& all,
               long double divisor = 1) {
  for (size_t i = 0; i < all.size(); ++i) {
    store(args.dst, static_cast<int64_t>(i), static_cast<double>(all[i] / divisor));
  }
}

long double add(long double a, long double b) { return a + b; }
long double larger(long double a, long double b) { return std::isnan(a) || a > b ? a : b; }
long double smaller(long double a, long double b) { return std::isnan(a) || a < b ? a : b; }

}  // namespace

void sum(const polyops_reduction_args& args) { store_all(args, folded(args, 0, add)); }

void mean(const polyops_reduction_args& args) {
  const int64_t count = polyops_numel(&args.src) / polyops_numel(&args.dst);
  store_all(args, folded(args, 0, add), static_cast<long double>(count));
}

void amax(const polyops_reduction_args& args) { store_all(args, folded(args, -HUGE_VALL, larger)); }

void amin(const polyops_reduction_args& args) { store_all(args, folded(args, HUGE_VALL, smaller)); }

void any(const polyops_reduction_args& args) {
  store_all(args, folded(args, 0, [](long double a, long double b) { return a != 0 || b != 0; }));
}

void all(const polyops_reduction_args& args) {
  store_all(args, folded(args, 1, [](long double a, long double b) { return a != 0 && b != 0; }));
}

void logsumexp(const polyops_reduction_args& args) {
  std::vector<long double> top = folded(args, -HUGE_VALL, larger);
  for (long double& one : top) one = std::isinf(one) ? 0 : one;
  std::vector<long double> sums(top.size(), 0);
  for (int64_t i = 0; i < polyops_numel(&args.src); ++i) {
    const auto target = static_cast<size_t>(target_of(args.src, args.dims, i));
    sums[target] += std::exp(static_cast<long double>(load(args.src, i)) - top[target]);
  }
  for (size_t i = 0; i < top.size(); ++i) top[i] += std::log(sums[i]);
  store_all(args, top);
}

void var(const polyops_var_args& args, bool root) {
  const size_t results = static_cast<size_t>(polyops_numel(&args.dst));
  const int64_t all = polyops_numel(&args.src);
  const long double count = static_cast<long double>(all / polyops_numel(&args.dst));
  std::vector<long double> mean(results, 0), squares(results, 0);
  for (int64_t i = 0; i < all; ++i) {
    mean[static_cast<size_t>(target_of(args.src, args.dims, i))] +=
        static_cast<long double>(load(args.src, i)) / count;
  }
  for (int64_t i = 0; i < all; ++i) {
    const auto target = static_cast<size_t>(target_of(args.src, args.dims, i));
    const long double d = static_cast<long double>(load(args.src, i)) - mean[target];
    squares[target] += d * d;
  }
  for (size_t i = 0; i < results; ++i) {
    const long double value = squares[i] / (count - static_cast<long double>(args.correction));
    const auto at = static_cast<int64_t>(i);
    store(args.dst, at, static_cast<double>(root ? std::sqrt(value) : value));
    if (polyops_is_present(&args.mean)) store(args.mean, at, static_cast<double>(mean[i]));
  }
}

void vector_norm(const polyops_vector_norm_args& args) {
  const polyops_reduction_args reduction = {sizeof reduction, args.dims, args.src, args.dst};
  const auto order = static_cast<long double>(args.order);
  if (std::isinf(args.order)) {
    const bool largest = args.order > 0;
    store_all(reduction,
              folded(reduction, largest ? 0 : HUGE_VALL, [&](long double a, long double b) {
                return largest ? larger(a, std::abs(b)) : smaller(a, std::abs(b));
              }));
    return;
  }
  std::vector<long double> all = folded(reduction, 0, [&](long double a, long double b) {
    if (args.order == 0) return a + (b != 0 ? 1 : 0);
    return a + std::pow(std::abs(b), order);
  });
  for (long double& one : all) one = args.order == 0 ? one : std::pow(one, 1 / order);
  store_all(reduction, all);
}

}  // namespace polyops::reference
