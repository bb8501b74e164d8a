// var, std, var_mean, std_mean and logsumexp, which are folded by several numbers: every kernel
// against the reference in float64.
//
// Bounds, of float32's epsilon: a mean is off by 4 units of the largest magnitude, a deviation by
// that and 8 of itself, a variance by its square's share of both; a logarithm by 4 of the largest
// magnitude and of that of the number of elements; all by the rounding of the result.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "harness.h"
#include "reduction_case.h"
#include "reference/reduction.h"

namespace polyops::testing {
namespace {

constexpr int32_t kDtypes[] = {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16};

enum class Kind { kVar, kStd, kLog };
struct Op {
  const char* name;
  Kind kind;
  bool mean = false;
};
constexpr Op kOps[] = {{"var", Kind::kVar},
                       {"std", Kind::kStd},
                       {"var_mean", Kind::kVar, true},
                       {"std_mean", Kind::kStd, true},
                       {"logsumexp", Kind::kLog}};

struct Outputs {
  Buffer dst, mean;
  Outputs(int32_t dtype, const Case& c)
      : dst(dtype, kept_sizes(c), c.dst_strides, c.dst_offset),
        mean(dtype, kept_sizes(c), c.dst_strides, c.dst_offset) {}
};

polyops_var_args var_args(const Op& op, const Case& c, double correction, const Buffer& src,
                          const polyops_tensor& dst, const polyops_tensor& mean) {
  return {sizeof(polyops_var_args), c.dims, correction, src.view(), dst, op.mean ? mean : absent()};
}

void run_reference(const Op& op, const Case& c, double correction, const Buffer& src,
                   const Outputs& to) {
  if (op.kind == Kind::kLog) {
    reference::logsumexp({sizeof(polyops_reduction_args), c.dims, src.view(), to.dst.view()});
  } else {
    reference::var(var_args(op, c, correction, src, to.dst.view(), to.mean.view()),
                   op.kind == Kind::kStd);
  }
}

void run_kernel(const polyops_kernel& kernel, const Op& op, const Case& c, double correction,
                const Buffer& src, const Outputs& to) {
  if (op.kind == Kind::kLog) {
    polyops_reduction_args args = {sizeof args, c.dims, src.view(), to.dst.without_data()};
    ASSERT_EQ(kernel.supports(&args), nullptr);
    args.dst = to.dst.view();
    ASSERT_EQ(launch(kernel, &args), POLYOPS_OK) << last_error();
  } else {
    polyops_var_args args =
        var_args(op, c, correction, src, to.dst.without_data(), to.mean.without_data());
    ASSERT_EQ(kernel.supports(&args), nullptr);
    args = var_args(op, c, correction, src, to.dst.view(), to.mean.view());
    ASSERT_EQ(launch(kernel, &args), POLYOPS_OK) << last_error();
  }
}

double bound_of(const Op& op, double best, double largest, int64_t count) {
  const double unit = epsilon(POLYOPS_FLOAT32), off = 4 * unit * largest;
  if (op.kind == Kind::kVar) return 16 * unit * best + off * (2 * std::sqrt(best) + off);
  if (op.kind == Kind::kStd) return 8 * unit * std::abs(best) + off;
  return off + 4 * unit * std::log(static_cast<double>(count) + 1);
}

// A variance that float32, in which it is computed, has no room for is infinite.
double of_float(double x) {
  return std::abs(x) > std::numeric_limits<float>::max() ? std::copysign(HUGE_VAL, x) : x;
}

void expect_close(const Buffer& got, const Buffer& exact, const std::vector<double>& bounds) {
  const int32_t dtype = got.view().dtype;
  EXPECT_TRUE(got.guards_intact());
  for (int64_t i = 0; i < got.numel(); ++i) {
    const double value = got.get(i), best = in_range(dtype, of_float(exact.get(i)));
    if ((std::isnan(best) && std::isnan(value)) || best == value) continue;
    const double bound = bounds[static_cast<size_t>(i)] + rounding_of(dtype, best);
    ASSERT_LE(std::abs(value - best), bound) << "element " << i << ": " << value << " for " << best;
  }
}

double largest_of(const Buffer& src) {
  double largest = 0;
  for (int64_t i = 0; i < src.numel(); ++i) {
    if (std::isfinite(src.get(i))) largest = std::max(largest, std::abs(src.get(i)));
  }
  return largest;
}

void check(const Op& op, const Case& c, const Buffer& src, double correction = 1) {
  const int32_t dtype = src.view().dtype;
  SCOPED_TRACE(describe(op.name, c, dtype));
  Case plain = c;
  plain.dst_strides = {};
  plain.dst_offset = 0;
  const Outputs exact(POLYOPS_FLOAT64, plain);
  const int64_t count = src.numel() / exact.dst.numel();
  if (op.kind != Kind::kLog && static_cast<double>(count) <= correction) return;
  run_reference(op, c, correction, src, exact);
  const double largest = largest_of(src);
  std::vector<double> bounds, of_mean;
  for (int64_t i = 0; i < exact.dst.numel(); ++i) {
    const double best = exact.dst.get(i);
    bounds.push_back(std::isfinite(best) ? bound_of(op, best, largest, count) : 0);
    of_mean.push_back(4 * epsilon(POLYOPS_FLOAT32) * largest);
  }
  for (const polyops_kernel* kernel : kernels_of(op.name)) {
    SCOPED_TRACE(kernel->name);
    const Outputs got(dtype, c);
    run_kernel(*kernel, op, c, correction, src, got);
    expect_close(got.dst, exact.dst, bounds);
    if (op.mean) expect_close(got.mean, exact.mean, of_mean);
  }
}

Buffer normal(const Case& c, int32_t dtype, double scale = 2.0) {
  Buffer src(dtype, c.sizes, c.strides, c.offset);
  src.fill_normal(7, scale);
  return src;
}

void check_types(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    for (int32_t dtype : kDtypes) {
      const Buffer src = normal(c, dtype);
      check(kOps[2], c, src);  // var_mean
      check(kOps[4], c, src);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

// Large ones: one dtype each.
void check_some(const std::vector<Case>& cases) {
  for (size_t i = 0; i < cases.size(); ++i) {
    const Buffer src = normal(cases[i], kDtypes[i % 3]);
    for (const Op& op : {kOps[i % 4], kOps[4]}) check(op, cases[i], src);
  }
}

TEST(Var, Rows) {
  std::vector<Case> cases = {{{}, 0}, {{1}, 1}, {{3, 1}, 2}};
  for (int64_t n : {2, 7, 8, 9, 31, 64, 65, 129, 257, 1025, 4111}) {
    cases.push_back({{n % 2 == 0 ? 3 : 40, n}, 2, {}, n % 3});
  }
  cases.push_back({{5, 40}, 2, {48, 1}, 1});  // gaps
  cases.push_back({{40, 5}, 1, {1, 40}});     // transposed
  check_types(cases);
}

// More than fill a device, a block each, and in parts.
TEST(Var, ManyRowsAndLongOnes) {
  check_some({{{5300, 3}, 2},
              {{530, 1030}, 2},
              {{3, 16500}, 2, {}, 1},
              {{2, 20000}, 2},
              {{1, 70001}, 2, {}, 5}});
}

TEST(Var, SeveralRunsOfARow) {
  check_types({{{4, 3, 50}, 5},
               {{4, 3, 4, 5}, 13, {}, 1},
               {{9, 2, 300}, 5},
               {{6, 3, 4, 5}, 6, {}, 0, 1, {1, 1, 1, 6}}});
  check_some({{{7, 2, 9000}, 5, {}, 3}, {{7, 130, 49}, 5}});
}

TEST(Var, Columns) {
  std::vector<Case> cases;
  for (int64_t rows : {1, 2, 3, 4, 5, 9, 31, 100}) cases.push_back({{rows, 40}, 1});
  for (int64_t width : {2, 3, 8, 17, 33, 136, 528}) {
    cases.push_back({{21, width}, 1, {}, width % 5 == 0 ? 1 : 0});
  }
  cases.push_back({{1500, 48}, 1});           // in parts
  cases.push_back({{700, 35}, 1, {}, 1, 1});  // of single columns
  cases.push_back({{700, 3}, 1});
  cases.push_back({{3, 700, 16}, 2});
  cases.push_back({{9, 5, 24}, 2, {}, 0, 3});             // results not aligned
  cases.push_back({{9, 5, 24}, 2, {}, 0, 0, {1, 1, 9}});  // and not next to each other
  cases.push_back({{20, 7, 40}, 1, {40, 800, 1}});        // permuted
  cases.push_back({{50, 24}, 1, {32, 1}});                // gaps
  check_types(cases);
}

TEST(Var, ManyColumns) {
  check_types({{{9, 2, 3, 24}, 5}, {{10, 3, 2, 33}, 5}});
  check_some({{{5, (1 << 18) + 8}, 1}, {{5, 1 << 18}, 1}, {{3, 2, 400, 8}, 5}});
}

TEST(Var, EveryOpAndCorrection) {
  for (double correction : {0.0, 1.0, 2.5, -1.0}) {
    for (const Case& c : std::vector<Case>{{{3, 30}, 2}, {{30, 8}, 1}}) {
      for (const Op& op : kOps) check(op, c, normal(c, POLYOPS_FLOAT32), correction);
    }
  }
}

// A mean of many deviations, at which the sum of squares has no digit left; one element far from
// all others, at the beginning; equal ones.
TEST(Var, MeansFarFromZero) {
  for (const Case& c : std::vector<Case>{{{3, 300}, 2, {}, 1}, {{300, 8}, 1}, {{2, 20000}, 2}}) {
    const Buffer noise = normal(c, POLYOPS_FLOAT32, 1.0);
    Buffer src(POLYOPS_FLOAT32, c.sizes, {}, c.offset);
    for (double shift : {1e4, -1e6}) {
      src.fill([&](int64_t i) { return shift + noise.get(i); });
      for (const Op& op : kOps) check(op, c, src);
    }
    src.fill([&](int64_t i) { return i == 0 ? 1e4 : noise.get(i); });
    for (const Op& op : kOps) check(op, c, src);
    for (double same : {1.1, 3e38, 0.0}) {
      src.fill([&](int64_t) { return same; });
      const Outputs got(POLYOPS_FLOAT32, c);
      run_kernel(*kernels_of("var")[0], kOps[0], c, 1, src, got);
      for (int64_t i = 0; i < got.dst.numel(); ++i) EXPECT_EQ(got.dst.get(i), 0);
      check(kOps[4], c, src);
    }
  }
}

TEST(Var, SpecialValues) {
  for (double special : {std::nan(""), HUGE_VAL, -HUGE_VAL, 6e4, -0.0, 1e18, 3e38, -3e38}) {
    for (const Case& c : std::vector<Case>{{{3, 300}, 2}, {{40, 24}, 1}, {{2, 20000}, 2}}) {
      for (int32_t dtype : kDtypes) {
        Buffer src = normal(c, dtype, 1.0);
        for (int64_t i = 0; i < 9; ++i) src.set(i * 17, special);
        SCOPED_TRACE(special);
        check(kOps[4], c, src);
        check(kOps[2], c, src);  // var_mean
      }
    }
  }
}

TEST(Var, NothingButInfinity) {
  for (double special : {HUGE_VAL, -HUGE_VAL}) {
    for (const Case& c : std::vector<Case>{{{3, 30}, 2}, {{30, 3}, 1}}) {
      Buffer src(POLYOPS_FLOAT32, c.sizes);
      src.fill([&](int64_t) { return special; });
      for (const Op& op : kOps) check(op, c, src);
    }
  }
}

TEST(Var, DeclinesWhatItDoesNotCompute) {
  const auto reason = [](const Case& c, int32_t dtype, int32_t dst_dtype, double correction,
                         const Sizes& mean_strides = {}) {
    const Buffer src(dtype, c.sizes, c.strides), dst(dst_dtype, kept_sizes(c));
    const Buffer mean(dst_dtype, kept_sizes(c), mean_strides);
    const polyops_var_args args =
        var_args(kOps[2], c, correction, src, dst.without_data(), mean.without_data());
    const char* said = kernels_of("var_mean")[0]->supports(&args);
    return std::string(said == nullptr ? "" : said);
  };
  EXPECT_EQ(reason({{4, 6}, 2}, POLYOPS_FLOAT32, POLYOPS_FLOAT32, 1), "");
  EXPECT_EQ(reason({{4, 6}, 2}, POLYOPS_FLOAT64, POLYOPS_FLOAT64, 1), "dtype");
  EXPECT_EQ(reason({{4, 6}, 2}, POLYOPS_FLOAT16, POLYOPS_FLOAT32, 1), "dtype");
  EXPECT_EQ(reason({{4, 6}, 2, {12, 2}}, POLYOPS_FLOAT32, POLYOPS_FLOAT32, 1), "layout");
  EXPECT_EQ(reason({{4, 6}, 2}, POLYOPS_FLOAT32, POLYOPS_FLOAT32, 1, {2, 1}), "layout");
  EXPECT_EQ(reason({{4, 6}, 2}, POLYOPS_FLOAT32, POLYOPS_FLOAT32, 6), "degrees of freedom");
  EXPECT_EQ(reason({{4, 6}, 2}, POLYOPS_FLOAT32, POLYOPS_FLOAT32, std::nan("")),
            "degrees of freedom");
}

}  // namespace
}  // namespace polyops::testing
