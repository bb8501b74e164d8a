// cross_entropy of images by classes by pixels, and its backward: against the reference in float64.
// Bounds as cross_entropy_test.cc.
#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cross_entropy_case.h"
#include "harness.h"
#include "reference/cross_entropy.h"

namespace polyops::testing {
namespace {

enum class Lie { kContiguous, kGaps, kChannelsLast, kTransposed };

struct Case {
  int64_t images, classes, pixels;
  double smoothing = 0;
  bool weighted = false;
  int64_t ignored = -100;  // every third pixel is
  Lie lie = Lie::kContiguous;
  int64_t offset = 0;
  int32_t target_type = POLYOPS_INT64;
  int64_t apart = 0;  // by how much the gradient is further behind aligned memory than the scores
};

// Each way of reading, at both ends of tiles and of what a thread holds.
std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (int64_t pixels : {1, 3, 4, 127, 129, 512}) cases.push_back({2, 5, pixels});
  for (int64_t classes : {1, 2, 3, 4, 7, 8, 9, 16, 19, 33}) {
    cases.push_back({1, classes, 20, classes % 2 == 0 ? 0.1 : 0, classes % 3 == 0});
    cases.push_back({2, classes, 21, classes % 2 == 0 ? 0 : 0.1, classes % 3 != 0});
  }
  cases.push_back({2, 3, 513, 0, true});  // a tile, and one that ends
  cases.push_back({1, 2, 1028, 0.1});
  cases.push_back({2, 5, 1031, 0, true});  // each plane elsewhere in its 16 bytes
  for (double smoothing : {0.0, 0.3, 1.0}) {
    for (bool weighted : {false, true}) cases.push_back({2, 11, 12, smoothing, weighted});
  }
  for (Lie lie : {Lie::kGaps, Lie::kChannelsLast, Lie::kTransposed}) {
    cases.push_back({2, 9, 24, 0.1, true, 3, lie});
    cases.push_back({2, 5, 515, 0, false, -1, lie});
  }
  cases.push_back({2, 6, 16, 0.1, true, -100, Lie::kContiguous, 1});
  cases.push_back({2, 6, 16, 0, true, 3, Lie::kContiguous, 0, POLYOPS_UINT8});
  cases.push_back({2, 9, 24, 0.1, false, 3, Lie::kChannelsLast});
  cases.push_back({1, 5, 515, 0, false, 3, Lie::kContiguous, 0, POLYOPS_INT64, 1});
  return cases;
}

std::vector<Case> many_classes() {
  return {{1, 150, 20, 0.1, true},
          {1, 131, 7},
          {1, 131, 133},
          {2, 130, 132, 0.1},
          {1, 150, 5},
          {2, 60, 129, 0.1, false, 3, Lie::kChannelsLast},
          {1, 150, 8, 0, true, 3, Lie::kTransposed}};
}

std::string describe(const Case& c, int32_t dtype, int32_t reduction) {
  return std::string(polyops_dtype_name(dtype)) + " " + std::to_string(c.images) + "x" +
         std::to_string(c.classes) + "x" + std::to_string(c.pixels) + " reduction " +
         std::to_string(reduction) + " smoothing " + std::to_string(c.smoothing) +
         (c.weighted ? " weighted" : "") + " lie " + std::to_string(static_cast<int>(c.lie));
}

Sizes strides_of(const Case& c) {
  const int64_t n = c.images, classes = c.classes, pixels = c.pixels;
  if (c.lie == Lie::kGaps) return {classes * (pixels + 4) + 8, pixels + 4, 1};
  if (c.lie == Lie::kChannelsLast) return {pixels * classes, 1, classes};
  if (c.lie == Lie::kTransposed) return {1, n * pixels, n};
  return {};
}

Sizes value_sizes(int32_t reduction, const Case& c) {
  return reduction == kNone ? Sizes{c.images, c.pixels} : Sizes{};
}

const polyops_kernel& kernel_of(const char* op) {
  for (const polyops_kernel* kernel : kernels_of(op)) {
    if (std::string(kernel->name).find("pixels") != std::string::npos) return *kernel;
  }
  throw std::runtime_error("no kernel of pixels");
}

struct Forward : ForwardCall {
  Forward(const Case& c, int32_t dtype, int32_t reduction)
      : ForwardCall(c, reduction,
                    Buffer(dtype, {c.images, c.classes, c.pixels}, strides_of(c), c.offset),
                    Buffer(c.target_type, {c.images, c.pixels}, {}, c.offset),
                    Buffer(dtype, {c.classes}, {2}, c.offset)) {}

  double compute() { return ForwardCall::compute(absent()) + largest(src); }
};

void check_forward(Forward&& call, const Case& c) {
  const double scale = call.compute();
  polyops_cross_entropy_args args = call.args;
  const int32_t dtype = args.src.dtype;
  const bool mean = args.reduction == kMean;
  const polyops_kernel& kernel = kernel_of("cross_entropy");
  const Buffer dst(dtype, value_sizes(args.reduction, c));
  const Buffer total(POLYOPS_FLOAT32, {});
  args.dst = dst.without_data();
  args.total_weight = mean ? total.without_data() : absent();
  ASSERT_EQ(kernel.supports(&args), nullptr);
  args.dst = dst.view();
  if (mean) args.total_weight = total.view();
  ASSERT_EQ(launch(kernel, &args), POLYOPS_OK) << last_error();
  expect_close(dst, call.exact, 16 * kEpsilon * scale);
  if (mean) expect_close(total, call.exact_total, 16 * kEpsilon * largest(call.exact_total));
}

TEST(CrossEntropyPixels, MatchesReference) {
  for (const Case& c : all_cases()) {
    for (int32_t dtype : kDtypes) {
      for (int32_t reduction : {kNone, kMean, kSum}) {
        SCOPED_TRACE(describe(c, dtype, reduction));
        check_forward(Forward(c, dtype, reduction), c);
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST(CrossEntropyPixels, ManyClasses) {
  for (const Case& c : many_classes()) {
    for (int32_t dtype : kDtypes) {
      SCOPED_TRACE(describe(c, dtype, kMean));
      check_forward(Forward(c, dtype, kMean), c);
    }
  }
}

TEST(CrossEntropyPixels, SpecialValues) {
  for (double special : {std::nan(""), HUGE_VAL, -HUGE_VAL, 3e4, -3e4}) {
    for (int32_t dtype : kDtypes) {
      for (const Case& c : {Case{1, 9, 5, 0, true}, Case{1, 9, 5, 0.1, true}, Case{1, 9, 5}}) {
        for (int64_t at : {0, 3, 8}) {
          const int32_t reduction = c.weighted ? kNone : kSum;
          Forward call(c, dtype, reduction);
          call.src.set(at * 5 + 2, special);
          call.src.set(at * 5 + 4, special);  // which is ignored
          check_forward(std::move(call), c);
        }
      }
    }
  }
}

TEST(CrossEntropyPixels, NothingButMinusInfinityIsNaN) {
  const Case c = {1, 9, 6};
  Forward call(c, POLYOPS_FLOAT32, kNone);
  for (int64_t k = 0; k < 9; ++k) call.src.set(k * 6 + 2, -HUGE_VAL);
  check_forward(std::move(call), c);
}

TEST(CrossEntropyPixels, NothingButIgnored) {
  for (int32_t reduction : {kNone, kMean, kSum}) {
    const Case c = {2, 4, 70, 0.1, true};
    Forward call(c, POLYOPS_FLOAT32, reduction);
    call.target.fill([](int64_t) { return -100; });
    check_forward(std::move(call), c);
  }
}

void check_backward(const Case& c, int32_t dtype, int32_t reduction, double grad_value,
                    double special = 0) {
  Forward call(c, dtype, reduction);
  if (special != 0) {
    for (int64_t i = 1; i < c.pixels; i += 3) call.src.set(i, special);
    call.src.set(0, special);
  }
  call.compute();
  Buffer total(POLYOPS_FLOAT32, {}), grad(dtype, value_sizes(reduction, c), {}, c.offset);
  total.set(0, reduction == kMean ? call.exact_total.get(0) : 0);
  grad.fill([&](int64_t i) { return grad_value * (1 + static_cast<double>(i % 7)); });
  const Sizes sizes = {c.images, c.classes, c.pixels};
  const Buffer exact(POLYOPS_FLOAT64, sizes);
  polyops_cross_entropy_backward_args args = {
      sizeof args,      reduction,        c.ignored, c.smoothing,  grad.view(), call.src.view(),
      call.args.target, call.args.weight, absent(),  total.view(), exact.view()};
  if (reduction != kMean) args.total_weight = absent();
  reference::cross_entropy_backward(args);
  const double scale = largest(exact) + (std::isfinite(grad_value) ? std::abs(grad_value) : 0);
  const polyops_kernel& kernel = kernel_of("cross_entropy_backward");
  const Buffer result(dtype, sizes, {}, c.offset + c.apart);
  args.grad_src = result.without_data();
  ASSERT_EQ(kernel.supports(&args), nullptr);
  args.grad_src = result.view();
  ASSERT_EQ(launch(kernel, &args), POLYOPS_OK) << last_error();
  expect_close(result, exact, 16 * kEpsilon * scale);
}

TEST(CrossEntropyPixelsBackward, MatchesReference) {
  for (const Case& c : all_cases()) {
    for (int32_t dtype : kDtypes) {
      for (int32_t reduction : {kNone, kMean, kSum}) {
        SCOPED_TRACE(describe(c, dtype, reduction));
        check_backward(c, dtype, reduction, 0.7);
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

// Fewer pixels to a tile; more than fit a tile, or are parked: some are read again.
TEST(CrossEntropyPixelsBackward, ManyClasses) {
  for (const Case& c : many_classes()) {
    for (int32_t dtype : kDtypes) check_backward(c, dtype, kMean, 1);
  }
}

TEST(CrossEntropyPixelsBackward, SpecialValues) {
  for (double special : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    for (int32_t dtype : kDtypes) {
      check_backward({2, 9, 6, 0.1, true}, dtype, kMean, special);
      check_backward({2, 9, 6}, dtype, kSum, special);
      check_backward({2, 9, 6, 0.1}, dtype, kNone, 1, special);
      check_backward({1, 41, 67}, dtype, kNone, 1, special);  // groups
    }
  }
}

// Two largest scores of nine, as far above the others as can be.
TEST(CrossEntropyPixels, LargestNumbers) {
  for (double largest : {3e38, 1e33, 1e6}) {
    Forward call({1, 9, 5}, POLYOPS_BFLOAT16, kNone);
    call.src.fill([&](int64_t i) { return i / 5 == 4 || i / 5 == 7 ? largest : -largest; });
    call.target.fill([](int64_t) { return 4; });
    const Buffer dst(POLYOPS_BFLOAT16, {1, 5}), result(POLYOPS_BFLOAT16, {1, 9, 5});
    Buffer grad(POLYOPS_BFLOAT16, {1, 5});
    grad.fill([](int64_t) { return 1; });
    call.args.dst = dst.view();
    call.args.total_weight = absent();
    ASSERT_EQ(launch(kernel_of("cross_entropy"), &call.args), POLYOPS_OK) << last_error();
    const polyops_cross_entropy_backward_args backward = {
        sizeof backward,  kNone,    -100,     0,        grad.view(),  call.src.view(),
        call.args.target, absent(), absent(), absent(), result.view()};
    ASSERT_EQ(launch(kernel_of("cross_entropy_backward"), &backward), POLYOPS_OK) << last_error();
    for (int64_t i = 0; i < 5; ++i) EXPECT_NEAR(dst.get(i), std::log(2), 4e-3);
    for (int64_t i = 0; i < 45; ++i) {
      EXPECT_EQ(result.get(i), i / 5 == 4 ? -0.5 : i / 5 == 7 ? 0.5 : 0) << i;
    }
  }
}

// On a device its context would be lost, as stock's assertion loses it.
TEST(CrossEntropyPixels, FailsForTargetsThatAreNoClass) {
  if (on_device()) GTEST_SKIP() << "its context would not outlive it";
  for (int64_t wrong : {int64_t{9}, int64_t{-1}, int64_t{1} << 40, -(int64_t{1} << 40)}) {
    Forward call({2, 9, 6}, POLYOPS_FLOAT32, kSum);
    call.target.set(6, static_cast<double>(wrong));
    const Buffer value(POLYOPS_FLOAT32, {}), grad(POLYOPS_FLOAT32, {2, 9, 6});
    call.args.dst = value.view();
    call.args.total_weight = absent();
    EXPECT_EQ(launch(kernel_of("cross_entropy"), &call.args), POLYOPS_ERROR);
    const polyops_cross_entropy_backward_args backward = {
        sizeof backward,    kSum,     -100,     0,        value.view(), call.src.view(),
        call.target.view(), absent(), absent(), absent(), grad.view()};
    EXPECT_EQ(launch(kernel_of("cross_entropy_backward"), &backward), POLYOPS_ERROR);
    EXPECT_TRUE(grad.guards_intact());
  }
}

TEST(CrossEntropyPixels, DeclinesWhatItDoesNotCompute) {
  const auto reason = [](const auto& change) {
    Forward call({2, 4, 6, 0.1, true}, POLYOPS_FLOAT32, kMean);
    call.args.dst = Buffer(POLYOPS_FLOAT32, {}).without_data();
    call.args.total_weight = absent();
    change(&call.args);
    const char* said = kernel_of("cross_entropy").supports(&call.args);
    return std::string(said == nullptr ? "" : said);
  };
  using Args = polyops_cross_entropy_args*;
  EXPECT_EQ(reason([](Args) {}), "");
  EXPECT_EQ(reason([](Args a) { a->src.rank = 2; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->src.dtype = POLYOPS_FLOAT64; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->target.dtype = POLYOPS_FLOAT32; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->weight.dtype = POLYOPS_FLOAT16; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->dst.dtype = POLYOPS_FLOAT16; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->weight.sizes[0] = 3; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->target.sizes[1] = 3; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->target.strides[0] = 7; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->reduction = kNone; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->src.sizes[1] = a->weight.sizes[0] = 5000; }), "classes");
  EXPECT_EQ(reason([](Args a) { a->stats = a->dst; }), "stats");
  EXPECT_EQ(reason([](Args a) { a->label_smoothing = -0.5; }), "label smoothing");
}

}  // namespace
}  // namespace polyops::testing
