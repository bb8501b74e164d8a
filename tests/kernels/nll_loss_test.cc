// nll_loss and its backward: every kernel against the reference in float64.
//
// Bounds: 4 units of float32's epsilon times the sum of the terms' magnitudes, and the rounding of
// the result; of one product, a unit.
#include "reference/nll_loss.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "harness.h"

namespace polyops::testing {
namespace {

constexpr int32_t kDtypes[] = {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16};
constexpr int32_t kReductions[] = {POLYOPS_NLL_LOSS_NONE, POLYOPS_NLL_LOSS_MEAN,
                                   POLYOPS_NLL_LOSS_SUM};

using Sizes = std::vector<int64_t>;

struct Case {
  int64_t samples, classes;
  bool weighted = false;
  int32_t target_type = POLYOPS_INT64;
  int64_t ignored = -100;  // every third sample is, if it is a class or -100
  Sizes src_strides = {};
  int64_t gap = 1;  // strides of target and weight
  int64_t offset = 0;
  int64_t pixels = 0;  // of an image; 0: rows

  Sizes sizes() const {
    return pixels == 0 ? Sizes{samples, classes} : Sizes{samples, classes, pixels};
  }
  Sizes labels() const { return pixels == 0 ? Sizes{samples} : Sizes{samples, pixels}; }
  Sizes label_strides() const { return pixels == 0 ? Sizes{gap} : Sizes{gap * pixels, gap}; }
};

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (int64_t samples : {1, 2, 63, 64, 65, 300, 1025}) {
    cases.push_back({samples, 7, samples % 2 == 0});
  }
  for (int64_t classes : {1, 2, 8, 33, 1000, 5003}) cases.push_back({5, classes, true});
  cases.push_back({8192, 3});
  cases.push_back({8193, 3, true});  // two stages
  cases.push_back({20000, 2, true, POLYOPS_UINT8});
  cases.push_back({40, 10, true, POLYOPS_INT64, 3});
  cases.push_back({40, 10, true, POLYOPS_UINT8, 3});
  cases.push_back({40, 10, false, POLYOPS_INT64, 1000, {1, 40}});
  cases.push_back({40, 10, true, POLYOPS_INT64, -100, {30, 2}, 3, 1});
  cases.push_back({17, 129, true, POLYOPS_INT64, -100, {}, 1, 3});
  for (int64_t pixels : {1, 3, 4, 11, 511, 512, 513, 1023, 1027, 1032}) {
    cases.push_back({2, 5, pixels % 2 == 0, POLYOPS_INT64, 3, {}, 1, 0, pixels});
  }
  for (int64_t classes : {1, 2, 21}) {
    cases.push_back({3, classes, true, POLYOPS_INT64, -100, {}, 1, 1, 8});
    cases.push_back({2, classes, true, POLYOPS_INT64, -100, {classes * 20, 1, classes}, 3, 0, 20});
  }
  cases.push_back({2, 2, true, POLYOPS_UINT8, -100, {}, 1, 0, 4500});  // two stages
  return cases;
}

std::string describe(const Case& c, int32_t dtype, int32_t reduction) {
  return std::string(polyops_dtype_name(dtype)) + " " + std::to_string(c.samples) + "x" +
         std::to_string(c.classes) + " reduction " + std::to_string(reduction);
}

Buffer targets(const Case& c) {
  Buffer target(c.target_type, c.labels(), c.label_strides(), c.offset);
  target.fill([&](int64_t i) {
    if (i % 3 == 1 && (c.ignored < c.classes) && c.target_type == POLYOPS_INT64) return c.ignored;
    return (i * 5 + 1) % std::min<int64_t>(c.classes, 256);
  });
  return target;
}

Buffer weights(const Case& c, int32_t dtype) {
  Buffer weight(dtype, {c.classes}, {c.gap}, c.offset);
  weight.fill([](int64_t i) { return 0.25 + static_cast<double>(i % 5) / 3; });
  return weight;
}

Sizes value_sizes(int32_t reduction, const polyops_tensor& target) {
  if (reduction != POLYOPS_NLL_LOSS_NONE) return {};
  return Sizes(target.sizes, target.sizes + target.rank);
}

// scale: sum of the magnitudes of what was added.
void expect_close(const Buffer& got, const std::vector<double>& expected, double scale) {
  const int32_t dtype = got.view().dtype;
  EXPECT_TRUE(got.guards_intact());
  for (size_t i = 0; i < expected.size(); ++i) {
    const double value = got.get(static_cast<int64_t>(i)), best = in_range(dtype, expected[i]);
    if ((std::isnan(best) && std::isnan(value)) || best == value) continue;
    const double bound = 4 * epsilon(POLYOPS_FLOAT32) * scale + rounding_of(dtype, best);
    ASSERT_LE(std::abs(value - best), bound) << "element " << i << ": " << value << " for " << best;
  }
}

struct Forward {
  Buffer src, target, weight;
  polyops_nll_loss_args args;

  Forward(const Case& c, int32_t dtype, int32_t reduction)
      : src(dtype, c.sizes(), c.src_strides, c.offset),
        target(targets(c)),
        weight(weights(c, dtype)),
        args{sizeof args,
             reduction,
             c.ignored,
             src.view(),
             target.view(),
             c.weighted ? weight.view() : absent(),
             {},
             {}} {
    src.fill_normal(3, 2.0);
  }
};

// Both results of the reference, in float64; the sum of magnitudes of losses, or of weights.
struct Exact {
  Buffer dst, total;
  double scale = 0;

  explicit Exact(polyops_nll_loss_args args)
      : dst(POLYOPS_FLOAT64, value_sizes(args.reduction, args.target)), total(POLYOPS_FLOAT64, {}) {
    args.dst = dst.view();
    args.total_weight = total.view();
    reference::nll_loss(args);
    Buffer each(POLYOPS_FLOAT64, value_sizes(POLYOPS_NLL_LOSS_NONE, args.target)),
        none(POLYOPS_FLOAT64, {});
    args.reduction = POLYOPS_NLL_LOSS_NONE;
    args.dst = each.view();
    args.total_weight = none.view();
    reference::nll_loss(args);
    for (double loss : each.values()) scale += std::isfinite(loss) ? std::abs(loss) : 0;
    scale = std::max(scale, std::abs(total.get(0)));
  }
};

void check_forward(const Forward& call) {
  const polyops_nll_loss_args& given = call.args;
  const Exact exact(given);
  const int32_t dtype = given.src.dtype;
  const Sizes sizes = value_sizes(given.reduction, given.target);
  for (const polyops_kernel* kernel : kernels_of("nll_loss")) {
    SCOPED_TRACE(kernel->name);
    const Buffer dst(dtype, sizes), total(dtype, {});
    polyops_nll_loss_args args = given;
    args.dst = dst.without_data();
    args.total_weight = total.without_data();
    ASSERT_EQ(kernel->supports(&args), nullptr);
    args.dst = dst.view();
    args.total_weight = total.view();
    ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK) << last_error();
    expect_close(dst, exact.dst.values(), exact.scale);
    expect_close(total, exact.total.values(), exact.scale);
  }
}

TEST(NllLoss, MatchesReference) {
  for (const Case& c : all_cases()) {
    for (int32_t dtype : kDtypes) {
      for (int32_t reduction : kReductions) {
        SCOPED_TRACE(describe(c, dtype, reduction));
        check_forward(Forward(c, dtype, reduction));
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST(NllLoss, SpecialValues) {
  for (double special : {std::nan(""), HUGE_VAL, -HUGE_VAL, 3e38}) {
    for (int32_t reduction : kReductions) {
      for (bool at_ignored : {false, true}) {
        Forward call({12, 4, true}, POLYOPS_FLOAT32, reduction);
        const int64_t sample = at_ignored ? 4 : 3;  // 4 has no target, but a row
        for (int64_t k = 0; k < 4; ++k) call.src.set(sample * 4 + k, special);
        check_forward(call);
      }
    }
  }
}

TEST(NllLoss, NothingButIgnoredSamples) {
  for (int32_t reduction : kReductions) {
    Forward call({70, 4, true}, POLYOPS_FLOAT32, reduction);
    call.target.fill([](int64_t) { return -100; });
    check_forward(call);
  }
}

void check_backward(const Case& c, int32_t dtype, int32_t reduction, double grad_value) {
  const Buffer target = targets(c), weight = weights(c, dtype);
  Buffer grad(dtype, value_sizes(reduction, target.view()), {}, c.offset);
  grad.fill([&](int64_t i) { return grad_value * (1 + static_cast<double>(i % 7)); });
  Buffer total(dtype, {}), exact(POLYOPS_FLOAT64, c.sizes());
  total.set(0, static_cast<double>(c.samples) * 0.75);
  polyops_nll_loss_backward_args args = {sizeof args,   reduction,     c.ignored,    grad.view(),
                                         target.view(), weight.view(), total.view(), exact.view()};
  if (!c.weighted) args.weight = absent();
  if (reduction != POLYOPS_NLL_LOSS_MEAN) args.total_weight = absent();
  reference::nll_loss_backward(args);
  for (const polyops_kernel* kernel : kernels_of("nll_loss_backward")) {
    SCOPED_TRACE(kernel->name);
    const Buffer result(dtype, c.sizes(), {}, c.offset);
    args.grad_src = result.without_data();
    ASSERT_EQ(kernel->supports(&args), nullptr);
    args.grad_src = result.view();
    ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK) << last_error();
    expect_close(result, exact.values(), std::isfinite(grad_value) ? 20 * grad_value : 0);
  }
}

TEST(NllLossBackward, MatchesReference) {
  for (const Case& c : all_cases()) {
    for (int32_t dtype : kDtypes) {
      for (int32_t reduction : kReductions) {
        SCOPED_TRACE(describe(c, dtype, reduction));
        check_backward(c, dtype, reduction, 0.7);
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST(NllLossBackward, SpecialGradients) {
  for (double special : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    for (int32_t reduction : kReductions) {
      check_backward({12, 40, true}, POLYOPS_FLOAT32, reduction, special);
    }
  }
}

// On a device its context would be lost, as stock's assertion loses it.
TEST(NllLoss, FailsForTargetsThatAreNoClass) {
  if (on_device()) GTEST_SKIP() << "its context would not outlive it";
  for (int64_t wrong : {int64_t{4}, int64_t{-1}, int64_t{1} << 40, -(int64_t{1} << 40)}) {
    for (int32_t reduction : kReductions) {
      Forward call({12, 4, true}, POLYOPS_FLOAT32, reduction);
      call.target.set(7, static_cast<double>(wrong));
      const Buffer value(POLYOPS_FLOAT32, value_sizes(reduction, call.args.target)),
          total(POLYOPS_FLOAT32, {});
      call.args.dst = value.view();
      call.args.total_weight = total.view();
      for (const polyops_kernel* kernel : kernels_of("nll_loss")) {
        EXPECT_EQ(launch(*kernel, &call.args), POLYOPS_ERROR);
      }
      const Buffer grad(POLYOPS_FLOAT32, {12, 4});
      const polyops_nll_loss_backward_args backward = {
          sizeof backward,    reduction, -100,         value.view(),
          call.target.view(), absent(),  total.view(), grad.view()};
      for (const polyops_kernel* kernel : kernels_of("nll_loss_backward")) {
        EXPECT_EQ(launch(*kernel, &backward), POLYOPS_ERROR);
      }
      EXPECT_TRUE(grad.guards_intact());
    }
  }
}

TEST(NllLoss, DeclinesWhatItDoesNotCompute) {
  const auto reason = [](const auto& change) {
    Forward call({12, 4, true}, POLYOPS_FLOAT32, POLYOPS_NLL_LOSS_MEAN);
    call.args.dst = call.args.total_weight = Buffer(POLYOPS_FLOAT32, {}).without_data();
    change(&call.args);
    const char* said = kernels_of("nll_loss")[0]->supports(&call.args);
    return std::string(said == nullptr ? "" : said);
  };
  using Args = polyops_nll_loss_args*;
  EXPECT_EQ(reason([](Args) {}), "");
  EXPECT_EQ(reason([](Args a) { a->src.dtype = POLYOPS_FLOAT64; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->target.dtype = POLYOPS_FLOAT32; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->weight.dtype = POLYOPS_FLOAT16; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->dst.dtype = POLYOPS_FLOAT16; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->weight.sizes[0] = 3; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->target.sizes[0] = 3; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->reduction = POLYOPS_NLL_LOSS_NONE; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->src.sizes[1] = a->weight.sizes[0] = int64_t{1} << 31; }),
            "size");
}

}  // namespace
}  // namespace polyops::testing
