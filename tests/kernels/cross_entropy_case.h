// What the tests of cross_entropy share, of rows and of pixels.
#ifndef POLYOPS_TESTS_KERNELS_CROSS_ENTROPY_CASE_H_
#define POLYOPS_TESTS_KERNELS_CROSS_ENTROPY_CASE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "harness.h"
#include "reference/cross_entropy.h"

namespace polyops::testing {
namespace {

constexpr int32_t kDtypes[] = {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16};
constexpr int32_t kNone = POLYOPS_NLL_LOSS_NONE, kMean = POLYOPS_NLL_LOSS_MEAN,
                  kSum = POLYOPS_NLL_LOSS_SUM;
constexpr double kEpsilon = 0x1p-23;

using Sizes = std::vector<int64_t>;

// got within `bound` of expected, and the rounding.
inline void expect_close(const Buffer& got, const Buffer& expected, double bound) {
  const int32_t dtype = got.view().dtype;
  EXPECT_TRUE(got.guards_intact());
  for (int64_t i = 0; i < got.numel(); ++i) {
    const double value = got.get(i), best = in_range(dtype, expected.get(i));
    if ((std::isnan(best) && std::isnan(value)) || best == value) continue;
    ASSERT_LE(std::abs(value - best), bound + rounding_of(dtype, best))
        << "element " << i << ": " << value << " for " << best;
  }
}

inline double largest(const Buffer& buffer) {
  double most = 0;
  for (double x : buffer.values()) most = std::isfinite(x) ? std::max(most, std::abs(x)) : most;
  return most;
}

// A call and what the reference makes of it, in float64. Of the targets every third is ignored.
struct ForwardCall {
  Buffer src, target, weight, exact, exact_total;
  polyops_cross_entropy_args args;

  template <class Case>
  ForwardCall(const Case& c, int32_t reduction, Buffer&& scores, Buffer&& labels, Buffer&& weights)
      : src(std::move(scores)),
        target(std::move(labels)),
        weight(std::move(weights)),
        exact(POLYOPS_FLOAT64, reduction == kNone ? sizes_of(target) : Sizes{}),
        exact_total(POLYOPS_FLOAT64, {}),
        args{sizeof args, reduction, c.ignored, c.smoothing, {}, {}, absent(), {}, absent(), {}} {
    src.fill_normal(3, 2.0);
    target.fill([&](int64_t i) {
      if (i % 3 == 1 && c.target_type == POLYOPS_INT64) return c.ignored;
      return (i * 5 + 1) % std::min<int64_t>(c.classes, 256);
    });
    weight.fill([](int64_t i) { return 0.25 + static_cast<double>(i % 5) / 3; });
    args.src = src.view();
    args.target = target.view();
    if (c.weighted) args.weight = weight.view();
  }

  // The reference's results, and the sum of the magnitudes of the losses. stats: its own, or
  // absent.
  double compute(const polyops_tensor& stats) {
    polyops_cross_entropy_args exactly = args;
    Buffer each(POLYOPS_FLOAT64, sizes_of(target));
    exactly.stats = stats;
    exactly.total_weight = exact_total.view();
    exactly.reduction = kNone;
    exactly.dst = each.view();
    reference::cross_entropy(exactly);
    exactly.reduction = args.reduction;
    exactly.dst = exact.view();
    reference::cross_entropy(exactly);
    double scale = 0;
    for (double loss : each.values()) scale += std::isfinite(loss) ? std::abs(loss) : 0;
    return scale;
  }

 private:
  static Sizes sizes_of(const Buffer& buffer) {
    const polyops_tensor view = buffer.view();
    return {view.sizes, view.sizes + view.rank};
  }
};

}  // namespace
}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_KERNELS_CROSS_ENTROPY_CASE_H_
