#include "reference/reduction.h"

#include <cmath>
#include <vector>

#include "reference/elements.h"

namespace polyops::reference {
namespace {

// The number of dst's element that src's goes into.
int64_t target_of(const polyops_reduction_args& args, int64_t element) {
  int64_t target = 0, scale = 1;
  for (int32_t d = args.src.rank - 1; d >= 0; --d) {
    const int64_t place = element % args.src.sizes[d];
    element /= args.src.sizes[d];
    if ((args.dims >> d & 1) != 0) continue;
    target += place * scale;
    scale *= args.src.sizes[d];
  }
  return target;
}

template <class F>
std::vector<long double> folded(const polyops_reduction_args& args, long double first, F merge) {
  std::vector<long double> all(static_cast<size_t>(polyops_numel(&args.dst)), first);
  for (int64_t i = 0; i < polyops_numel(&args.src); ++i) {
    long double& one = all[static_cast<size_t>(target_of(args, i))];
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

}  // namespace polyops::reference
