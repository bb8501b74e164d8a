// argmax, argmin, max and min: every kernel against the reference. Indices and values are exact,
// bit for bit, but for the bits of a NaN.
#include "reference/extreme.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "harness.h"

namespace polyops::testing {
namespace {

constexpr int32_t kDtypes[] = {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16};

using Sizes = std::vector<int64_t>;

struct Op {
  const char* name;
  void (*reference)(const polyops_extreme_args&);
};
constexpr Op kOps[] = {{"argmax", reference::argmax},
                       {"argmin", reference::argmin},
                       {"max", reference::argmax},
                       {"min", reference::argmin}};

bool has_values(const Op& op) { return op.name[0] == 'm'; }

struct Case {
  Sizes sizes;
  int32_t dim;
  Sizes strides = {};
  int64_t offset = 0;
  Sizes dst_strides = {};
};

Sizes kept_sizes(const Case& c) {
  Sizes sizes = c.sizes;
  if (!sizes.empty()) sizes[static_cast<size_t>(c.dim)] = 1;
  return sizes;
}

std::string describe(const Op& op, const Case& c, int32_t dtype) {
  std::string text = op.name;
  text.append(" ").append(polyops_dtype_name(dtype)).append(" dim ").append(std::to_string(c.dim));
  for (int64_t size : c.sizes) text.append(" ").append(std::to_string(size));
  return text.append(" at ").append(std::to_string(c.offset));
}

void expect_equal(const Buffer& got, const Buffer& best) {
  EXPECT_TRUE(got.guards_intact());
  for (int64_t i = 0; i < got.numel(); ++i) {
    const double a = got.get(i), b = best.get(i);
    if (std::isnan(a) && std::isnan(b)) continue;
    ASSERT_EQ(a, b) << "element " << i;
    ASSERT_EQ(std::signbit(a), std::signbit(b)) << "element " << i;
  }
}

void check(const Op& op, const Case& c, const Buffer& src) {
  SCOPED_TRACE(describe(op, c, src.view().dtype));
  const Sizes sizes = kept_sizes(c);
  const Buffer best(POLYOPS_INT64, sizes), best_values(src.view().dtype, sizes);
  op.reference({sizeof(polyops_extreme_args), c.dim, src.view(), best.view(), best_values.view()});
  for (const polyops_kernel* kernel : kernels_of(op.name)) {
    SCOPED_TRACE(kernel->name);
    const Buffer indices(POLYOPS_INT64, sizes, c.dst_strides);
    const Buffer values(src.view().dtype, sizes, c.dst_strides);
    polyops_extreme_args args = {sizeof args, c.dim, src.view(), indices.without_data(),
                                 has_values(op) ? values.without_data() : absent()};
    ASSERT_EQ(kernel->supports(&args), nullptr);
    args.indices = indices.view();
    if (has_values(op)) args.values = values.view();
    ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK) << last_error();
    expect_equal(indices, best);
    if (has_values(op)) expect_equal(values, best_values);
  }
}

// Few different values: ties in every row.
void fill_with_ties(Buffer* src) {
  src->fill_normal(7, 1.5);
  Buffer& to = *src;
  to.fill([&](int64_t i) { return std::round(to.get(i)); });
}

void check_all(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    for (int32_t dtype : kDtypes) {
      Buffer src(dtype, c.sizes, c.strides, c.offset);
      fill_with_ties(&src);
      for (const Op& op : kOps) check(op, c, src);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

// Large ones: one op and dtype each.
void check_some(const std::vector<Case>& cases) {
  for (size_t i = 0; i < cases.size(); ++i) {
    Buffer src(kDtypes[i % 3], cases[i].sizes, cases[i].strides, cases[i].offset);
    fill_with_ties(&src);
    check(kOps[i % 4], cases[i], src);
  }
}

TEST(Extreme, Rows) {
  std::vector<Case> cases = {{{}, 0}, {{1}, 0}, {{3, 1}, 1}};
  for (int64_t n : {2, 7, 8, 9, 31, 64, 65, 127, 257, 1000, 1025, 2049, 4111}) {
    cases.push_back({{n % 2 == 0 ? 3 : 40, n}, 1, {}, n % 3});
  }
  cases.push_back({{5, 40}, 1, {48, 1}, 1});  // gaps
  cases.push_back({{40, 5}, 0, {1, 40}});     // transposed
  cases.push_back({{2, 17, 3}, 1, {51, 1, 17}, 0, {1, 1, 4}});
  check_all(cases);
}

// A thread each; 16 and 32 are not, nor are those that begin elsewhere.
TEST(Extreme, ShortRows) {
  std::vector<Case> cases;
  for (int64_t n : {2, 3, 10, 16, 19, 31, 32, 33}) {
    cases.push_back({{130, n}, 1});
    cases.push_back({{5, n}, 1, {}, n % 2});
  }
  cases.push_back({{128, 7}, 1});
  cases.push_back({{2, 5, 70}, 1, {350, 1, 5}, 0, {1, 1, 2}});  // channels_last
  cases.push_back({{50, 7}, 1, {8, 1}});                        // gaps
  check_all(cases);
}

// More than fill a device, a block each, and in parts.
TEST(Extreme, ManyRowsAndLongOnes) {
  check_some({{{5300, 3}, 1},
              {{530, 1030}, 1},
              {{530, 2049}, 1, {}, 1},
              {{3, 16500}, 1},
              {{3, 16500}, 1, {}, 1},
              {{2, 20000}, 1},
              {{1, 70001}, 1, {}, 5},
              {{300001}, 0}});
}

TEST(Extreme, Columns) {
  std::vector<Case> cases;
  for (int64_t rows : {1, 2, 3, 4, 5, 9, 31, 100}) cases.push_back({{rows, 40}, 0});
  for (int64_t width : {2, 3, 8, 17, 33, 64, 136, 264, 528, 1000}) {
    cases.push_back({{21, width}, 0, {}, width % 5 == 0 ? 1 : 0});
  }
  cases.push_back({{1500, 48}, 0});        // in parts
  cases.push_back({{700, 35}, 0, {}, 1});  // of single columns
  cases.push_back({{3, 700, 16}, 1});
  cases.push_back({{9, 5, 24}, 1, {}, 0, {1, 1, 9}});  // results not next to each other
  cases.push_back({{20, 7, 40}, 0, {40, 800, 1}});     // permuted
  cases.push_back({{50, 24}, 0, {32, 1}});             // gaps
  cases.push_back({{6, 24}, 0, {0, 1}});               // expanded
  cases.push_back({{2, 5, 4, 16}, 2, {320, 1, 80, 5}});
  check_all(cases);
}

TEST(Extreme, ManyColumns) { check_some({{{11, 67585}, 0}, {{3, 400, 8}, 1}, {{3, 400, 9}, 1}}); }

// Of which a lane has whole ones; of results side by side a wave stores its own.
TEST(Extreme, FewRowsOfColumns) {
  std::vector<Case> cases;
  for (int64_t rows : {2, 3, 4, 5, 8}) {
    cases.push_back({{rows, 264}, 0});
    cases.push_back({{3, rows, 40}, 1, {}, rows % 2});
  }
  cases.push_back({{2, 7, 1032}, 1});
  cases.push_back({{2, 7, 33}, 1});
  cases.push_back({{2, 7, 24}, 1, {168, 24, 1}, 0, {50, 1, 2}});
  cases.push_back({{2, 7, 24}, 1, {168, 24, 1}, 0, {25, 1, 1}});
  check_all(cases);
}

// At the ends of a pack and of a row, in one part and in several; twice, of which the first counts.
TEST(Extreme, SpecialValues) {
  const std::vector<Case> cases = {
      {{3, 300}, 1}, {{40, 24}, 0}, {{2, 20000}, 1}, {{900, 16}, 0}, {{7, 40}, 0}};
  for (const Case& c : cases) {
    for (double special : {std::nan(""), HUGE_VAL, -HUGE_VAL, 6e4, -6e4}) {
      for (int32_t dtype : kDtypes) {
        Buffer src(dtype, c.sizes);
        fill_with_ties(&src);
        for (int64_t i = 0; i < 9 && i * 37 < src.numel(); ++i) {
          src.set(src.numel() - 1 - i * 37, special);
        }
        for (const Op& op : kOps) check(op, c, src);
      }
    }
  }
}

TEST(Extreme, NothingButOneValue) {
  const std::vector<Case> cases = {
      {{3, 30}, 1}, {{1, 9}, 1, {}, 1}, {{30, 3}, 0}, {{6, 24}, 0}, {{2, 17000}, 1}};
  for (const Case& c : cases) {
    for (double value : {HUGE_VAL, -HUGE_VAL, std::nan(""), 0.0}) {
      Buffer src(POLYOPS_FLOAT32, c.sizes, {}, c.offset);
      src.fill([&](int64_t) { return value; });
      for (const Op& op : kOps) check(op, c, src);
    }
  }
}

// The first zero counts, and its sign is that of the value.
TEST(Extreme, ZerosOfBothSigns) {
  for (const Case& c :
       std::vector<Case>{{{5, 60}, 1}, {{5, 60}, 1, {}, 1}, {{60, 8}, 0}, {{6, 8}, 0}}) {
    for (int32_t dtype : kDtypes) {
      Buffer src(dtype, c.sizes, {}, c.offset);
      for (int64_t period : {2, 3, 64}) {
        src.fill([&](int64_t i) { return i % period == 0 ? -0.0 : 0.0; });
        for (const Op& op : kOps) check(op, c, src);
      }
    }
  }
}

TEST(Extreme, DeclinesWhatItDoesNotCompute) {
  const auto reason = [](const Case& c, int32_t dtype, int32_t of_indices, int32_t of_values,
                         const Sizes& strides = {}) {
    const Buffer src(dtype, c.sizes, c.strides), indices(of_indices, kept_sizes(c));
    const Buffer values(of_values, kept_sizes(c), strides);
    const polyops_extreme_args args = {sizeof args, c.dim, src.view(), indices.without_data(),
                                       values.without_data()};
    const char* said = kernels_of("max")[0]->supports(&args);
    return std::string(said == nullptr ? "" : said);
  };
  constexpr int32_t kF32 = POLYOPS_FLOAT32, kF64 = POLYOPS_FLOAT64, kI64 = POLYOPS_INT64;
  EXPECT_EQ(reason({{4, 6}, 1}, kF32, kI64, kF32), "");
  EXPECT_EQ(reason({{4, 6}, 1}, kF64, kI64, kF64), "dtype");
  EXPECT_EQ(reason({{4, 6}, 1}, kI64, kI64, kI64), "dtype");
  EXPECT_EQ(reason({{4, 6}, 1}, kF32, POLYOPS_INT32, kF32), "dtype");
  EXPECT_EQ(reason({{4, 6}, 1}, kF32, kI64, POLYOPS_FLOAT16), "dtype");
  EXPECT_EQ(reason({{4, 6}, 1}, kF32, kI64, kF32, {2, 1}), "layout");
  EXPECT_EQ(reason({{4, 6}, 1, {12, 2}}, kF32, kI64, kF32), "layout");
}

}  // namespace
}  // namespace polyops::testing
