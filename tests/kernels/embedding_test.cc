// embedding_backward: every kernel against the reference in float64.
//
// Bound: of a sum of n terms, 4 + sqrt(n) units of float32's epsilon times the sum of their
// magnitudes, and the rounding of the result. All kernels of a family give the same bits.
#include "reference/embedding.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "harness.h"

namespace polyops::testing {
namespace {

constexpr int32_t kDtypes[] = {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16};

using Rows = std::function<int64_t(int64_t i, int64_t rows)>;

int64_t spread(int64_t i, int64_t rows) { return (i * 7919 + 5) % rows; }
int64_t one(int64_t, int64_t rows) { return rows / 2; }
int64_t half_of_one(int64_t i, int64_t rows) {
  return i % 2 == 0 ? rows / 3 : (i * 31 + i / 64) % rows;
}
int64_t few(int64_t i, int64_t rows) { return (i % 3) * (rows - 1) / 2; }
int64_t as_words(int64_t i, int64_t rows) {  // the fewer the larger
  const int64_t x = (i * 2654435761) % 1000;
  return x * x * x / 1000000 * rows / 1000;
}

struct Case {
  int64_t lookups, rows, width;
  Rows row = spread;
  int64_t padding = -1;
  bool by_freq = false;
  int64_t offset = 0;
};

std::vector<Case> all_cases() {
  std::vector<Case> cases = {
      {1, 1, 1},
      {5, 10, 3},
      {100, 50, 64},
      {700, 900, 64},
      {64, 3000, 4},       // hardly any rows have lookups
      {30, 9, 1100, few},  // rows of several blocks
      {256, 300, 4, as_words, 0},
      {256, 5, 12, half_of_one, -1, true, 1},
      {300, 9, 1100, few},
      {300, 2000, 4, spread, 13},
      {300, 2000, 33, as_words, 0, true, 1},
      {300, 1900, 8, one, 950},  // all of them padding
      {1100, 3, 48, few},        // rows of several shares
      {900, 40, 33, as_words},
      {600, 40, 64, as_words, -1, false, 1},
      {1200, 70, 8, half_of_one, 23},
      {1200, 70, 8, half_of_one, -1, true},
      {1200, 70, 16, half_of_one},
      {300, 1, 16, one},
      {300, 7, 264, one},
      {300, 7, 16, one, 3},  // all of them padding
      {1, 4000, 8},
      {8192, 40, 4, as_words},       // one block sorts them
      {8193, 1500, 4, as_words, 0},  // several do, in two passes
  };
  for (int64_t width : {1, 2, 4, 5, 7, 8, 12, 31, 100, 257}) {
    if (width < 9) cases.push_back({90, 40, width, as_words});
    cases.push_back({260, 40, width, as_words});
  }
  return cases;
}

struct Call {
  Buffer grad, index;
  polyops_embedding_backward_args args;

  Call(const Case& c, int32_t dtype, int32_t index_type = POLYOPS_INT64)
      : grad(dtype, {c.lookups, c.width}, {}, c.offset),
        index(index_type, {c.lookups}),
        args{sizeof args, c.by_freq, c.padding, grad.view(), index.view(), {}} {
    grad.fill_normal(3, 2.0);
    index.fill([&](int64_t i) { return c.row(i, c.rows); });
  }
};

// Of each element: its exact value, and what rounding may add to it.
struct Exact {
  Buffer value, magnitude;
  std::vector<double> terms;  // of each row

  Exact(const Case& c, const Call& call)
      : value(POLYOPS_FLOAT64, {c.rows, c.width}),
        magnitude(POLYOPS_FLOAT64, {c.rows, c.width}),
        terms(c.rows) {
    polyops_embedding_backward_args args = call.args;
    args.grad_weight = value.view();
    reference::embedding_backward(args);
    Buffer absolute(POLYOPS_FLOAT64, {c.lookups, c.width});
    absolute.fill([&](int64_t i) { return std::abs(call.grad.get(i)); });
    args.grad_dst = absolute.view();
    args.grad_weight = magnitude.view();
    reference::embedding_backward(args);
    for (int64_t i = 0; i < c.lookups; ++i) terms[static_cast<int64_t>(call.index.get(i))] += 1;
  }
};

void expect_close(const Buffer& got, const Exact& exact, int64_t width) {
  const int32_t dtype = got.view().dtype;
  ASSERT_TRUE(got.guards_intact());
  for (int64_t i = 0; i < got.numel(); ++i) {
    const double best = in_range(dtype, exact.value.get(i)), value = got.get(i);
    if (best == value || (std::isnan(best) && std::isnan(value))) continue;
    const double units = 4 + std::sqrt(exact.terms[i / width]);
    const double bound =
        units * epsilon(POLYOPS_FLOAT32) * exact.magnitude.get(i) + rounding_of(dtype, best);
    ASSERT_LE(std::abs(value - best), bound) << "element " << i << ": " << value << " for " << best;
  }
}

void check(const Case& c, Call& call) {
  const Exact exact(c, call);
  const int32_t dtype = call.args.grad_dst.dtype;
  std::vector<double> first;
  for (const polyops_kernel* kernel : kernels_of("embedding_backward")) {
    SCOPED_TRACE(kernel->name);
    const Buffer result(dtype, {c.rows, c.width}, {}, c.offset);
    call.args.grad_weight = result.without_data();
    ASSERT_EQ(kernel->supports(&call.args), nullptr);
    call.args.grad_weight = result.view();
    ASSERT_EQ(launch(*kernel, &call.args), POLYOPS_OK) << last_error();
    expect_close(result, exact, c.width);
    if (::testing::Test::HasFatalFailure()) return;
    if (first.empty()) first = result.values();
    for (size_t i = 0; i < first.size(); ++i) {
      const double value = result.get(static_cast<int64_t>(i));
      ASSERT_TRUE(value == first[i] || std::isnan(value)) << "element " << i;
    }
  }
}

std::string describe(const Case& c, int32_t dtype) {
  return std::string(polyops_dtype_name(dtype)) + " " + std::to_string(c.lookups) + " of " +
         std::to_string(c.rows) + "x" + std::to_string(c.width);
}

TEST(EmbeddingBackward, MatchesReference) {
  for (const Case& c : all_cases()) {
    for (int32_t dtype : kDtypes) {
      if (c.lookups > 5000 && dtype != POLYOPS_FLOAT32) continue;
      SCOPED_TRACE(describe(c, dtype));
      Call call(c, dtype, dtype == POLYOPS_BFLOAT16 ? POLYOPS_INT32 : POLYOPS_INT64);
      check(c, call);
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

// So many that a launch of its own adds up what chunks have.
TEST(EmbeddingBackward, ManyLookups) {
  const Case c = {135000, 9, 1, few};
  Call call(c, POLYOPS_FLOAT32, POLYOPS_INT32);
  check(c, call);
}

// Of two passes, whose launches write a part of the zeros each, and of one.
TEST(EmbeddingBackward, MostlyZeros) {
  for (const Case& c : {Case{8200, 50000, 2, as_words, 17, true, 1}, Case{400, 70000, 5, one},
                        Case{8200, 50000, 3, half_of_one, -1, false, 5}}) {
    Call call(c, POLYOPS_BFLOAT16);
    check(c, call);
  }
}

TEST(EmbeddingBackward, SpecialValues) {
  for (double special : {std::nan(""), HUGE_VAL, -HUGE_VAL, 3e38}) {
    for (bool padding : {false, true}) {
      const Case c = {40, 9, 8, few, padding ? 0 : -1};
      Call call(c, POLYOPS_FLOAT32);
      for (int64_t k = 0; k < 8; ++k) call.grad.set(3 * 8 + k, special);  // of row 0
      check(c, call);
    }
  }
}

// On a device its context would be lost, as stock's assertion loses it.
TEST(EmbeddingBackward, FailsForIndicesThatAreNoRow) {
  if (on_device()) GTEST_SKIP() << "its context would not outlive it";
  for (int64_t wrong : {int64_t{9}, int64_t{-1}, int64_t{1} << 40, -(int64_t{1} << 40)}) {
    const Case c = {40, 9, 8};
    Call call(c, POLYOPS_FLOAT32);
    call.index.set(7, static_cast<double>(wrong));
    const Buffer result(POLYOPS_FLOAT32, {9, 8});
    call.args.grad_weight = result.view();
    for (const polyops_kernel* kernel : kernels_of("embedding_backward")) {
      EXPECT_EQ(launch(*kernel, &call.args), POLYOPS_ERROR);
    }
    EXPECT_TRUE(result.guards_intact());
  }
}

TEST(EmbeddingBackward, DeclinesWhatItDoesNotCompute) {
  const auto reason = [](const auto& change) {
    Call call({12, 4, 8}, POLYOPS_FLOAT32);
    call.args.grad_weight = Buffer(POLYOPS_FLOAT32, {4, 8}).without_data();
    change(&call.args);
    const char* said = kernels_of("embedding_backward")[0]->supports(&call.args);
    return std::string(said == nullptr ? "" : said);
  };
  using Args = polyops_embedding_backward_args*;
  EXPECT_EQ(reason([](Args) {}), "");
  EXPECT_EQ(reason([](Args a) { a->grad_dst.dtype = POLYOPS_FLOAT64; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->grad_weight.dtype = POLYOPS_FLOAT16; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->index.dtype = POLYOPS_UINT8; }), "dtype");
  EXPECT_EQ(reason([](Args a) { a->index.sizes[0] = 11; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->grad_weight.sizes[1] = 4; }), "shape");
  EXPECT_EQ(reason([](Args a) { a->grad_dst.strides[0] = 9; }), "layout");
  EXPECT_EQ(reason([](Args a) { a->grad_weight.sizes[0] = int64_t{1} << 31; }), "size");
}

}  // namespace
}  // namespace polyops::testing
