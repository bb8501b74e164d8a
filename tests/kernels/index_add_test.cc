// index_add: every kernel against the reference in float64.
// The bound on the error: index_sums.h.
#include "reference/index_add.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "harness.h"
#include "index_sums.h"

namespace polyops::testing {
namespace {

using Sizes = std::vector<int64_t>;
struct Case {
  int64_t count;
  Sizes sizes;
  Rows row = spread;
  int dim = 0;
  double alpha = 1;
  int64_t offset = 0;
  int64_t index_step = 1;
};

std::vector<Case> all_cases() {
  std::vector<Case> cases = {
      {1, {1}},
      {5, {10, 3}},
      {100, {50, 64}, spread, 0, -2.5},
      {300, {400, 64}},
      {64, {1500, 4}},         // hardly any rows have lookups
      {64, {900, 4}, last},    // all of them behind the others
      {700, {1500, 4}, ends},  // many rows between two that are divided
      {30, {9, 1100}, few},    // rows of several blocks
      {800, {3, 48}, few},     // rows of several shares
      {600, {70, 8}, half_of_one},
      {256, {70, 8}, half_of_one, 0, 1, 1},
      {257, {3, 2100}, one},
      {300, {5, 9, 16}, spread, 1},
      {1200, {400, 16}, half_of_one, 0, 0.5, 1},
      {300, {1, 16}, one},
      {300, {7, 264}, one},
      {1, {1000, 8}},
      {40, {9, 8}, spread, 0, 1, 0, 3},  // every third index
      {8193, {1500, 4}, half_of_one},    // several blocks sort, in two passes
      {60, {1, 9, 8}, spread, 1},
      {60, {5, 9, 16}, spread, 1},  // runs beside each other
      {60, {2, 3, 40, 4, 5}, few, 2},
      {300, {3, 40, 33}, few, 1},
      {100, {12, 7, 20}, one, 1},
      {20, {9, 4, 3}},
  };
  for (int64_t width : {1, 2, 4, 5, 7, 8, 12, 20, 31, 100, 257}) {
    if (width < 9) cases.push_back({90, {40, width}, half_of_one});
    cases.push_back({260, {40, width}, half_of_one});
  }
  return cases;
}

Sizes source_sizes(const Case& c) {
  Sizes sizes = c.sizes;
  sizes[c.dim] = c.count;
  return sizes;
}

struct Call {
  Buffer self, src, index;
  polyops_index_add_args args;

  Call(const Case& c, int32_t dtype, int32_t index_type = POLYOPS_INT64)
      : self(dtype, c.sizes, {}, c.offset),
        src(dtype, source_sizes(c), {}, c.offset),
        index(index_type, {c.count}, {c.index_step}),
        args{sizeof args, c.dim, self.view(), index.view(), src.view(), {}, c.alpha, 0, 0} {
    self.fill_normal(5, 2.0);
    src.fill_normal(3, 2.0);
    index.fill([&](int64_t i) { return c.row(i, c.sizes[c.dim]); });
  }
};

void check(const Case& c, Call& call) {
  polyops_index_add_args plain = call.args;
  plain.alpha = 1;
  const ExactSums exact(plain, reference::index_add, c.alpha);
  for (const polyops_kernel* kernel : kernels_of("index_add")) {
    SCOPED_TRACE(kernel->name);
    call.args.dst = Buffer(call.args.self.dtype, c.sizes).without_data();
    ASSERT_EQ(kernel->supports(&call.args), nullptr);
    check_sums(*kernel, call.args, call.self, c.offset, exact);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

TEST(IndexAdd, MatchesReference) { check_dtypes<Call>(all_cases(), 5000, check); }

// With and without lookups, divided among shares and not.
TEST(IndexAdd, NegativeZerosStay) {
  for (const Case& c : {Case{300, {400, 64}}, Case{800, {3, 48}, few}, Case{90, {40, 7}, one},
                        Case{300, {40, 7}, one}}) {
    Call call(c, POLYOPS_FLOAT32);
    call.self.fill([](int64_t) { return -0.0; });
    call.src.fill([](int64_t) { return -0.0; });
    for (const polyops_kernel* kernel : kernels_of("index_add")) {
      for (int32_t in_place : {0, 1}) {
        const Buffer result(POLYOPS_FLOAT32, c.sizes);
        polyops_index_add_args args = call.args;
        args.dst = in_place ? args.self : result.view();
        args.in_place = in_place;
        ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK) << last_error();
        const Buffer& got = in_place ? call.self : result;
        for (int64_t i = 0; i < got.numel(); ++i) {
          ASSERT_TRUE(got.get(i) == 0 && std::signbit(got.get(i))) << i << " in place " << in_place;
        }
      }
    }
  }
}

TEST(IndexAdd, SpecialValues) {
  for (double special : {std::nan(""), HUGE_VAL, -HUGE_VAL, 3e38}) {
    for (bool of_self : {false, true}) {
      const Case c = {40, {9, 8}, few};
      Call call(c, POLYOPS_FLOAT32);
      for (int64_t k = 0; k < 8; ++k) (of_self ? call.self : call.src).set(3 * 8 + k, special);
      check(c, call);
    }
  }
}

TEST(IndexAdd, CountsFromTheEnd) {
  const Case c = {18, {9, 6}};
  for (int32_t index_type : {POLYOPS_INT64, POLYOPS_INT32}) {
    Call call(c, POLYOPS_FLOAT32, index_type);
    call.index.fill([](int64_t i) { return i - 9; });
    call.args.from_end = 1;
    check(c, call);
  }
}

// On a device its context would be lost, as stock's assertion loses it.
TEST(IndexAdd, FailsForIndicesOutOfRange) {
  if (on_device()) GTEST_SKIP() << "its context would not outlive it";
  for (int64_t wrong :
       {int64_t{9}, int64_t{-1}, int64_t{-10}, int64_t{1} << 40, -(int64_t{1} << 40)}) {
    const Case c = {40, {9, 8}};
    Call call(c, POLYOPS_FLOAT32);
    call.index.set(7, static_cast<double>(wrong));
    call.args.from_end = wrong != -1;
    const Buffer result(POLYOPS_FLOAT32, {9, 8});
    call.args.dst = result.view();
    for (const polyops_kernel* kernel : kernels_of("index_add")) {
      EXPECT_EQ(launch(*kernel, &call.args), POLYOPS_ERROR);
    }
    EXPECT_TRUE(result.guards_intact());
  }
}

TEST(IndexAdd, DeclinesWhatItDoesNotCompute) {
  const auto reason = [](const auto& change) {
    Call call({12, {3, 4, 8}, spread, 1}, POLYOPS_FLOAT32);
    call.args.dst = Buffer(POLYOPS_FLOAT32, {3, 4, 8}).without_data();
    change(&call.args);
    const char* said = kernels_of("index_add")[0]->supports(&call.args);
    return std::string(said == nullptr ? "" : said);
  };
  using Args = polyops_index_add_args*;
  EXPECT_EQ(reason([](Args) {}), "");
  EXPECT_EQ(reason([](Args a) { a->self.dtype = POLYOPS_FLOAT64; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->src.dtype = POLYOPS_FLOAT16; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->index.dtype = POLYOPS_UINT8; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->index.sizes[0] = 11; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->src.sizes[2] = 4; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->self.sizes[0] = 4; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->src.strides[0] = 97; }), "layout");
  EXPECT_EQ(reason([](Args a) { a->self.strides[0] = 33; }), "layout");
  EXPECT_EQ(reason([](Args a) {
              for (polyops_tensor* t : {&a->self, &a->src, &a->dst}) t->sizes[2] = 7;
            }),
            "layout");
  EXPECT_EQ(reason([](Args a) { a->self.sizes[1] = a->dst.sizes[1] = int64_t{1} << 31; }), "size");
}

}  // namespace
}  // namespace polyops::testing
