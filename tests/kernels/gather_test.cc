// gather: every kernel against the reference. Bits are copied, so all is exact.
#include "reference/gather.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "harness.h"

namespace polyops::testing {
namespace {

constexpr int32_t kDtypes[] = {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16,
                               POLYOPS_FLOAT64, POLYOPS_INT64,    POLYOPS_UINT8};

using Sizes = std::vector<int64_t>;

struct Case {
  Sizes sizes, index;
  int dim;
  Sizes index_strides = {};
  Sizes strides = {};
  int64_t offset = 0;  // of src
  int64_t dst_offset = 0;
};

std::vector<Case> all_cases() {
  std::vector<Case> cases = {
      {{1}, {1}, 0},
      {{40}, {70}, 0},
      {{50, 37}, {50, 1}, 1},  // an element of each row
      {{50, 37}, {20, 5}, 1},  // and fewer rows
      {{9, 37}, {9, 37}, 1},   // as many
      {{3, 700}, {3, 2500}, 1},
      {{3, 37}, {3, 20}, 1, {40, 2}, {41, 1}, 3},
      {{5, 9}, {5, 20}, 1, {0, 1}, {0, 1}},
      {{50, 37}, {9, 37}, 0},  // an index of each element
      {{50, 37}, {300, 11}, 0},
      {{5, 9, 8}, {5, 20, 8}, 1},
      {{2, 3, 9, 8}, {2, 3, 5, 8}, 2},
      {{5, 9, 8}, {5, 20, 8}, 1, {20, 1, 0}},   // tokens of each sequence
      {{5, 9, 7}, {5, 20, 7}, 1, {20, 1, 0}},   // in units of elements
      {{9, 64}, {300, 64}, 0, {1, 0}},          // rows
      {{9, 4, 16}, {20, 4, 16}, 0, {1, 0, 0}},  // of two dimensions
      {{5, 9, 8}, {5, 20, 8}, 1, {0, 1, 0}},    // the same of all
      {{5, 9, 8}, {5, 20, 8}, 1, {0, 8, 1}},    // expanded in front
      {{9, 16}, {20, 16}, 0, {2, 0}},           // every other index
      {{9, 16}, {20, 16}, 0, {40, 2}},          // a strided one
      {{9, 16}, {20, 8}, 0, {1, 0}},            // the first half of each row
      {{6, 9}, {6, 20}, 1, {}, {1, 6}},         // transposed
      {{9, 16}, {20, 16}, 0, {1, 0}, {40, 1}},  // gaps between rows
      {{9, 16}, {20, 16}, 0, {}, {0, 1}},       // expanded
      {{9, 16}, {20, 16}, 0, {1, 0}, {}, 1},    // unaligned
      {{9, 16}, {20, 16}, 0, {1, 0}, {}, 0, 1},
  };
  for (int64_t n : {1, 2, 3, 7, 12, 33, 100}) cases.push_back({{11, n}, {23, n}, 0, {1, 0}});
  return cases;
}

struct Call {
  Buffer src, index;
  polyops_gather_args args;

  Call(const Case& c, int32_t dtype, int32_t index_type = POLYOPS_INT64)
      : src(dtype, c.sizes, c.strides, c.offset),
        index(index_type, c.index, c.index_strides),
        args{sizeof args, c.dim, src.view(), index.view(), {}} {
    src.fill([](int64_t i) { return (i * 7 + 31) % 251; });
    index.fill([&](int64_t i) { return (i * 13 + i / 7 + 5) % c.sizes[c.dim]; });
  }
};

// Takes rows of which much is taken, alone.
bool is_special(const polyops_kernel& kernel) {
  return std::string(kernel.name).starts_with("gather_staged");
}

TEST(Gather, CopiesEveryElement) {
  for (const Case& c : all_cases()) {
    for (int32_t dtype : kDtypes) {
      SCOPED_TRACE(::testing::PrintToString(c.sizes) + " by " + ::testing::PrintToString(c.index) +
                   " " + polyops_dtype_name(dtype));
      Call call(c, dtype, dtype == POLYOPS_BFLOAT16 ? POLYOPS_INT32 : POLYOPS_INT64);
      const Buffer expected(dtype, c.index);
      call.args.dst = expected.view();
      reference::gather(call.args);
      for (const polyops_kernel* kernel : kernels_of("gather")) {
        SCOPED_TRACE(kernel->name);
        const Buffer dst(dtype, c.index, {}, c.dst_offset);
        call.args.dst = dst.without_data();
        if (is_special(*kernel) && kernel->supports(&call.args) != nullptr) continue;
        ASSERT_EQ(kernel->supports(&call.args), nullptr);
        call.args.dst = dst.view();
        ASSERT_EQ(launch(*kernel, &call.args), POLYOPS_OK) << last_error();
        ASSERT_EQ(dst.values(), expected.values());
        ASSERT_TRUE(dst.guards_intact());
      }
    }
  }
}

// On a device its context would be lost, as stock's assertion loses it.
TEST(Gather, FailsForIndicesOutOfRange) {
  if (on_device()) GTEST_SKIP() << "its context would not outlive it";
  for (int64_t wrong : {int64_t{9}, int64_t{-1}, int64_t{1} << 40, -(int64_t{1} << 40)}) {
    for (int dim : {0, 1}) {
      Call call({{9, 9}, {9, 9}, dim}, POLYOPS_FLOAT32);
      call.index.set(7, static_cast<double>(wrong));
      const Buffer dst(POLYOPS_FLOAT32, {9, 9});
      call.args.dst = dst.view();
      for (const polyops_kernel* kernel : kernels_of("gather")) {
        if (kernel->supports(&call.args) != nullptr) continue;
        EXPECT_EQ(launch(*kernel, &call.args), POLYOPS_ERROR);
      }
      EXPECT_TRUE(dst.guards_intact());
    }
  }
}

TEST(Gather, DeclinesWhatItDoesNotCompute) {
  const auto reason = [](const auto& change) {
    Call call({{4, 9, 8}, {4, 5, 8}, 1}, POLYOPS_FLOAT32);
    call.args.dst = Buffer(POLYOPS_FLOAT32, {4, 5, 8}).without_data();
    change(&call.args);
    const char* said = kernels_of("gather").back()->supports(&call.args);
    return std::string(said == nullptr ? "" : said);
  };
  using Args = polyops_gather_args*;
  EXPECT_EQ(reason([](Args) {}), "");
  EXPECT_EQ(reason([](Args a) { a->src.dtype = POLYOPS_INVALID_DTYPE; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->dst.dtype = POLYOPS_FLOAT16; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->index.dtype = POLYOPS_UINT8; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->index.sizes[1] = 6; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->src.sizes[0] = 3; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->index.rank = 2; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->src.strides[2] = 2; }), "layout");
  EXPECT_EQ(reason([](Args a) { a->dst.strides[0] = 50; }), "layout");
  EXPECT_EQ(reason([](Args a) { a->src.sizes[1] = int64_t{1} << 31; }), "size");
}

TEST(Gather, StagesWhatIsWorthIt) {
  const auto reason = [](const Case& c) {
    Call call(c, POLYOPS_FLOAT32);
    call.args.dst = Buffer(POLYOPS_FLOAT32, c.index).without_data();
    const polyops_kernel* kernel = kernels_of("gather")[0];
    EXPECT_TRUE(is_special(*kernel));
    const char* said = kernel->supports(&call.args);
    return std::string(said == nullptr ? "" : said);
  };
  EXPECT_EQ(reason({{2, 40}, {2, 10}, 1}), "");
  EXPECT_EQ(reason({{2, 40}, {2, 9}, 1}), "size");
  EXPECT_EQ(reason({{1, 13000}, {1, 13000}, 1}), "size");
  EXPECT_EQ(reason({{40, 2}, {40, 2}, 0}), "layout");
  EXPECT_EQ(reason({{2, 40}, {2, 40}, 1, {}, {1, 2}}), "layout");
}

}  // namespace
}  // namespace polyops::testing
