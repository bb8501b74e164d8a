// scatter_add: every kernel against the reference in float64. The bound on the error: index_sums.h.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "harness.h"
#include "index_sums.h"
#include "reference/index_add.h"

namespace polyops::testing {
namespace {

using Sizes = std::vector<int64_t>;

struct Case {
  int64_t count;
  Sizes sizes;
  int dim = 0;
  Rows row = spread;
  Sizes index_sizes = {};  // 1 where it is expanded; empty: nowhere
  int64_t offset = 0;
};

std::vector<Case> all_cases() {
  return {
      // Rows.
      {300, {400, 64}, 0, spread, {300, 1}},
      {600, {70, 8}, 0, half_of_one, {600, 1}},
      {90, {40, 7}, 0, few, {90, 1}, 1},
      {8193, {1500, 4}, 0, half_of_one, {8193, 1}},
      {60, {5, 9, 16}, 1, spread, {1, 60, 1}},
      {40, {3, 9, 4, 8}, 1, few, {1, 40, 1, 1}},
      {60, {5, 9, 3}, 1, spread, {1, 60, 1}},  // runs too short
      // Of each place before dim.
      {30, {5, 9, 16}, 1, spread, {5, 30, 1}},
      {49, {4, 97, 33}, 1, half_of_one, {4, 49, 1}},
      {17, {2, 3, 9, 8}, 2, few, {2, 3, 17, 1}},
      {2100, {4, 30, 2}, 1, spread, {4, 2100, 1}},
      // Elements.
      {1, {1}},
      {700, {1500}},
      {9000, {70}, 0, half_of_one},
      {5, {50, 37}, 1},
      {1, {50, 37}, 1},
      {33, {9, 1}, 1},
      {129, {3, 300}, 1, few},
      {2500, {2, 40}, 1, one},    // in chunks
      {5000, {1300}, 0, spread},  // of more places
      {300, {7, 64}, 1, half_of_one},
      {40, {9, 12}, 0},
      {30, {5, 9, 3}, 1, few},
      {4, {1, 2, 1, 2, 2, 1, 3, 2}, 6},
  };
}

Sizes source_sizes(const Case& c) {
  Sizes sizes = c.sizes;
  sizes[c.dim] = c.count;
  return sizes;
}

struct Call {
  Buffer self, src, index;
  polyops_scatter_add_args args;

  Call(const Case& c, int32_t dtype, int32_t index_type = POLYOPS_INT64)
      : self(dtype, c.sizes, {}, c.offset),
        src(dtype, source_sizes(c), {}, c.offset),
        index(index_type, c.index_sizes.empty() ? source_sizes(c) : c.index_sizes),
        args{sizeof args, c.dim, self.view(), index.view(), src.view(), {}, 0, 0} {
    self.fill_normal(5, 2.0);
    src.fill_normal(3, 2.0);
    index.fill([&](int64_t i) { return c.row(i, c.sizes[c.dim]); });
    for (int d = 0; d < args.index.rank; ++d) {
      if (args.index.sizes[d] != args.src.sizes[d]) args.index.strides[d] = 0;
      args.index.sizes[d] = args.src.sizes[d];
    }
  }
};

void check(const Case& c, Call& call) {
  const ExactSums exact(call.args, reference::scatter_add, 1);
  for (const polyops_kernel* kernel : kernels_of("scatter_add")) {
    SCOPED_TRACE(kernel->name);
    call.args.dst = Buffer(call.args.self.dtype, c.sizes).without_data();
    const bool is_special = std::string(kernel->name).find("turns") != std::string::npos;
    if (is_special && kernel->supports(&call.args) != nullptr) continue;
    ASSERT_EQ(kernel->supports(&call.args), nullptr);
    check_sums(*kernel, call.args, call.self, c.offset, exact);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

TEST(ScatterAdd, MatchesReference) { check_dtypes<Call>(all_cases(), 2000, check); }

TEST(ScatterAdd, TransposedIndices) {
  const Case c = {6, {5, 9, 4}, 1};
  Call call(c, POLYOPS_FLOAT32);
  Buffer index(POLYOPS_INT64, {5, 6, 4}, {1, 20, 5});
  index.fill([](int64_t i) { return i * 7 % 9; });
  call.args.index = index.view();
  check(c, call);
}

TEST(ScatterAdd, SpecialValues) {
  for (double special : {std::nan(""), HUGE_VAL, -HUGE_VAL, 3e38}) {
    for (const Case& c : {Case{40, {9, 8}, 0, few, {40, 1}}, Case{40, {8, 9}, 1, few}}) {
      Call call(c, POLYOPS_FLOAT32);
      const int64_t count = c.dim == 0 ? 8 : 1;  // of each place no more than one
      for (int64_t k = 0; k < count; ++k) call.src.set(3 * 8 + k, special);
      check(c, call);
    }
  }
}

TEST(ScatterAdd, CountsFromTheEnd) {
  for (const Case& c : {Case{18, {9, 6}, 0, spread, {18, 1}}, Case{18, {9, 6}}}) {
    for (int32_t index_type : {POLYOPS_INT64, POLYOPS_INT32}) {
      Call call(c, POLYOPS_FLOAT32, index_type);
      call.index.fill([](int64_t i) { return i % 18 - 9; });
      call.args.from_end = 1;
      check(c, call);
    }
  }
}

// On a device its context would be lost, as stock's assertion loses it.
TEST(ScatterAdd, FailsForIndicesOutOfRange) {
  if (on_device()) GTEST_SKIP() << "its context would not outlive it";
  for (const Case& c : {Case{40, {9, 8}, 0, spread, {40, 1}}, Case{40, {8, 9}, 1}}) {
    for (int64_t wrong : {int64_t{9}, int64_t{-1}, int64_t{1} << 40, -(int64_t{1} << 40)}) {
      Call call(c, POLYOPS_FLOAT32);
      call.index.set(7, static_cast<double>(wrong));
      const Buffer result(POLYOPS_FLOAT32, c.sizes);
      call.args.dst = result.view();
      for (const polyops_kernel* kernel : kernels_of("scatter_add")) {
        if (kernel->supports(&call.args) != nullptr) continue;
        EXPECT_EQ(launch(*kernel, &call.args), POLYOPS_ERROR);
      }
      EXPECT_TRUE(result.guards_intact());
    }
  }
}

TEST(ScatterAdd, DeclinesWhatItDoesNotCompute) {
  const auto reason = [](const auto& change) {
    Call call({12, {3, 4, 8}, 1}, POLYOPS_FLOAT32);
    call.args.dst = Buffer(POLYOPS_FLOAT32, {3, 4, 8}).without_data();
    change(&call.args);
    const char* said = kernels_of("scatter_add").back()->supports(&call.args);
    return std::string(said == nullptr ? "" : said);
  };
  using Args = polyops_scatter_add_args*;
  EXPECT_EQ(reason([](Args) {}), "");
  EXPECT_EQ(reason([](Args a) { a->self.dtype = POLYOPS_FLOAT64; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->src.dtype = POLYOPS_FLOAT16; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->index.dtype = POLYOPS_UINT8; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->index.sizes[0] = 2; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->index.sizes[0] = a->src.sizes[0] = 2; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->src.sizes[2] = 4; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->self.sizes[0] = 4; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->src.strides[0] = 97; }), "layout");
  EXPECT_EQ(reason([](Args a) { a->self.strides[0] = 33; }), "layout");
  EXPECT_EQ(reason([](Args a) { a->self.sizes[1] = a->dst.sizes[1] = int64_t{1} << 31; }), "size");
}

}  // namespace
}  // namespace polyops::testing
