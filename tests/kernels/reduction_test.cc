// sum, mean, amax and amin: every kernel against the reference in float64.
//
// Bounds: a sum is off by 4 units of float32's epsilon of the sum of magnitudes, a mean by that
// over the number of elements, and both by the rounding of the result. The largest and the smallest
// are exact.
#include "reference/reduction.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "harness.h"
#include "reduction_case.h"

namespace polyops::testing {
namespace {

constexpr int32_t kDtypes[] = {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16};

struct Op {
  const char* name;
  void (*reference)(const polyops_reduction_args&);
};
constexpr Op kOps[] = {{"sum", reference::sum},
                       {"mean", reference::mean},
                       {"amax", reference::amax},
                       {"amin", reference::amin}};

bool is_sum(const Op& op) { return op.name[0] != 'a'; }

// What is off of it is judged by the sum of magnitudes.
struct Exact {
  Buffer dst, magnitudes;

  Exact(const Op& op, const Case& c, const Buffer& src)
      : dst(POLYOPS_FLOAT64, kept_sizes(c)), magnitudes(POLYOPS_FLOAT64, kept_sizes(c)) {
    polyops_reduction_args args = {sizeof args, c.dims, src.view(), dst.view()};
    op.reference(args);
    Buffer sizes(POLYOPS_FLOAT64, c.sizes);
    sizes.fill([&](int64_t i) { return std::isfinite(src.get(i)) ? std::abs(src.get(i)) : 0; });
    args.src = sizes.view();
    args.dst = magnitudes.view();
    if (is_sum(op)) op.reference(args);
  }
};

void expect_close(const Op& op, const Buffer& got, const Exact& exact) {
  const int32_t dtype = got.view().dtype;
  EXPECT_TRUE(got.guards_intact());
  for (int64_t i = 0; i < got.numel(); ++i) {
    const double value = got.get(i), best = in_range(dtype, exact.dst.get(i));
    if ((std::isnan(best) && std::isnan(value)) || best == value) continue;
    const double bound = is_sum(op) ? 4 * epsilon(POLYOPS_FLOAT32) * exact.magnitudes.get(i) +
                                          rounding_of(dtype, best)
                                    : 0;
    ASSERT_LE(std::abs(value - best), bound) << "element " << i << ": " << value << " for " << best;
  }
}

void check(const Op& op, const Case& c, const Buffer& src, int32_t dst_dtype) {
  const Exact exact(op, c, src);
  for (const polyops_kernel* kernel : kernels_of(op.name)) {
    SCOPED_TRACE(kernel->name);
    const Buffer dst(dst_dtype, kept_sizes(c), c.dst_strides, c.dst_offset);
    polyops_reduction_args args = {sizeof args, c.dims, src.view(), dst.without_data()};
    ASSERT_EQ(kernel->supports(&args), nullptr);
    args.dst = dst.view();
    ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK) << last_error();
    expect_close(op, dst, exact);
  }
}

void check_all(const Case& c, int32_t dtype) {
  Buffer src(dtype, c.sizes, c.strides, c.offset);
  src.fill_normal(7, 2.0);
  for (const Op& op : kOps) {
    SCOPED_TRACE(describe(op.name, c, dtype));
    check(op, c, src, dtype);
    if (is_sum(op)) check(op, c, src, POLYOPS_FLOAT32);
  }
}

void check_types(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    for (int32_t dtype : kDtypes) {
      check_all(c, dtype);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

// Large ones: one op and dtype each.
void check_some(const std::vector<Case>& cases) {
  for (size_t i = 0; i < cases.size(); ++i) {
    const Op& op = kOps[i % 4];
    const int32_t dtype = kDtypes[i % 3];
    SCOPED_TRACE(describe(op.name, cases[i], dtype));
    Buffer src(dtype, cases[i].sizes, cases[i].strides, cases[i].offset);
    src.fill_normal(3, 2.0);
    check(op, cases[i], src, dtype);
  }
}

TEST(Reduction, Rows) {
  std::vector<Case> cases = {{{}, 0}, {{1}, 1}, {{3, 1}, 2}};
  for (int64_t n : {2, 7, 8, 9, 31, 64, 65, 127, 129, 257, 1000, 1025, 2049, 4111}) {
    cases.push_back({{n % 2 == 0 ? 3 : 70, n}, 2, {}, n % 3});
  }
  cases.push_back({{5, 40}, 2, {48, 1}, 1});  // gaps
  cases.push_back({{40, 5}, 1, {1, 40}});     // transposed
  check_types(cases);
}

// More than fill a device, a block each, and in parts.
TEST(Reduction, ManyRowsAndLongOnes) {
  check_some({{{5300, 3}, 2},
              {{530, 1030}, 2},
              {{530, 2049}, 2, {}, 1},
              {{3, 16500}, 2},
              {{3, 16500}, 2, {}, 1},
              {{2, 20000}, 2},
              {{1, 70001}, 2, {}, 5}});
}

TEST(Reduction, SeveralRunsOfARow) {
  check_types({{{4, 3, 50}, 5},
               {{4, 3, 4, 5}, 13, {}, 1},
               {{9, 2, 300}, 5},
               {{3, 2, 5, 7}, 11, {}, 0},
               {{6, 3, 4, 5}, 6, {}, 0, 1, {1, 1, 1, 6}}});
  check_some({{{7, 2, 9000}, 5, {}, 3}, {{2, 2, 20000}, 5}, {{7, 530, 49}, 5}, {{30, 2, 1100}, 5}});
}

TEST(Reduction, Columns) {
  std::vector<Case> cases;
  for (int64_t rows : {1, 2, 3, 4, 5, 9, 31, 100}) cases.push_back({{rows, 40}, 1});
  for (int64_t width : {2, 3, 8, 17, 33, 64, 136, 264, 528, 1000}) {
    cases.push_back({{21, width}, 1, {}, width % 5 == 0 ? 1 : 0});
  }
  cases.push_back({{1500, 48}, 1});           // in parts
  cases.push_back({{700, 35}, 1, {}, 1, 1});  // of single columns
  cases.push_back({{3, 700, 16}, 2});
  cases.push_back({{9, 5, 24}, 2, {}, 0, 3});             // results not aligned
  cases.push_back({{9, 5, 24}, 2, {}, 0, 0, {1, 1, 9}});  // and not next to each other
  cases.push_back({{20, 7, 40}, 1, {40, 800, 1}});        // permuted
  cases.push_back({{50, 24}, 1, {32, 1}});                // gaps
  cases.push_back({{2, 5, 4, 16}, 14, {320, 1, 80, 5}});  // channels_last
  check_types(cases);
}

TEST(Reduction, ManyColumns) {
  check_types({{{9, 2, 3, 24}, 5}, {{3, 2, 90, 8}, 5}, {{10, 3, 2, 33}, 5}});
  check_some({{{5, (1 << 18) + 1}, 1}, {{3, 2, 400, 8}, 5}, {{3, 2, 400, 9}, 5}});
  check_some({{{8, 250, 2, 33}, 5}, {{770, 770, 8}, 3, {771 * 8, 8, 1}}});  // many parts
}

TEST(Reduction, SpecialValues) {
  for (double special : {std::nan(""), HUGE_VAL, -HUGE_VAL, 6e4, -0.0}) {
    for (const Case& c : std::vector<Case>{{{3, 300}, 2}, {{40, 24}, 1}, {{2, 20000}, 2}}) {
      for (int32_t dtype : kDtypes) {
        Buffer src(dtype, c.sizes);
        src.fill_normal(5, 1.0);
        for (int64_t i = 0; i < 9; ++i) src.set(i * 17, special);
        for (const Op& op : kOps) {
          SCOPED_TRACE(describe(op.name, c, dtype));
          SCOPED_TRACE(special);
          check(op, c, src, dtype);
        }
      }
    }
  }
}

TEST(Reduction, NothingButInfinity) {
  for (double special : {HUGE_VAL, -HUGE_VAL}) {
    for (const Case& c : std::vector<Case>{{{3, 30}, 2}, {{30, 3}, 1}}) {
      Buffer src(POLYOPS_FLOAT32, c.sizes);
      src.fill([&](int64_t) { return special; });
      for (const Op& op : kOps) check(op, c, src, POLYOPS_FLOAT32);
    }
  }
}

TEST(Reduction, DeclinesWhatItDoesNotCompute) {
  const auto reason = [](const char* op, const Case& c, int32_t dtype, int32_t dst_dtype) {
    const Buffer src(dtype, c.sizes, c.strides), dst(dst_dtype, kept_sizes(c));
    const polyops_reduction_args args = {sizeof args, c.dims, src.view(), dst.without_data()};
    const char* said = kernels_of(op)[0]->supports(&args);
    return std::string(said == nullptr ? "" : said);
  };
  EXPECT_EQ(reason("sum", {{4, 6}, 2}, POLYOPS_FLOAT32, POLYOPS_FLOAT32), "");
  EXPECT_EQ(reason("sum", {{4, 6}, 2}, POLYOPS_FLOAT64, POLYOPS_FLOAT64), "dtype");
  EXPECT_EQ(reason("sum", {{4, 6}, 2}, POLYOPS_FLOAT32, POLYOPS_FLOAT16), "dtype");
  EXPECT_EQ(reason("amax", {{4, 6}, 2}, POLYOPS_FLOAT16, POLYOPS_FLOAT32), "dtype");
  EXPECT_EQ(reason("sum", {{4, 6}, 2, {12, 2}}, POLYOPS_FLOAT32, POLYOPS_FLOAT32), "layout");
  EXPECT_EQ(reason("sum", {{4, 3, 2, 3, 5}, 21}, POLYOPS_FLOAT32, POLYOPS_FLOAT32), "layout");
}

}  // namespace
}  // namespace polyops::testing
