#include "reference/extreme.h"

#include <cmath>

#include "reference/elements.h"

namespace polyops::reference {
namespace {

// sign: 1 for the largest, -1 for the smallest.
void find(const polyops_extreme_args& args, double sign) {
  const polyops_tensor& src = args.src;
  const int64_t n = src.rank == 0 ? 1 : src.sizes[args.dim];
  int64_t inner = 1;  // results that follow each other before the dimension moves on
  for (int32_t d = args.dim + 1; d < src.rank; ++d) inner *= src.sizes[d];
  for (int64_t i = 0; i < polyops_numel(&args.indices); ++i) {
    const int64_t start = i / inner * n * inner + i % inner;
    int64_t best = 0;
    double value = sign * load(src, start);
    for (int64_t k = 1; k < n && !std::isnan(value); ++k) {
      const double x = sign * load(src, start + k * inner);
      if (x <= value) continue;
      best = k;
      value = x;
    }
    store(args.indices, i, static_cast<double>(best));
    if (polyops_is_present(&args.values)) store(args.values, i, load(src, start + best * inner));
  }
}

}  // namespace

void argmax(const polyops_extreme_args& args) { find(args, 1); }
void argmin(const polyops_extreme_args& args) { find(args, -1); }

}  // namespace polyops::reference
