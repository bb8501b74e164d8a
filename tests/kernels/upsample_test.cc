// upsample_{nearest,bilinear,bicubic}2d and their backwards: every kernel against the reference.
//
// Bounds: of forward nearest, none, bits are copied. Else, in units of float32's epsilon, 16 times
// the sum of the magnitudes that a result is made of, by their weights; of bicubic, which has
// negative ones, of as many times the largest magnitude there is. In 16 bits the rounding of the
// result beside.
#include "reference/upsample.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "harness.h"

namespace polyops::testing {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr int32_t kDtypes[] = {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16};

using Sizes = std::vector<int64_t>;

struct Case {
  int64_t batch, channels;
  Sizes from, to;  // height and width
  bool last = false;
  int64_t offset = 0;
  double factors[2] = {0, 0};
};

Sizes strides_of(const Case& c, const Sizes& image) {
  const Sizes sizes = {c.batch, c.channels, image[0], image[1]};
  return permuted_strides(sizes,
                          c.last ? std::vector<int>{0, 2, 3, 1} : std::vector<int>{0, 1, 2, 3});
}

Buffer image_of(const Case& c, int32_t dtype, const Sizes& image, int64_t offset) {
  return Buffer(dtype, {c.batch, c.channels, image[0], image[1]}, strides_of(c, image), offset);
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  const std::vector<std::pair<Sizes, Sizes>> images = {
      {{4, 6}, {8, 12}},
      {{5, 7}, {5, 7}},
      {{3, 5}, {24, 40}},
      {{1, 1}, {9, 12}},
      {{12, 16}, {5, 8}},
      {{7, 9}, {1, 1}},
      {{6, 8}, {6, 16}},
      {{6, 8}, {13, 8}},
      {{1, 7}, {3, 20}},
      {{9, 1}, {20, 4}},
      {{10, 11}, {13, 17}},
      {{40, 33}, {3, 60}},
      {{2, 2}, {70, 4}},
      // Twice and four times the size, in rows of whole packs.
      {{2, 4}, {4, 8}},
      {{7, 24}, {14, 48}},
      {{2, 2}, {8, 8}},
      {{5, 12}, {20, 48}},
      // Rows that begin anywhere, of packs that few places of src make.
      {{5, 6}, {39, 49}},
      {{3, 5}, {33, 42}},
      {{4, 3}, {8, 36}},
  };
  for (const auto& [from, to] : images) {
    cases.push_back({2, 3, from, to});
    cases.push_back({1, 5, from, to, false, 1});
    cases.push_back({2, 8, from, to, true});
    cases.push_back({1, 3, from, to, true});
    cases.push_back({1, 16, from, to, true, 1});
  }
  cases.push_back({1, 1, {6, 4}, {12, 8}});
  // Rows that several blocks share, a plane of many rows, many planes to a block.
  cases.push_back({1, 2, {3, 530}, {6, 1064}});
  cases.push_back({1, 2, {3, 300}, {5, 1207}});
  cases.push_back({1, 2, {40, 3}, {141, 16}});
  cases.push_back({5, 31, {2, 3}, {4, 6}});
  cases.push_back({1, 2, {30, 5}, {271, 43}});
  cases.push_back({1, 2, {4, 40}, {9, 401}});
  // Rows of steps of an eighth: several rows and parts of rows to a block; aligned or not.
  cases.push_back({1, 2, {3, 5}, {24, 40}, false, 2});
  cases.push_back({2, 2, {11, 4}, {81, 25}});
  cases.push_back({1, 3, {19, 3}, {19, 17}});
  cases.push_back({1, 2, {5, 41}, {33, 321}, false, 3});
  cases.push_back({1, 1, {3, 80}, {17, 640}, false, 1});
  cases.push_back({1, 1, {1, 1}, {8, 8}, false, 5});
  cases.push_back({1, 1, {3, 1}, {4, 2100}});
  cases.push_back({1, 2, {5, 6}, {10, 12}, false, 0, {2.0, 2.0}});
  cases.push_back({1, 2, {5, 6}, {8, 10}, false, 0, {1.7, 1.7}});
  cases.push_back({1, 8, {10, 10}, {7, 6}, true, 0, {0.75, 0.61}});
  cases.push_back({1, 2, {30, 5}, {65, 33}, false, 0, {8, 8}});    // a factor that the sizes belie
  cases.push_back({2, 2, {5, 6}, {5, 8}, false, 0, {1.19, 1.4}});  // a factor where the size stays
  return cases;
}

// So many elements that threads get long shares; slow, and no dtype makes a difference to them.
std::vector<Case> large_cases() {
  return {{4, 28, {15, 15}, {14, 16}},       {2, 15, {15, 15}, {14, 16}},
          {8, 30, {15, 15}, {14, 17}},       {4, 28, {15, 15}, {16, 16}},
          {4, 64, {15, 15}, {16, 16}, true}, {16, 3, {30, 15}, {64, 16}, true},
          {8, 40, {13, 8}, {26, 16}},        {8, 40, {9, 4}, {36, 16}},
          {20, 64, {5, 8}, {10, 16}, true}};
}

struct Op {
  const char* name;
  void (*forward)(const polyops_upsample_args&);
  void (*backward)(const polyops_upsample_backward_args&);
  bool nearest = false;
  bool signed_weights = false;

  std::string backward_name() const { return std::string(name) + "_backward"; }
};

std::string describe(const Case& c, int32_t dtype, int option) {
  std::ostringstream text;
  text << polyops_dtype_name(dtype) << " " << c.batch << "x" << c.channels << " " << c.from[0]
       << "x" << c.from[1] << " to " << c.to[0] << "x" << c.to[1]
       << (c.last ? " channels_last" : "") << (option != 0 ? " exact or aligned" : "");
  return text.str();
}

// Elements of that dtype as numbers of their bits, signs of zero and all.
void expect_same(double value, double expected, int64_t i) {
  if (std::isnan(expected)) {
    ASSERT_TRUE(std::isnan(value)) << "element " << i;
  } else {
    ASSERT_EQ(std::memcmp(&value, &expected, sizeof value), 0)
        << "element " << i << ": " << value << " for " << expected;
  }
}

void expect_close(const Buffer& got, const Buffer& exact, const Buffer& magnitudes, bool same) {
  const int32_t dtype = got.view().dtype;
  EXPECT_TRUE(got.guards_intact());
  for (int64_t i = 0; i < got.numel(); ++i) {
    const double value = got.get(i), best = in_range(dtype, exact.get(i));
    if (same) {
      expect_same(value, best, i);
      if (::testing::Test::HasFatalFailure()) return;
      continue;
    }
    if ((std::isnan(best) && std::isnan(value)) || best == value) continue;
    const double scale = std::isfinite(magnitudes.get(i)) ? magnitudes.get(i) : 0;
    const double bound = 16 * epsilon(POLYOPS_FLOAT32) * scale + rounding_of(dtype, best);
    ASSERT_LE(std::abs(value - best), bound) << "element " << i << ": " << value << " for " << best;
  }
}

// The kernels that take it: of planes or of channels, whichever the layout is. Both where it is
// both.
template <class Args>
std::vector<const polyops_kernel*> takers(const std::string& op, const Case& c, const Args& args) {
  std::vector<const polyops_kernel*> taking;
  std::set<std::string> ways, all;
  for (const polyops_kernel* kernel : kernels_of(op)) {
    all.insert(kernel->isa);
    const char* reason = kernel->supports(&args);
    if (reason == nullptr) {
      taking.push_back(kernel);
      ways.insert(kernel->isa);
      continue;
    }
    EXPECT_STREQ(reason, "layout");
    const bool of_channels = std::string(kernel->name).find("_channels__") != std::string::npos;
    EXPECT_NE(of_channels, c.last) << kernel->name;
  }
  EXPECT_EQ(ways, all);
  return taking;
}

polyops_upsample_args forward_args(const Case& c, int option) {
  return {sizeof(polyops_upsample_args), option, option, 0, {c.factors[0], c.factors[1]}, {}, {}};
}
polyops_upsample_backward_args backward_args(const Case& c, int option) {
  return {sizeof(polyops_upsample_backward_args), option, option, 0,
          {c.factors[0], c.factors[1]},           {},     {}};
}

Buffer absolute(const Buffer& x) {
  const polyops_tensor view = x.view();
  Buffer all(POLYOPS_FLOAT64, {view.sizes, view.sizes + view.rank});
  all.fill([&](int64_t i) { return std::abs(x.get(i)); });
  return all;
}

// What a result of weights of both signs is made of, at most: of how many elements, the largest.
void fill_with_largest(Buffer* magnitudes, const Buffer& x) {
  double largest = 0;
  for (double v : x.values())
    largest = std::isfinite(v) ? std::fmax(largest, std::abs(v)) : largest;
  const double share = static_cast<double>(x.numel()) / static_cast<double>(magnitudes->numel());
  magnitudes->fill([&](int64_t) { return 2 * largest * std::fmax(1, share); });
}

void check_forward(const Op& op, const Case& c, int option, const Buffer& src) {
  const int32_t dtype = src.view().dtype;
  SCOPED_TRACE(describe(c, dtype, option));
  const Case plain = {c.batch, c.channels, c.from, c.to};
  Buffer exact = image_of(plain, POLYOPS_FLOAT64, c.to, 0);
  Buffer magnitudes = image_of(plain, POLYOPS_FLOAT64, c.to, 0);
  const Buffer wide = absolute(src);
  polyops_upsample_args args = forward_args(c, option);
  args.src = src.view();
  args.dst = exact.view();
  op.forward(args);
  args.src = wide.view();
  args.dst = magnitudes.view();
  op.forward(args);
  if (op.signed_weights) fill_with_largest(&magnitudes, src);
  args.src = src.view();
  args.dst = image_of(c, dtype, c.to, c.offset * 3).without_data();
  for (const polyops_kernel* kernel : takers(op.name, c, args)) {
    SCOPED_TRACE(kernel->name);
    Buffer dst = image_of(c, dtype, c.to, c.offset * 3);
    args.dst = dst.view();
    ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
    expect_close(dst, exact, magnitudes, op.nearest || c.from == c.to);
  }
}

void check_backward(const Op& op, const Case& c, int option, const Buffer& grad) {
  const int32_t dtype = grad.view().dtype;
  SCOPED_TRACE(describe(c, dtype, option));
  const Case plain = {c.batch, c.channels, c.from, c.to};
  Buffer exact = image_of(plain, POLYOPS_FLOAT64, c.from, 0);
  Buffer magnitudes = image_of(plain, POLYOPS_FLOAT64, c.from, 0);
  const Buffer wide = absolute(grad);
  polyops_upsample_backward_args args = backward_args(c, option);
  args.grad_dst = grad.view();
  args.grad_src = exact.view();
  op.backward(args);
  args.grad_dst = wide.view();
  args.grad_src = magnitudes.view();
  op.backward(args);
  if (op.signed_weights) fill_with_largest(&magnitudes, grad);
  args.grad_dst = grad.view();
  args.grad_src = image_of(c, dtype, c.from, c.offset * 3).without_data();
  for (const polyops_kernel* kernel : takers(op.backward_name(), c, args)) {
    SCOPED_TRACE(kernel->name);
    Buffer result = image_of(c, dtype, c.from, c.offset * 3);
    args.grad_src = result.view();
    ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
    expect_close(result, exact, magnitudes, c.from == c.to);
  }
}

class UpsampleTest : public ::testing::TestWithParam<Op> {};

void check_both(const Op& op, const Case& c, int32_t dtype, int option) {
  Buffer src = image_of(c, dtype, c.from, c.offset), grad = image_of(c, dtype, c.to, c.offset);
  src.fill_normal(5);
  grad.fill_normal(6);
  check_forward(op, c, option, src);
  check_backward(op, c, option, grad);
}

TEST_P(UpsampleTest, MatchesReference) {
  for (const Case& c : all_cases()) {
    for (int32_t dtype : kDtypes) {
      for (int option : {0, 1}) {
        check_both(GetParam(), c, dtype, option);
        if (HasFailure()) return;
      }
    }
  }
}

TEST_P(UpsampleTest, LongShares) {
  for (const Case& c : large_cases()) {
    check_both(GetParam(), c, POLYOPS_BFLOAT16, 0);
    if (HasFailure()) return;
  }
}

TEST_P(UpsampleTest, SpecialValues) {
  const double special[] = {kNan, kInf, -kInf, -0.0, 6e4, -6e4, 1e-7};
  // No weight is 0 but for rounding.
  for (const Case& c : {Case{2, 8, {9, 8}, {18, 20}}, Case{2, 8, {9, 8}, {18, 20}, true},
                        Case{2, 8, {9, 8}, {18, 16}}, Case{2, 8, {9, 8}, {18, 16}, true},
                        Case{2, 8, {9, 8}, {36, 32}}, Case{2, 3, {9, 8}, {18, 69}},
                        Case{2, 3, {9, 8}, {72, 64}, false, 6}, Case{1, 2, {5, 8}, {40, 64}},
                        Case{2, 3, {9, 5}, {65, 33}}}) {
    for (int32_t dtype : kDtypes) {
      for (int option : {0, 1}) {
        Buffer src = image_of(c, dtype, c.from, 0), grad = image_of(c, dtype, c.to, c.offset);
        src.fill_normal(5);
        grad.fill_normal(6);
        for (int i = 0; i < 7; ++i) {
          src.set(i * 131 % src.numel(), special[i]);
          grad.set(i * 977 % grad.numel(), special[i]);
          src.set(src.numel() - 1 - i * 145 % src.numel(), special[i]);  // some at an edge
          grad.set(grad.numel() - 1 - i * 866 % grad.numel(), special[i]);
        }
        check_forward(GetParam(), c, option, src);
        check_backward(GetParam(), c, option, grad);
        if (HasFailure()) return;
      }
    }
  }
}

TEST_P(UpsampleTest, DeclinesByName) {
  const Op& op = GetParam();
  Buffer src(POLYOPS_FLOAT32, {2, 4, 5, 6}), dst(POLYOPS_FLOAT32, {2, 4, 10, 12});
  Buffer other(POLYOPS_BFLOAT16, {2, 4, 10, 12}), fewer(POLYOPS_FLOAT32, {2, 3, 10, 12});
  Buffer flat(POLYOPS_FLOAT32, {2, 4, 120}), wide(POLYOPS_FLOAT64, {2, 4, 5, 6});
  Buffer turned(POLYOPS_FLOAT32, {2, 4, 10, 12}, permuted_strides({2, 4, 10, 12}, {0, 1, 3, 2}));
  for (const polyops_kernel* kernel : kernels_of(op.name)) {
    const auto reason = [&](const Buffer& a, const Buffer& b, double factor = 0) {
      polyops_upsample_args args = forward_args({1, 1, {}, {}, false, 0, {factor, factor}}, 0);
      args.src = a.without_data();
      args.dst = b.without_data();
      return kernel->supports(&args);
    };
    EXPECT_STREQ(reason(src, other), "dtype");
    EXPECT_STREQ(reason(wide, wide), "dtype");
    EXPECT_STREQ(reason(src, flat), "rank");
    EXPECT_STREQ(reason(src, fewer), "shape");
    EXPECT_STREQ(reason(src, turned), "layout");
    if (std::string(op.name) == "upsample_bilinear2d") {
      EXPECT_STREQ(reason(src, dst, 1.5), "scale");
    }
    polyops_upsample_args huge = forward_args({1, 1, {}, {}}, 0);
    huge.src = src.without_data();
    huge.dst = dst.without_data();
    huge.dst.sizes[2] = int64_t{1} << 30;
    EXPECT_STREQ(kernel->supports(&huge), "size");
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, UpsampleTest,
                         ::testing::Values(Op{"upsample_nearest2d", reference::upsample_nearest2d,
                                              reference::upsample_nearest2d_backward, true},
                                           Op{"upsample_bilinear2d", reference::upsample_bilinear2d,
                                              reference::upsample_bilinear2d_backward},
                                           Op{"upsample_bicubic2d", reference::upsample_bicubic2d,
                                              reference::upsample_bicubic2d_backward, false, true}),
                         [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace polyops::testing
