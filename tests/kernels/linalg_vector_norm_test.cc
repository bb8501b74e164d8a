// linalg_vector_norm: every kernel against the reference in float64.
//
// Bound: terms have one sign, so a sum of them is off by a share of itself, here 24 units of
// float32, and a root of it by that over its order; an extreme by nothing; all by the rounding of
// the result.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "harness.h"
#include "reduction_case.h"
#include "reference/reduction.h"

namespace polyops::testing {
namespace {

constexpr int32_t kDtypes[] = {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16};
constexpr double kOrders[] = {2, 1, HUGE_VAL, -HUGE_VAL, 0, 3, 0.5, -1};

polyops_vector_norm_args args_of(const Case& c, double order, const Buffer& src,
                                 const polyops_tensor& dst) {
  return {sizeof(polyops_vector_norm_args), c.dims, order, src.view(), dst};
}

// By every kernel that takes the call; of a family one does.
template <class F>
void run(const Case& c, double order, const Buffer& src, int32_t dst_dtype, F look) {
  size_t taken = 0;
  const auto kernels = kernels_of("linalg_vector_norm");
  for (const polyops_kernel* kernel : kernels) {
    const Buffer dst(dst_dtype, kept_sizes(c), c.dst_strides, c.dst_offset);
    polyops_vector_norm_args args = args_of(c, order, src, dst.without_data());
    if (kernel->supports(&args) != nullptr) continue;
    SCOPED_TRACE(kernel->name);
    ++taken;
    args.dst = dst.view();
    ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK) << last_error();
    EXPECT_TRUE(dst.guards_intact());
    look(dst);
  }
  EXPECT_EQ(taken * 4, kernels.size());
}

void check(const Case& c, double order, const Buffer& src, int32_t dst_dtype) {
  SCOPED_TRACE(describe("norm", c, src.view().dtype) + " of order " + std::to_string(order));
  const Buffer exact(POLYOPS_FLOAT64, kept_sizes(c));
  reference::vector_norm(args_of(c, order, src, exact.view()));
  const bool sum = std::isfinite(order) && order != 0;
  const double off = sum ? 24 * epsilon(POLYOPS_FLOAT32) * std::max(1.0, 1 / std::abs(order)) : 0;
  run(c, order, src, dst_dtype, [&](const Buffer& got) {
    for (int64_t i = 0; i < got.numel(); ++i) {
      const double best = in_range(dst_dtype, exact.get(i)), value = got.get(i);
      if ((std::isnan(best) && std::isnan(value)) || best == value) continue;
      ASSERT_LE(std::abs(value - best), off * best + rounding_of(dst_dtype, best))
          << "element " << i << ": " << value << " for " << best;
    }
  });
}

Buffer normal(const Case& c, int32_t dtype) {
  Buffer src(dtype, c.sizes, c.strides, c.offset);
  src.fill_normal(7, 2.0);
  for (int64_t i = 0; i < src.numel(); i += 11) src.set(i, i % 2 == 0 ? 0.0 : -0.0);
  return src;
}

// Each order, and each dtype; all of both where that takes no time.
void check_some(const std::vector<Case>& cases) {
  int which = 0;
  for (const Case& c : cases) {
    for (double order : kOrders) {
      const int32_t dtype = kDtypes[which++ % 3];
      check(c, order, normal(c, dtype), dtype);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(VectorNorm, Rows) {
  std::vector<Case> cases = {{{3, 2}, 2}, {{5, 40}, 2, {48, 1}, 1}, {{40, 5}, 1, {1, 40}}};
  for (int64_t n : {7, 8, 9, 64, 129, 1025, 4111}) {
    cases.push_back({{n % 2 == 0 ? 3 : 10, n}, 2, {}, n % 3});
  }
  check_some(cases);
}

TEST(VectorNorm, EveryTypeAndOrder) {
  for (const Case& c : std::vector<Case>{{{3, 300}, 2, {}, 1}, {{21, 24}, 1}, {{700, 3}, 1}}) {
    for (int32_t dtype : kDtypes) {
      const Buffer src = normal(c, dtype);
      for (double order : kOrders) {
        check(c, order, src, dtype);
        check(c, order, src, POLYOPS_FLOAT32);
      }
    }
  }
}

// A block each, in parts, and of more than one run.
TEST(VectorNorm, LongRows) {
  check_some({{{3, 1, 50}, 5}, {{4, 3, 50}, 5}, {{7, 2, 900}, 5, {}, 3}});
  const std::vector<Case> cases = {{{3, 16500}, 2, {}, 1}, {{1, 70001}, 2, {}, 5}, {{70000}, 1}};
  for (size_t i = 0; i < cases.size(); ++i) {
    const Buffer src = normal(cases[i], kDtypes[i]);
    for (double order : {2.0, HUGE_VAL, 0.0}) check(cases[i], order, src, kDtypes[i]);
  }
}

TEST(VectorNorm, Columns) {
  std::vector<Case> cases = {{{700, 35}, 1, {}, 1, 1},              // of single columns
                             {{9, 5, 24}, 2, {}, 0, 3},             // results not aligned
                             {{9, 5, 24}, 2, {}, 0, 0, {1, 1, 9}},  // and not next to each other
                             {{20, 7, 40}, 1, {40, 800, 1}},        // permuted
                             {{9, 2, 3, 24}, 5}};                   // two runs
  for (int64_t rows : {2, 3, 4, 5, 9, 31}) cases.push_back({{rows, 40}, 1});
  check_some(cases);
  const Case parts = {{1500, 48}, 1};
  for (double order : {2.0, -HUGE_VAL}) check(parts, order, normal(parts, kDtypes[1]), kDtypes[1]);
}

TEST(VectorNorm, SpecialValues) {
  for (double special : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    for (const Case& c : std::vector<Case>{{{3, 300}, 2}, {{40, 24}, 1}}) {
      for (int32_t dtype : kDtypes) {
        Buffer src = normal(c, dtype);
        for (int64_t i = 0; i < 9; ++i) src.set(i * 17, special);
        for (double order : kOrders) check(c, order, src, dtype);
      }
    }
  }
  for (double same : {std::nan(""), HUGE_VAL, -HUGE_VAL, 0.0, -0.0, -3.0}) {
    const Case c = {{3, 30}, 2};
    Buffer src(POLYOPS_FLOAT32, c.sizes);
    src.fill([&](int64_t) { return same; });
    for (double order : kOrders) check(c, order, src, POLYOPS_FLOAT32);
  }
}

// As torch has it on GPUs, where squares are float32's.
TEST(VectorNorm, SquaresBeyondTheRange) {
  const Case c = {{2, 30}, 2};
  for (const auto& [x, order, norm] : std::vector<std::array<double, 3>>{
           {1e25, 2, HUGE_VAL}, {1e-25, 2, 0}, {1e20, 3, HUGE_VAL}, {1e25, -2, HUGE_VAL}}) {
    Buffer src(POLYOPS_FLOAT32, c.sizes);
    src.fill([x = x](int64_t) { return -x; });
    run(c, order, src, POLYOPS_FLOAT32, [&, x = x, order = order, norm = norm](const Buffer& got) {
      for (int64_t i = 0; i < got.numel(); ++i) EXPECT_EQ(got.get(i), norm) << x << " " << order;
    });
  }
}

TEST(VectorNorm, DeclinesWhatItDoesNotCompute) {
  const auto reason = [](const Case& c, int32_t dtype, int32_t dst_dtype, double order) {
    const Buffer src(dtype, c.sizes, c.strides), dst(dst_dtype, kept_sizes(c));
    const polyops_vector_norm_args args = args_of(c, order, src, dst.without_data());
    std::string said;
    for (const polyops_kernel* kernel : kernels_of("linalg_vector_norm")) {
      const char* one = kernel->supports(&args);
      if (one == nullptr) return std::string();
      if (said.empty()) said = one;
    }
    return said;
  };
  EXPECT_EQ(reason({{4, 6}, 2}, POLYOPS_FLOAT32, POLYOPS_FLOAT32, 2), "");
  EXPECT_EQ(reason({{4, 6}, 2}, POLYOPS_BFLOAT16, POLYOPS_FLOAT32, 2), "");
  EXPECT_EQ(reason({{4, 6}, 2}, POLYOPS_FLOAT32, POLYOPS_BFLOAT16, 2), "dtype");
  EXPECT_EQ(reason({{4, 6}, 2}, POLYOPS_FLOAT64, POLYOPS_FLOAT64, 2), "dtype");
  EXPECT_EQ(reason({{4, 6}, 2, {12, 2}}, POLYOPS_FLOAT32, POLYOPS_FLOAT32, 2), "layout");
  EXPECT_EQ(reason({{4, 1}, 2}, POLYOPS_FLOAT32, POLYOPS_FLOAT32, 2), "one element");
  for (double order : {std::nan(""), 1e300, 1e-300}) {
    EXPECT_EQ(reason({{4, 6}, 2}, POLYOPS_FLOAT32, POLYOPS_FLOAT32, order), "order");
  }
}

}  // namespace
}  // namespace polyops::testing
