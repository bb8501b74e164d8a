// index_put: every kernel against the reference in float64. The bound on the error: index_sums.h.
#include "reference/index_put.h"

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
  int indices = 1;
  Rows row = spread;
  int64_t index_step = 1;
};

struct Call {
  Buffer self, src, first, second;
  // dst: for ExactSums alone, the kernel has none.
  struct Args : polyops_index_put_args {
    polyops_tensor dst;
  } args;

  Call(const Case& c, int32_t dtype, int32_t index_type = POLYOPS_INT64)
      : self(dtype, c.sizes),
        src(dtype, {c.count, width(c)}),
        first(index_type, {c.count}, {c.index_step}),
        second(POLYOPS_INT64, {c.count}),
        args{{sizeof(polyops_index_put_args),
              c.indices,
              self.view(),
              {first.view(), second.view()},
              src.view()},
             {}} {
    self.fill_normal(5, 2.0);
    src.fill_normal(3, 2.0);
    // Every other one from the end.
    first.fill([&](int64_t i) { return c.row(i, c.sizes[0]) - i % 2 * c.sizes[0]; });
    if (c.indices == 1) return;
    second.fill([&](int64_t i) { return i * 31 % c.sizes[1] - i / 3 % 2 * c.sizes[1]; });
  }

  static int64_t width(const Case& c) {
    int64_t n = 1;
    for (size_t d = c.indices; d < c.sizes.size(); ++d) n *= c.sizes[d];
    return n;
  }
};

void check(const Case& c, Call& call) {
  const auto reference = [](const Call::Args& args) { reference::index_put(args, args.dst); };
  const ExactSums exact(call.args, reference, 1);
  for (const polyops_kernel* kernel : kernels_of("index_put")) {
    SCOPED_TRACE(kernel->name);
    Buffer result(call.args.self.dtype, c.sizes);
    result.fill([&](int64_t i) { return call.self.get(i); });
    polyops_index_put_args args = call.args;
    args.self = result.view();
    ASSERT_EQ(kernel->supports(&args), nullptr);
    ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK) << last_error();
    expect_close(result, exact);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

TEST(IndexPut, MatchesReference) {
  const std::vector<Case> cases = {{300, {400, 64}},
                                   {90, {40}},
                                   {8193, {1500, 4}, 1, half_of_one},
                                   {600, {70, 2, 8}, 1, few},
                                   {40, {9, 8}, 1, spread, 3},
                                   {300, {40, 10, 64}, 2},
                                   {200, {20, 33}, 2},
                                   {60, {3, 5, 7}, 2, one},
                                   {40, {9, 4, 2, 4}, 2, spread, 3},
                                   {8193, {150, 10, 4}, 2, half_of_one}};
  check_dtypes<Call>(cases, 5000, check);
}

TEST(IndexPut, SpecialValues) {
  for (double special : {std::nan(""), HUGE_VAL, -HUGE_VAL, 3e38}) {
    const Case c = {40, {9, 5, 8}, 2};
    Call call(c, POLYOPS_FLOAT32);
    for (int64_t k = 0; k < 8; ++k) call.src.set(3 * 8 + k, special);
    check(c, call);
  }
}

// On a device its context would be lost, as stock's assertion loses it.
TEST(IndexPut, FailsForIndicesOutOfRange) {
  if (on_device()) GTEST_SKIP() << "its context would not outlive it";
  for (int64_t wrong : {int64_t{9}, int64_t{-10}, int64_t{1} << 40, -(int64_t{1} << 40)}) {
    for (int which : {0, 1}) {
      Call call({40, {9, 9, 8}, 2}, POLYOPS_FLOAT32);
      (which == 0 ? call.first : call.second).set(7, static_cast<double>(wrong));
      for (const polyops_kernel* kernel : kernels_of("index_put")) {
        EXPECT_EQ(launch(*kernel, &call.args), POLYOPS_ERROR);
      }
      EXPECT_TRUE(call.self.guards_intact());
    }
  }
}

TEST(IndexPut, DeclinesWhatItDoesNotCompute) {
  const auto reason = [](const auto& change) {
    Call call({12, {3, 4, 8}, 2}, POLYOPS_FLOAT32);
    change(&call.args);
    const char* said = kernels_of("index_put")[0]->supports(&call.args);
    return std::string(said == nullptr ? "" : said);
  };
  using Args = polyops_index_put_args*;
  EXPECT_EQ(reason([](Args) {}), "");
  EXPECT_EQ(reason([](Args a) { a->self.dtype = POLYOPS_FLOAT64; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->src.dtype = POLYOPS_FLOAT16; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->index[1].dtype = POLYOPS_UINT8; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->index[1].sizes[0] = 11; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->indices = 3; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->indices = 1; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->src.sizes[1] = 4; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->src.strides[0] = 97; }), "layout");
  EXPECT_EQ(reason([](Args a) { a->self.strides[0] = 33; }), "layout");
  EXPECT_EQ(reason([](Args a) { a->self.sizes[0] = int64_t{1} << 31; }), "size");
}

}  // namespace
}  // namespace polyops::testing
