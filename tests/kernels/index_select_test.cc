// index_select: every kernel against the reference. Bits are copied, so all is exact.
#include "reference/index_select.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "harness.h"

namespace polyops::testing {
namespace {

constexpr int32_t kDtypes[] = {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16,
                               POLYOPS_FLOAT64, POLYOPS_INT64,    POLYOPS_UINT8};

using Sizes = std::vector<int64_t>;

struct Case {
  Sizes sizes;
  int dim;
  int64_t count;
  Sizes strides = {};
  int64_t offset = 0;  // of src
  int64_t dst_offset = 0;
  int64_t index_step = 1;
};

std::vector<Case> all_cases() {
  std::vector<Case> cases = {
      {{1}, 0, 1},
      {{40}, 0, 70},
      {{7, 64}, 0, 300},
      {{1000, 8}, 0, 33},
      {{3, 5000}, 0, 5},
      {{30, 16}, 0, 1},
      {{9, 4, 16}, 0, 20},        // rows of two dimensions
      {{5, 9, 8}, 1, 20},         // a dimension in the middle
      {{2, 3, 9, 8}, 2, 5},       // several before it
      {{20, 30}, 1, 40},          // the last
      {{9, 16}, 0, 20, {40, 1}},  // gaps between rows
      {{5, 9, 8}, 1, 20, {100, 10, 1}},
      {{9, 16}, 0, 20, {0, 1}},  // expanded
      {{4, 9, 16}, 1, 20, {0, 16, 1}},
      {{9, 1, 16, 1}, 0, 20, {16, 77, 1, 99}},
      {{1, 16}, 0, 20, {3, 1}},
      {{9, 16}, 0, 20, {}, 1},  // unaligned
      {{9, 16}, 0, 20, {}, 0, 1},
      {{9, 16}, 0, 20, {}, 2, 4},
      {{9, 16}, 0, 20, {}, 0, 0, 3},  // every third index
  };
  for (int64_t n : {1, 2, 3, 4, 5, 6, 7, 9, 12, 31, 33, 100, 301})
    cases.push_back({{11, n}, 0, 23});
  return cases;
}

Sizes result_sizes(const Case& c) {
  Sizes sizes = c.sizes;
  sizes[c.dim] = c.count;
  return sizes;
}

struct Call {
  Buffer src, index;
  polyops_index_select_args args;

  Call(const Case& c, int32_t dtype, int32_t index_type = POLYOPS_INT64)
      : src(dtype, c.sizes, c.strides, c.offset),
        index(index_type, {c.count}, {c.index_step}),
        args{sizeof args, c.dim, src.view(), index.view(), {}, 0, 0} {
    src.fill([](int64_t i) { return (i * 7 + 31) % 251; });
    index.fill([&](int64_t i) { return (i * 13 + 5) % c.sizes[c.dim]; });
  }
};

TEST(IndexSelect, CopiesEveryElement) {
  for (const Case& c : all_cases()) {
    for (int32_t dtype : kDtypes) {
      SCOPED_TRACE(::testing::PrintToString(c.sizes) + " " + polyops_dtype_name(dtype));
      Call call(c, dtype, dtype == POLYOPS_BFLOAT16 ? POLYOPS_INT32 : POLYOPS_INT64);
      const Buffer expected(dtype, result_sizes(c));
      call.args.dst = expected.view();
      reference::index_select(call.args);
      for (const polyops_kernel* kernel : kernels_of("index_select")) {
        SCOPED_TRACE(kernel->name);
        const Buffer dst(dtype, result_sizes(c), {}, c.dst_offset);
        call.args.dst = dst.without_data();
        ASSERT_EQ(kernel->supports(&call.args), nullptr);
        call.args.dst = dst.view();
        ASSERT_EQ(launch(*kernel, &call.args), POLYOPS_OK) << last_error();
        ASSERT_EQ(dst.values(), expected.values());
        ASSERT_TRUE(dst.guards_intact());
      }
    }
  }
}

TEST(IndexSelect, CountsFromTheEnd) {
  for (int32_t index_type : {POLYOPS_INT64, POLYOPS_INT32}) {
    Call call({{9, 6}, 0, 18}, POLYOPS_FLOAT32, index_type);
    call.index.fill([](int64_t i) { return i - 9; });
    call.args.from_end = 1;
    const Buffer expected(POLYOPS_FLOAT32, {18, 6});
    call.args.dst = expected.view();
    reference::index_select(call.args);
    for (const polyops_kernel* kernel : kernels_of("index_select")) {
      const Buffer dst(POLYOPS_FLOAT32, {18, 6});
      call.args.dst = dst.view();
      ASSERT_EQ(launch(*kernel, &call.args), POLYOPS_OK) << last_error();
      ASSERT_EQ(dst.values(), expected.values());
    }
  }
}

TEST(IndexSelect, CopiesBits) {
  const double values[] = {std::nan(""), HUGE_VAL, -HUGE_VAL, -0.0, 1e-40, 3e38, 65504};
  for (int32_t dtype : {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16}) {
    Call call({{7, 3}, 0, 7}, dtype);
    call.src.fill([&](int64_t i) { return values[i % 7]; });
    call.index.fill([](int64_t i) { return i; });
    for (const polyops_kernel* kernel : kernels_of("index_select")) {
      const Buffer dst(dtype, {7, 3});
      call.args.dst = dst.view();
      ASSERT_EQ(launch(*kernel, &call.args), POLYOPS_OK);
      for (int64_t i = 0; i < 21; ++i) {
        const double got = dst.get(i), put = call.src.get(i);
        ASSERT_TRUE(got == put || (std::isnan(got) && std::isnan(put))) << i;
        ASSERT_EQ(std::signbit(got), std::signbit(put)) << i;
      }
    }
  }
}

// On a device its context would be lost, as stock's assertion loses it.
TEST(IndexSelect, FailsForIndicesOutOfRange) {
  if (on_device()) GTEST_SKIP() << "its context would not outlive it";
  for (int64_t wrong :
       {int64_t{9}, int64_t{-1}, int64_t{-10}, int64_t{1} << 40, -(int64_t{1} << 40)}) {
    for (int dim : {0, 1}) {
      Call call({{9, 9}, dim, 20}, POLYOPS_FLOAT32);
      call.index.set(7, static_cast<double>(wrong));
      call.args.from_end = wrong != -1;
      const Buffer dst(POLYOPS_FLOAT32, dim == 0 ? Sizes{20, 9} : Sizes{9, 20});
      call.args.dst = dst.view();
      for (const polyops_kernel* kernel : kernels_of("index_select")) {
        EXPECT_EQ(launch(*kernel, &call.args), POLYOPS_ERROR);
      }
      EXPECT_TRUE(dst.guards_intact());
    }
  }
}

TEST(IndexSelect, DeclinesWhatItDoesNotCompute) {
  const auto reason = [](const auto& change) {
    Call call({{4, 9, 8}, 1, 5}, POLYOPS_FLOAT32);
    call.args.dst = Buffer(POLYOPS_FLOAT32, {4, 5, 8}).without_data();
    change(&call.args);
    const char* said = kernels_of("index_select")[0]->supports(&call.args);
    return std::string(said == nullptr ? "" : said);
  };
  using Args = polyops_index_select_args*;
  EXPECT_EQ(reason([](Args) {}), "");
  EXPECT_EQ(reason([](Args a) { a->src.dtype = POLYOPS_INVALID_DTYPE; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->dst.dtype = POLYOPS_FLOAT16; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->index.dtype = POLYOPS_UINT8; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->index.sizes[0] = 6; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->dst.sizes[0] = 3; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->index.rank = 0; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->src.strides[2] = 2; }), "layout");
  EXPECT_EQ(reason([](Args a) { a->dst.strides[0] = 50; }), "layout");
  EXPECT_EQ(reason([](Args a) { a->src.sizes[1] = int64_t{1} << 31; }), "size");
}

}  // namespace
}  // namespace polyops::testing
