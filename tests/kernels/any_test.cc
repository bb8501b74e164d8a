// any and all: every kernel against the reference, exactly.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "harness.h"
#include "reduction_case.h"
#include "reference/reduction.h"

namespace polyops::testing {
namespace {

constexpr int32_t kDtypes[] = {POLYOPS_UINT8, POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16};

polyops_reduction_args args_of(const Case& c, const Buffer& src, const polyops_tensor& dst) {
  return {sizeof(polyops_reduction_args), c.dims, src.view(), dst};
}

void check(const Case& c, const Buffer& src) {
  const Buffer exact(POLYOPS_UINT8, kept_sizes(c));
  for (const char* op : {"any", "all"}) {
    SCOPED_TRACE(describe(op, c, src.view().dtype));
    (op == std::string("any") ? reference::any : reference::all)(args_of(c, src, exact.view()));
    for (const polyops_kernel* kernel : kernels_of(op)) {
      SCOPED_TRACE(kernel->name);
      const Buffer got(POLYOPS_UINT8, kept_sizes(c), c.dst_strides, c.dst_offset);
      polyops_reduction_args args = args_of(c, src, got.without_data());
      ASSERT_EQ(kernel->supports(&args), nullptr);
      args.dst = got.view();
      ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK) << last_error();
      EXPECT_TRUE(got.guards_intact());
      for (int64_t i = 0; i < got.numel(); ++i) ASSERT_EQ(got.get(i), exact.get(i)) << i;
    }
  }
}

// Of nothing but one kind, and with one of the other kind, at either end and anywhere.
void check_values(const Case& c, int32_t dtype) {
  const bool bytes = dtype == POLYOPS_UINT8;
  for (double most : {0.0, 1.0}) {
    Buffer src(dtype, c.sizes, c.strides, c.offset);
    src.fill([&](int64_t) { return most; });
    check(c, src);
    const int64_t places[] = {0, src.numel() - 1, src.numel() / 2 + 1, 5 % src.numel()};
    const double falses[] = {0.0, bytes ? 0.0 : -0.0},
                 trues[] = {bytes ? 128.0 : std::nan(""), 1.0};
    for (int k = 0; k < 4; ++k) {
      if (places[k] >= src.numel()) continue;
      src.fill([&](int64_t) { return most; });
      src.set(places[k], most == 0 ? trues[k % 2] : falses[k % 2]);
      check(c, src);
    }
  }
  Buffer src(dtype, c.sizes, c.strides, c.offset);
  src.fill([](int64_t i) { return i * 2654435761u >> 5 & 1; });
  check(c, src);
}

void check_types(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    for (int32_t dtype : kDtypes) check_values(c, dtype);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

TEST(Any, Rows) {
  std::vector<Case> cases = {{{5, 40}, 2, {48, 1}, 4}, {{40, 8}, 1, {1, 40}}, {{9, 4}, 3}};
  for (int64_t n : {4, 8, 12, 64, 132, 1028}) cases.push_back({{n % 8 == 0 ? 3 : 10, n}, 2});
  check_types(cases);
}

TEST(Any, LongRowsAndSeveralRuns) {
  check_types({{{4, 3, 48}, 5}, {{4, 3, 4, 8}, 13, {}, 4}, {{3, 16500}, 2}});
  check_values({{1, 70004}, 2, {}, 4}, POLYOPS_UINT8);
  check_values({{70001}, 1, {}, 1}, POLYOPS_BFLOAT16);
}

TEST(Any, Columns) {
  std::vector<Case> cases = {{{700, 36}, 1, {}, 4, 4},
                             {{9, 5, 24}, 2},
                             {{9, 2, 3, 24}, 5},
                             {{50, 24}, 1, {32, 1}},
                             {{20, 7, 40}, 1, {40, 800, 1}}};
  for (int64_t rows : {2, 3, 5, 9, 31}) cases.push_back({{rows, 80}, 1});
  check_types(cases);
  check_values({{1500, 48}, 1}, POLYOPS_UINT8);
  check_values({{9, 5, 24}, 2, {}, 0, 3}, POLYOPS_FLOAT32);  // results not aligned
}

TEST(Any, OddSizesOfFloats) {
  for (const Case& c : std::vector<Case>{
           {{3, 7}, 2, {}, 1}, {{3, 129}, 2}, {{21, 33}, 1}, {{5, 3}, 1}, {{3, 1}, 2}, {{}, 0}}) {
    for (int32_t dtype : {POLYOPS_FLOAT32, POLYOPS_BFLOAT16}) check_values(c, dtype);
  }
}

// Bytes of several results in a word, or words that begin anywhere.
TEST(Any, DeclinesWhatItDoesNotCompute) {
  const auto reason = [](const Case& c, int32_t dtype, int32_t dst_dtype = POLYOPS_UINT8) {
    const Buffer src(dtype, c.sizes, c.strides), dst(dst_dtype, kept_sizes(c), c.dst_strides);
    const polyops_reduction_args args = args_of(c, src, dst.without_data());
    const char* said = kernels_of("any")[0]->supports(&args);
    return std::string(said == nullptr ? "" : said);
  };
  EXPECT_EQ(reason({{4, 8}, 2}, POLYOPS_UINT8), "");
  EXPECT_EQ(reason({{4, 6}, 3}, POLYOPS_UINT8), "");
  EXPECT_EQ(reason({{4, 6}, 2}, POLYOPS_UINT8), "bytes");
  EXPECT_EQ(reason({{4, 8}, 2, {10, 1}}, POLYOPS_UINT8), "bytes");
  EXPECT_EQ(reason({{8, 6}, 1}, POLYOPS_UINT8), "bytes");
  EXPECT_EQ(reason({{8, 8}, 1, {10, 1}}, POLYOPS_UINT8), "bytes");
  EXPECT_EQ(reason({{8, 8}, 1, {}, 0, 0, {1, 2}}, POLYOPS_UINT8), "bytes");
  EXPECT_EQ(reason({{4, 8}, 2}, POLYOPS_INT64), "dtype");
  EXPECT_EQ(reason({{4, 8}, 2}, POLYOPS_FLOAT32, POLYOPS_FLOAT32), "dtype");
  const Case c = {{4, 8}, 2, {}, 1};
  const Buffer src(POLYOPS_UINT8, c.sizes, {}, c.offset), dst(POLYOPS_UINT8, kept_sizes(c));
  const polyops_reduction_args args = args_of(c, src, dst.view());
  EXPECT_EQ(launch(*kernels_of("any")[0], &args), POLYOPS_DECLINED);
}

}  // namespace
}  // namespace polyops::testing
