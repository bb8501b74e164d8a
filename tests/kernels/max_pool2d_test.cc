// max_pool2d and its gradient: every kernel against the reference. Values and indices are exact; a
// gradient is a sum of a few, in float32, rounded.
#include <gtest/gtest.h>

#include "family.h"
#include "max_pool_case.h"
#include "reference/pool2d.h"

namespace polyops::testing {
namespace {

std::vector<PoolCase> all_cases() {
  std::vector<PoolCase> cases = pool_cases();
  for (const PoolCase& c : dilated_cases()) cases.push_back(c);
  cases.push_back({{1, 270, 3, 4}, 3, 1, 1});
  cases.push_back({{2, 3, 9, 16}, 3, 2, 1});  // whole packs of columns, two to a word
  cases.push_back({{2, 3, 10, 12}, 3, 2, 0, 1, true});
  cases.push_back({{2, 3, 9, 16}, 3, 2, 0, 1, true});
  cases.push_back({{1, 2, 8, 4}, 3, 2, 1});
  // Windows that are whole, two to a word: several planes to a block, and slabs of one.
  cases.push_back({{3, 5, 12, 13}, 3, 2, 0});
  cases.push_back({{2, 3, 9, 11}, 3, 2, 0});
  cases.push_back({{1, 2, 133, 75}, 3, 2, 0});
  // Thirds of planes, each by a team of lanes if pairs are aligned, and one after the other.
  const int64_t some = on_device() ? 271 : 7;
  for (const Sizes& s : {Sizes{1, on_device() ? 4300 : 150, 14, 14},
                         {1, some, 16, 15},
                         {1, some, 15, 16},
                         {1, some, 3, 94},
                         {1, some, 48, 4}}) {
    cases.push_back({s, 3, 1, 1});
  }
  cases.push_back({{1, some, 14, 14}, 3, 1, 1, 1, false, 1});
  // Thirds of planes, several beside each other and one after the other.
  cases.push_back({{1, on_device() ? 2640 : 49, 3, 196}, 3, 1, 1});
  return cases;
}

void check_forward(const PoolCase& c, bool last, const Buffer& src) {
  const Sizes results = c.results();
  for (int32_t lowest_is_0 : {0, 1}) {
    const polyops_max_pool2d_args args = {sizeof args, lowest_is_0, c.window(), src.view(), {}, {}};
    expect_largest("max_pool2d", args, reference::max_pool2d,
                   {results, layout_strides(results, last), c.offset});
  }
}

void check_backward(const PoolCase& c, bool last, const Buffer& grad, const Buffer& indices) {
  const polyops_max_pool2d_backward_args args = {sizeof args, c.window(), {}, indices.view(), {}};
  expect_gradient("max_pool2d_backward", args, reference::max_pool2d_backward, grad,
                  {c.sizes, layout_strides(c.sizes, last), c.offset});
}

TEST(MaxPool2d, MatchesReference) {
  for (const PoolCase& c : all_cases()) {
    for (bool last : {false, true}) {
      for (int32_t dtype : kPoolDtypes) {
        SCOPED_TRACE(c.describe() + (last ? " last " : " ") + polyops_dtype_name(dtype));
        Buffer src(dtype, c.sizes, layout_strides(c.sizes, last), c.offset);
        src.fill_normal(7);
        check_forward(c, last, src);
        if (::testing::Test::HasFailure()) return;
      }
    }
  }
}

TEST(MaxPool2d, SpecialValues) {
  for (const PoolCase& c : all_cases()) {
    if (c.sizes[2] < 5) continue;
    for (int common : {2, 8, 16}) {
      for (bool last : {false, true}) {
        for (int32_t dtype : {POLYOPS_BFLOAT16, POLYOPS_FLOAT16}) {
          if (last && dtype == POLYOPS_FLOAT16) continue;  // alike there
          SCOPED_TRACE(c.describe() + (last ? " last " : " ") + polyops_dtype_name(dtype));
          Buffer src(dtype, c.sizes, layout_strides(c.sizes, last), c.offset);
          fill_special(&src, common);
          check_forward(c, last, src);
          if (::testing::Test::HasFailure()) return;
        }
      }
    }
  }
}

TEST(MaxPool2d, GradientMatchesReference) {
  for (const PoolCase& c : all_cases()) {
    for (bool last : {false, true}) {
      for (int32_t dtype : kPoolDtypes) {
        SCOPED_TRACE(c.describe() + (last ? " last " : " ") + polyops_dtype_name(dtype));
        const Sizes strides = layout_strides(c.results(), last);
        Buffer src(POLYOPS_FLOAT32, c.sizes), dst(POLYOPS_FLOAT32, c.results());
        Buffer grad(dtype, c.results(), strides, c.offset);
        Buffer indices(POLYOPS_INT64, c.results(), strides, c.offset);
        src.fill_normal(3);
        grad.fill_normal(4);
        reference::max_pool2d({sizeof(polyops_max_pool2d_args), 0, c.window(), src.view(),
                               dst.view(), indices.view()});
        check_backward(c, last, grad, indices);
        if (::testing::Test::HasFailure()) return;
      }
    }
  }
}

// Indices that are no place, or that of an element which the window does not reach, give nothing.
TEST(MaxPool2d, GradientOfOtherIndices) {
  for (const Sizes& sizes : {Sizes{1, 2, 9, 8}, Sizes{1, 8, 9, 8}}) {
    for (const PoolCase& c :
         {PoolCase{sizes, 3, 2, 1}, PoolCase{sizes, 5, 1, 2}, PoolCase{sizes, 3, 1, 1}}) {
      for (const bool last : {false, true}) {
        Buffer grad(POLYOPS_FLOAT32, c.results(), layout_strides(c.results(), last));
        Buffer indices(POLYOPS_INT64, c.results(), layout_strides(c.results(), last));
        grad.fill_normal(5);
        indices.fill([](int64_t i) {
          constexpr double kIndices[] = {
              -1, 0, 5, 71, 72, 4294967296.0 + 5, -4294967296.0 + 5, 20, 4294967295.0};
          return kIndices[i % 9];
        });
        check_backward(c, last, grad, indices);
      }
    }
  }
}

TEST(MaxPool2d, NanGradients) {
  const PoolCase c = {{1, 8, 6, 6}, 3, 2, 1};
  for (bool last : {false, true}) {
    Buffer grad(POLYOPS_FLOAT32, c.results(), layout_strides(c.results(), last));
    Buffer indices(POLYOPS_INT64, c.results(), layout_strides(c.results(), last));
    grad.fill([](int64_t i) { return i % 3 == 0 ? kNan : i % 3 == 1 ? kInf : 2.0; });
    indices.fill([](int64_t i) { return static_cast<double>(i % 9 / 3 * 12 + i % 3 * 2); });
    check_backward(c, last, grad, indices);
  }
}

TEST(MaxPool2d, DeclinesWhatItCannotDo) {
  const Buffer src(POLYOPS_FLOAT32, {1, 2, 8, 8}), dst(POLYOPS_FLOAT32, {1, 2, 4, 4});
  const Buffer indices(POLYOPS_INT64, {1, 2, 4, 4});
  const polyops_pool2d_window window = {{2, 2}, {2, 2}, {0, 0}, {1, 1}};
  const polyops_max_pool2d_args good = {sizeof good, 0,          window,
                                        src.view(),  dst.view(), indices.view()};
  for (const polyops_kernel* kernel : kernels_of("max_pool2d")) {
    EXPECT_STREQ(kernel->supports(&good), nullptr);
    polyops_max_pool2d_args args = good;
    args.indices.dtype = POLYOPS_FLOAT32;
    EXPECT_STREQ(kernel->supports(&args), "dtype");
    args = good;
    args.src.dtype = args.dst.dtype = POLYOPS_FLOAT64;
    EXPECT_STREQ(kernel->supports(&args), "dtype");
    args = good;
    args.src.strides[2] = 16;
    EXPECT_STREQ(kernel->supports(&args), "layout");
    args = good;  // one contiguous, one channels last
    args.src = Buffer(POLYOPS_FLOAT32, {1, 2, 8, 8}, {128, 1, 16, 2}).view();
    EXPECT_STREQ(kernel->supports(&args), "layout");
    args = good;
    args.window.stride[1] = 0;
    EXPECT_STREQ(kernel->supports(&args), "window");
    args = good;
    args.window.dilation[0] = int64_t{1} << 31;
    EXPECT_STREQ(kernel->supports(&args), "size");
    args = good;
    args.src.sizes[0] = int64_t{1} << 25;
    args.src.strides[0] = 128;
    EXPECT_STREQ(kernel->supports(&args), "size");
  }
}

}  // namespace
}  // namespace polyops::testing
