// cumsum: every kernel against the reference in float64.
//
// Bound: 8 units of float32's epsilon of the sum of the magnitudes so far, and the rounding of the
// result. A sum is added to one after the other in a chunk of some 250 rows at most, or throughout,
// as stock's is.
#include "reference/cumsum.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "harness.h"

namespace polyops::testing {
namespace {

constexpr int32_t kDtypes[] = {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16};

using Sizes = std::vector<int64_t>;

struct Case {
  Sizes sizes;
  int32_t dim;
  Sizes strides = {};
  int64_t offset = 0;
  int64_t dst_offset = 0;
};

std::string describe(const Case& c, int32_t dtype) {
  std::string text = polyops_dtype_name(dtype);
  for (int64_t size : c.sizes) text.append(" ").append(std::to_string(size));
  return text.append(" dim ").append(std::to_string(c.dim));
}

Buffer reference_of(const Case& c, const polyops_tensor& src) {
  Buffer exact(POLYOPS_FLOAT64, c.sizes);
  reference::cumsum({sizeof(polyops_cumsum_args), c.dim, src, exact.view()});
  return exact;
}

Buffer magnitudes_of(const Case& c, const Buffer& src) {
  Buffer sizes(POLYOPS_FLOAT64, c.sizes);
  sizes.fill([&](int64_t i) { return std::isfinite(src.get(i)) ? std::abs(src.get(i)) : 0; });
  return reference_of(c, sizes.view());
}

void expect_close(const Buffer& got, const Buffer& exact, const Buffer& magnitudes) {
  const int32_t dtype = got.view().dtype;
  EXPECT_TRUE(got.guards_intact());
  for (int64_t i = 0; i < got.numel(); ++i) {
    const double value = got.get(i), best = in_range(dtype, exact.get(i));
    if ((std::isnan(best) && std::isnan(value)) || best == value) continue;
    const double bound =
        8 * epsilon(POLYOPS_FLOAT32) * magnitudes.get(i) + rounding_of(dtype, best);
    ASSERT_LE(std::abs(value - best), bound) << "element " << i << ": " << value << " for " << best;
  }
}

void check(const Case& c, const Buffer& src, int32_t dst_dtype) {
  const Buffer exact = reference_of(c, src.view()), magnitudes = magnitudes_of(c, src);
  for (const polyops_kernel* kernel : kernels_of("cumsum")) {
    const Buffer dst(dst_dtype, c.sizes, c.strides, c.dst_offset);
    polyops_cumsum_args args = {sizeof args, c.dim, src.view(), dst.without_data()};
    ASSERT_EQ(kernel->supports(&args), nullptr);
    args.dst = dst.view();
    ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK) << last_error();
    expect_close(dst, exact, magnitudes);
    if (dst_dtype != src.view().dtype || ::testing::Test::HasFatalFailure()) continue;
    Buffer both(dst_dtype, c.sizes, c.strides, c.offset);  // in place
    both.fill([&](int64_t i) { return src.get(i); });
    args.src = args.dst = both.view();
    ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK) << last_error();
    expect_close(both, exact, magnitudes);
  }
}

void check_one(const Case& c, int32_t dtype) {
  SCOPED_TRACE(describe(c, dtype));
  Buffer src(dtype, c.sizes, c.strides, c.offset);
  src.fill_normal(7, 1.0);
  check(c, src, dtype);
  if (dtype != POLYOPS_FLOAT32) check(c, src, POLYOPS_FLOAT32);
}

void check_types(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    for (int32_t dtype : kDtypes) {
      check_one(c, dtype);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

TEST(Cumsum, Rows) {
  std::vector<Case> cases = {{{1}, 0}, {{3, 1}, 1}, {{4, 2, 6}, 2}};
  for (int64_t n : {2, 3, 7, 8, 9, 31, 64, 65, 128, 129, 1000, 1025, 2049}) {
    cases.push_back({{n % 2 == 0 ? 3 : 19, n}, 1, {}, n % 3, n % 2});
  }
  cases.push_back({{5, 40}, 1, {48, 1}});        // gaps
  cases.push_back({{40, 5}, 0, {1, 40}, 1});     // transposed
  cases.push_back({{5, 40}, 1, {48, 1}, 0, 3});  // cut otherwise in src and dst
  check_types(cases);
}

TEST(Cumsum, LongRowsInChunks) {
  check_one({{2, 9000}, 1}, POLYOPS_FLOAT32);
  check_one({{1, 20003}, 1, {}, 3}, POLYOPS_BFLOAT16);
  check_one({{3, 8300}, 1, {}, 0, 1}, POLYOPS_FLOAT16);
}

TEST(Cumsum, Columns) {
  std::vector<Case> cases;
  for (int64_t rows : {1, 2, 7, 8, 9, 15, 16, 17, 33, 100}) cases.push_back({{rows, 24}, 0});
  for (int64_t width : {2, 7, 8, 33, 136}) cases.push_back({{2, 19, width}, 1, {}, width % 2});
  cases.push_back({{9, 40}, 0, {}, 0, 1});        // results not aligned
  cases.push_back({{20, 24}, 0, {32, 1}});        // gaps
  cases.push_back({{6, 5, 16}, 0, {16, 96, 1}});  // permuted
  check_types(cases);
}

TEST(Cumsum, ColumnsInChunks) {
  check_types({{{700, 24}, 0}, {{2, 300, 9}, 1, {}, 1}});
  check_one({{33000, 2}, 0}, POLYOPS_FLOAT32);  // more chunks than threads of a column
}

TEST(Cumsum, SpecialValues) {
  for (double special : {std::nan(""), HUGE_VAL, -HUGE_VAL, 6e4}) {
    for (const Case& c : std::vector<Case>{{{3, 300}, 1}, {{40, 24}, 0}, {{300, 8}, 0}}) {
      for (int32_t dtype : kDtypes) {
        SCOPED_TRACE(describe(c, dtype));
        Buffer src(dtype, c.sizes);
        src.fill_normal(5, 1.0);
        for (int64_t i : {70, 150, 290}) src.set(i, special);
        check(c, src, dtype);
      }
    }
  }
}

TEST(Cumsum, DeclinesWhatItDoesNotCompute) {
  const auto reason = [](const Case& c, int32_t dtype, int32_t dst_dtype) {
    const Buffer src(dtype, c.sizes, c.strides), dst(dst_dtype, c.sizes);
    const polyops_cumsum_args args = {sizeof args, c.dim, src.view(), dst.without_data()};
    const char* said = kernels_of("cumsum")[0]->supports(&args);
    return std::string(said == nullptr ? "" : said);
  };
  EXPECT_EQ(reason({{4, 6}, 1}, POLYOPS_FLOAT32, POLYOPS_FLOAT32), "");
  EXPECT_EQ(reason({{4, 6}, 1}, POLYOPS_FLOAT64, POLYOPS_FLOAT64), "dtype");
  EXPECT_EQ(reason({{4, 6}, 1}, POLYOPS_FLOAT32, POLYOPS_FLOAT16), "dtype");
  EXPECT_EQ(reason({{4, 6}, 1, {12, 2}}, POLYOPS_FLOAT32, POLYOPS_FLOAT32), "layout");
  EXPECT_EQ(reason({{4, 6}, 0, {1, 4}}, POLYOPS_FLOAT32, POLYOPS_FLOAT32), "layout");
}

}  // namespace
}  // namespace polyops::testing
