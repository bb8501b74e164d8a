// cross_entropy and its backward: every kernel against the reference in float64.
//
// Bounds, in units of float32's epsilon: of a loss 16 times its terms' magnitudes (exponents of
// 2^-24 of the distance to the largest score, in bfloat16 5e-6 of one that is a few; sums, a
// logarithm); of a gradient 16 times its largest term, and as much again for each unit of distance;
// and the rounding of the result.
#include "reference/cross_entropy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "cross_entropy_case.h"
#include "harness.h"

namespace polyops::testing {
namespace {

struct Case {
  int64_t samples, classes;
  double smoothing = 0;
  bool weighted = false;
  int64_t ignored = -100;  // every third sample is
  int64_t gap = 1;         // strides of target and weight
  int64_t offset = 0;
  int64_t row_gap = 0;  // between rows
  int32_t target_type = POLYOPS_INT64;
};

// Each length class of rows, at both ends of it.
std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (int64_t samples : {1, 2, 31, 33, 130}) cases.push_back({samples, 7, 0, samples % 2 == 0});
  for (int64_t classes :
       {1, 2, 8, 10, 21, 64, 127, 128, 129, 257, 511, 512, 513, 1000, 1025, 1031}) {
    cases.push_back({4, classes, classes % 2 == 0 ? 0.1 : 0, classes % 3 == 0});
  }
  for (int64_t classes : {2047, 2048, 2049, 4100, 5003}) cases.push_back({2, classes});
  for (double smoothing : {0.0, 0.3, 1.0}) {
    for (bool weighted : {false, true}) {
      cases.push_back({5, 40, smoothing, weighted});
      cases.push_back({3, 1501, smoothing, weighted, -100, 1, 3});
    }
  }
  cases.push_back({1100, 5, 0.1, true});  // more parts than the last kernel has threads, almost
  cases.push_back({40, 10, 0.1, true, 3, 3, 1, 5});
  cases.push_back({40, 10, 0, true, 3, 1, 0, 0, POLYOPS_UINT8});
  cases.push_back({257, 21, 0.1, true});
  cases.push_back({129, 31});
  cases.push_back({6, 1032, 0, false, -1, 2, 0, 8});
  return cases;
}

// All but those of pixels, which cross_entropy_pixels_test.cc tests.
std::vector<const polyops_kernel*> rows_kernels(const char* op) {
  std::vector<const polyops_kernel*> kernels;
  for (const polyops_kernel* kernel : kernels_of(op)) {
    if (std::string(kernel->name).find("pixels") == std::string::npos) kernels.push_back(kernel);
  }
  return kernels;
}

std::string describe(const Case& c, int32_t dtype, int32_t reduction) {
  return std::string(polyops_dtype_name(dtype)) + " " + std::to_string(c.samples) + "x" +
         std::to_string(c.classes) + " reduction " + std::to_string(reduction) + " smoothing " +
         std::to_string(c.smoothing) + (c.weighted ? " weighted" : "");
}

Sizes value_sizes(int32_t reduction, int64_t samples) {
  return reduction == kNone ? Sizes{samples} : Sizes{};
}

struct Forward : ForwardCall {
  Buffer exact_stats;

  Forward(const Case& c, int32_t dtype, int32_t reduction)
      : ForwardCall(c, reduction,
                    Buffer(dtype, {c.samples, c.classes}, {c.classes + c.row_gap, 1}, c.offset),
                    Buffer(c.target_type, {c.samples}, {c.gap}, c.offset),
                    Buffer(dtype, {c.classes}, {c.gap}, c.offset)),
        exact_stats(POLYOPS_FLOAT64, {c.samples, POLYOPS_CROSS_ENTROPY_STATS}) {}

  double compute() { return ForwardCall::compute(exact_stats.view()); }
};

void check_forward(Forward&& call, bool with_stats = true) {
  const double scale = call.compute();
  polyops_cross_entropy_args args = call.args;
  const int32_t dtype = args.src.dtype;
  const bool mean = args.reduction == kMean;
  for (const polyops_kernel* kernel : rows_kernels("cross_entropy")) {
    SCOPED_TRACE(kernel->name);
    const Buffer dst(dtype, value_sizes(args.reduction, args.src.sizes[0]));
    const Buffer stats(POLYOPS_FLOAT32, {args.src.sizes[0], POLYOPS_CROSS_ENTROPY_STATS});
    const Buffer total(POLYOPS_FLOAT32, {});
    args.dst = dst.without_data();
    args.stats = with_stats ? stats.without_data() : absent();
    args.total_weight = with_stats && mean ? total.without_data() : absent();
    ASSERT_EQ(kernel->supports(&args), nullptr);
    args.dst = dst.view();
    if (with_stats) args.stats = stats.view();
    if (with_stats && mean) args.total_weight = total.view();
    ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK) << last_error();
    expect_close(dst, call.exact, 16 * kEpsilon * (scale + largest(call.exact_stats)));
    if (!with_stats) continue;
    expect_close(stats, call.exact_stats, 16 * kEpsilon * largest(call.exact_stats));
    if (mean) expect_close(total, call.exact_total, 16 * kEpsilon * largest(call.exact_total));
  }
}

TEST(CrossEntropy, MatchesReference) {
  for (const Case& c : all_cases()) {
    for (int32_t dtype : kDtypes) {
      for (int32_t reduction : {kNone, kMean, kSum}) {
        SCOPED_TRACE(describe(c, dtype, reduction));
        check_forward(Forward(c, dtype, reduction));
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

// A cluster of blocks for each, with turns of different lengths.
TEST(CrossEntropy, LongRows) {
  for (const Case& c : {Case{1, 40000, 0.1, true}, Case{2, 33001}, Case{3, 16400, 0.1}}) {
    for (int32_t dtype : {POLYOPS_FLOAT32, POLYOPS_BFLOAT16}) {
      SCOPED_TRACE(describe(c, dtype, kMean));
      check_forward(Forward(c, dtype, kMean));
    }
  }
}

// So many that a block has several shelves of them, the last one with one.
TEST(CrossEntropy, ManyShortRows) {
  check_forward(Forward({2 * 2048 * 128 + 5, 2}, POLYOPS_FLOAT32, kSum), false);
}

TEST(CrossEntropy, WithoutStats) {
  for (int32_t reduction : {kNone, kMean, kSum}) {
    check_forward(Forward({5, 40}, POLYOPS_FLOAT32, reduction), false);
  }
}

TEST(CrossEntropy, SpecialValues) {
  for (int64_t classes : {9, 33, 1100}) {
    for (double special : {std::nan(""), HUGE_VAL, -HUGE_VAL, 3e4, -3e4}) {
      for (const auto& [smoothing, dtype] : {std::pair{0.0, POLYOPS_FLOAT32},
                                             {0.0, POLYOPS_BFLOAT16},
                                             {0.1, POLYOPS_FLOAT32},
                                             {0.1, POLYOPS_FLOAT16}}) {
        for (int64_t at : {int64_t{0}, int64_t{3}, int64_t{8}, classes - 1}) {
          Forward call({5, classes, smoothing, true}, dtype, kNone);
          call.src.set(2 * classes + at, special);
          call.src.set(4 * classes + at, special);  // which is ignored
          check_forward(std::move(call));
        }
      }
    }
  }
}

// Elements that are compared two by two, some of which are NaN: the largest is among the others.
TEST(CrossEntropy, LargestBesideNaN) {
  for (int64_t classes : {9, 21, 32, 33, 1100}) {
    for (int32_t dtype : {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16}) {
      SCOPED_TRACE(describe({5, classes}, dtype, kNone));
      for (int64_t at : {0, 3, 4, 8}) {
        for (int64_t distance : {1, 2, 8, 256}) {
          Forward call({5, classes}, dtype, kNone);
          call.src.set(2 * classes + at, std::nan(""));
          call.src.set(2 * classes + (at + distance) % classes, 20);
          check_forward(std::move(call));
        }
      }
    }
  }
}

TEST(CrossEntropy, RowsOfNothingButMinusInfinityAreNaN) {
  for (int64_t classes : {9, 10, 33, 1100}) {
    for (int32_t dtype : {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16}) {
      SCOPED_TRACE(describe({3, classes}, dtype, kNone));
      Forward call({3, classes}, dtype, kNone);
      for (int64_t k = 0; k < classes; ++k) call.src.set(2 * classes + k, -HUGE_VAL);
      check_forward(std::move(call), false);
    }
  }
}

// Two largest scores, as far above the others as can be.
TEST(CrossEntropy, LargestNumbers) {
  for (int64_t classes : {9, 10, 33, 1100}) {
    for (double largest : {3e38, 1e33, 1e12, 4e9, 1.2e8, 6.8e7, 4e7, 1e6, -1e12}) {
      Forward call({3, classes}, POLYOPS_BFLOAT16, kNone);
      call.src.fill([&](int64_t i) {
        const int64_t k = i % classes;
        return k == 4 || k == 7 ? largest : largest > 0 ? -largest : 2 * largest;
      });
      call.target.fill([](int64_t) { return 4; });
      const Buffer dst(POLYOPS_BFLOAT16, {3});
      call.args.dst = dst.view();
      for (const polyops_kernel* kernel : rows_kernels("cross_entropy")) {
        ASSERT_EQ(launch(*kernel, &call.args), POLYOPS_OK) << last_error();
        for (int64_t i = 0; i < 3; ++i) EXPECT_NEAR(dst.get(i), std::log(2), 4e-3);
      }
    }
  }
}

// What a mask of the least number adds to a smoothed loss, which is finite.
TEST(CrossEntropy, SmoothedLeastNumber) {
  for (int64_t classes : {9, 33, 1100}) {
    for (int32_t dtype : {POLYOPS_FLOAT32, POLYOPS_BFLOAT16}) {
      Forward call({3, classes, 0.1}, dtype, kNone);
      call.src.set(2 * classes + 5, -3.38e38);
      check_forward(std::move(call));
    }
  }
}

TEST(CrossEntropy, NothingButIgnoredSamples) {
  for (int32_t reduction : {kNone, kMean, kSum}) {
    Forward call({70, 4, 0.1, true}, POLYOPS_FLOAT32, reduction);
    call.target.fill([](int64_t) { return -100; });
    check_forward(std::move(call));
  }
}

void check_backward(const Case& c, int32_t dtype, int32_t reduction, double grad_value,
                    double special = 0) {
  Forward call(c, dtype, reduction);
  if (special != 0) {
    for (int64_t i = 1; i < c.samples; i += 3) call.src.set(i * c.classes, special);
    call.src.set(0, special);
  }
  call.compute();
  Buffer stats(POLYOPS_FLOAT32, {c.samples, POLYOPS_CROSS_ENTROPY_STATS}),
      total(POLYOPS_FLOAT32, {}), grad(dtype, value_sizes(reduction, c.samples), {}, c.offset);
  stats.fill([&](int64_t i) { return call.exact_stats.get(i); });
  total.set(0, reduction == kMean ? call.exact_total.get(0) : 0);
  grad.fill([&](int64_t i) { return grad_value * (1 + static_cast<double>(i % 7)); });
  const Buffer exact(POLYOPS_FLOAT64, {c.samples, c.classes});
  polyops_cross_entropy_backward_args args = {
      sizeof args,      reduction,        c.ignored,    c.smoothing,  grad.view(), call.src.view(),
      call.args.target, call.args.weight, stats.view(), total.view(), exact.view()};
  if (reduction != kMean) args.total_weight = absent();
  reference::cross_entropy_backward(args);
  const double scale = largest(exact) + (std::isfinite(grad_value) ? std::abs(grad_value) : 0);
  for (const polyops_kernel* kernel : rows_kernels("cross_entropy_backward")) {
    SCOPED_TRACE(kernel->name);
    const Buffer result(dtype, {c.samples, c.classes}, {}, c.offset);
    args.grad_src = result.without_data();
    ASSERT_EQ(kernel->supports(&args), nullptr);
    args.grad_src = result.view();
    ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK) << last_error();
    expect_close(result, exact, 16 * kEpsilon * scale);
  }
}

TEST(CrossEntropyBackward, MatchesReference) {
  for (const Case& c : all_cases()) {
    for (int32_t dtype : kDtypes) {
      for (int32_t reduction : {kNone, kMean, kSum}) {
        SCOPED_TRACE(describe(c, dtype, reduction));
        check_backward(c, dtype, reduction, 0.7);
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
  check_backward({2, 20001, 0.1}, POLYOPS_BFLOAT16, kMean, 1);  // chunks of a row
  check_backward({2, 9001, 0.1, true}, POLYOPS_FLOAT32, kMean, 1);
}

TEST(CrossEntropyBackward, SpecialValues) {
  for (double special : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    for (int64_t classes : {9, 33, 1100}) {
      check_backward({6, classes, 0.1, true}, POLYOPS_FLOAT32, kMean, special);
      check_backward({6, classes}, POLYOPS_FLOAT32, kSum, special);
      check_backward({6, classes, 0.1}, POLYOPS_FLOAT32, kNone, 1, special);
      check_backward({6, classes}, POLYOPS_BFLOAT16, kNone, 1, special);
    }
  }
}

// On a device its context would be lost, as stock's assertion loses it.
TEST(CrossEntropy, FailsForTargetsThatAreNoClass) {
  if (on_device()) GTEST_SKIP() << "its context would not outlive it";
  for (int64_t wrong : {int64_t{9}, int64_t{-1}, int64_t{1} << 40, -(int64_t{1} << 40)}) {
    for (int64_t classes : {int64_t{9}, int64_t{33}, int64_t{1100}}) {
      Forward call({12, classes}, POLYOPS_FLOAT32, kSum);
      call.target.set(6, static_cast<double>(wrong == 9 ? classes : wrong));
      const Buffer value(POLYOPS_FLOAT32, {}), grad(POLYOPS_FLOAT32, {12, classes});
      const Buffer stats(POLYOPS_FLOAT32, {12, POLYOPS_CROSS_ENTROPY_STATS});
      call.args.dst = value.view();
      call.args.stats = stats.view();
      call.args.total_weight = absent();
      for (const polyops_kernel* kernel : rows_kernels("cross_entropy")) {
        EXPECT_EQ(launch(*kernel, &call.args), POLYOPS_ERROR);
      }
      const polyops_cross_entropy_backward_args backward = {
          sizeof backward,    kSum,     -100,         0,        value.view(), call.src.view(),
          call.target.view(), absent(), stats.view(), absent(), grad.view()};
      for (const polyops_kernel* kernel : rows_kernels("cross_entropy_backward")) {
        EXPECT_EQ(launch(*kernel, &backward), POLYOPS_ERROR);
      }
      EXPECT_TRUE(grad.guards_intact());
    }
  }
}

TEST(CrossEntropy, DeclinesWhatItDoesNotCompute) {
  const auto reason = [](const auto& change) {
    Forward call({12, 4, 0.1, true}, POLYOPS_FLOAT32, kMean);
    call.args.dst = Buffer(POLYOPS_FLOAT32, {}).without_data();
    call.args.stats = Buffer(POLYOPS_FLOAT32, {12, 3}).without_data();
    call.args.total_weight = absent();
    change(&call.args);
    const char* said = rows_kernels("cross_entropy")[0]->supports(&call.args);
    return std::string(said == nullptr ? "" : said);
  };
  using Args = polyops_cross_entropy_args*;
  EXPECT_EQ(reason([](Args) {}), "");
  EXPECT_EQ(reason([](Args a) { a->src.dtype = POLYOPS_FLOAT64; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->target.dtype = POLYOPS_FLOAT32; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->weight.dtype = POLYOPS_FLOAT16; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->dst.dtype = POLYOPS_FLOAT16; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->weight.sizes[0] = 3; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->target.sizes[0] = 3; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->reduction = kNone; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->src.strides[1] = 2; }), "layout");
  EXPECT_EQ(reason([](Args a) { a->stats.sizes[1] = 2; }), "stats");
  EXPECT_EQ(reason([](Args a) { a->label_smoothing = -0.5; }), "label smoothing");
  EXPECT_EQ(reason([](Args a) { a->label_smoothing = std::nan(""); }), "label smoothing");
}

}  // namespace
}  // namespace polyops::testing
