// max_pool3d and its gradient: every kernel against the reference. Values and indices are exact; a
// gradient is a sum of a few, in float32, rounded.
#include <gtest/gtest.h>

#include "max_pool_case.h"
#include "pool3d.h"
#include "reference/max_pool.h"

namespace polyops::testing {
namespace {

std::vector<Pool3dCase> all_cases() {
  std::vector<Pool3dCase> cases = pool3d_cases();
  for (const Pool3dCase& c : dilated_3d_cases()) cases.push_back(c);
  for (const Sizes& s : {Sizes{2, 3, 4, 5, 6}, Sizes{1, 8, 4, 5, 7}}) {
    cases.push_back({s, {1, 3, 3}, {1, 2, 2}, {0, 1, 1}});
    cases.push_back({s, {1, 3, 3}, {1, 2, 2}});
    cases.push_back({s, {3, 3, 3}, {2, 2, 2}, {0, 1, 1}});
    cases.push_back({s, {3, 3, 3}, {2, 2, 2}, {1, 0, 1}});
  }
  for (const Sizes& s :
       {Sizes{1, 2, 5, 6, 16}, Sizes{2, 1, 4, 3, 8}, Sizes{1, 1, 3, 5, 24}}) {  // packs
    cases.push_back({s, 3, 2, 1});
    cases.push_back({s, 2, 2});
    cases.push_back({s, 3, 1, 1});
    cases.push_back({s, {1, 3, 3}, {1, 2, 2}, {0, 1, 1}});
    cases.push_back({s, {1, 2, 2}, {1, 2, 2}});
    cases.push_back({s, 3, 2, {0, 0, 1}});
    cases.push_back({s, 3, 1, {1, 0, 1}});
    cases.push_back({s, 3, 2, 1, 1, true});
  }
  cases.push_back({{1, 50, 3, 4, 5}, 3, 1, 1});   // thirds of volumes, side by side
  cases.push_back({{1, 270, 2, 3, 4}, 3, 1, 1});  // and on a large device
  cases.push_back({{1, 50, 2, 3, 8}, 3, 1, 1, 1, false, 1});
  // Thirds of volumes, each by a team of lanes if pairs are aligned.
  const int64_t some = on_device() ? 271 : 7;
  for (const Sizes& s : {Sizes{1, some, 5, 14, 14},
                         {1, some, 2, 15, 16},
                         {1, some, 1, 3, 94},
                         {1, some, 3, 48, 4}}) {
    cases.push_back({s, 3, 1, 1});
  }
  cases.push_back({{1, some, 4, 14, 14}, 3, 1, 1, 1, false, 1});
  cases.push_back({{1, 1, 17, 29, 28}, 3, 1, 1, 1, false, 1});  // parts of a volume
  cases.push_back({{1, 1, 70, 4, 8}, 3, 2, 1});
  cases.push_back({{1, 2, 5, 6, 8}, 3, 2, 1, 1, false, 1});
  cases.push_back({{1, 1, 90, 4, 4}, 3, 2, 1});  // several frames to a thread
  cases.push_back({{1, 2, 90, 3, 4}, 2, 2});
  return cases;
}

void check_forward(const Pool3dCase& c, bool last, const Buffer& src) {
  const Sizes results = c.results();
  const polyops_max_pool3d_args args = {sizeof args, c.window(), src.view(), {}, {}};
  expect_largest("max_pool3d", args, reference::max_pool3d,
                 {results, layout_strides_3d(results, last), c.offset});
}

void check_backward(const Pool3dCase& c, bool last, const Buffer& grad, const Buffer& indices) {
  const polyops_max_pool3d_backward_args args = {sizeof args, c.window(), {}, indices.view(), {}};
  expect_gradient("max_pool3d_backward", args, reference::max_pool3d_backward, grad,
                  {c.sizes, layout_strides_3d(c.sizes, last), c.offset});
}

TEST(MaxPool3d, MatchesReference) {
  for (const Pool3dCase& c : all_cases()) {
    for (bool last : {false, true}) {
      for (int32_t dtype : kPoolDtypes) {
        SCOPED_TRACE(c.describe() + (last ? " last " : " ") + polyops_dtype_name(dtype));
        Buffer src(dtype, c.sizes, layout_strides_3d(c.sizes, last), c.offset);
        src.fill_normal(7);
        check_forward(c, last, src);
        if (::testing::Test::HasFailure()) return;
      }
    }
  }
}

TEST(MaxPool3d, SpecialValues) {
  for (const Pool3dCase& c : all_cases()) {
    if (c.sizes[4] > 24 || c.sizes[2] > 10) continue;
    for (int common : {2, 8, 16}) {
      for (bool last : {false, true}) {
        SCOPED_TRACE(c.describe() + (last ? " last" : ""));
        for (int32_t dtype : kPoolDtypes) {
          if (dtype == POLYOPS_FLOAT32 && (last || c.sizes[4] % 8 != 0)) continue;
          Buffer src(dtype, c.sizes, layout_strides_3d(c.sizes, last), c.offset);
          fill_special(&src, common);
          check_forward(c, last, src);
        }
        if (::testing::Test::HasFailure()) return;
      }
    }
  }
}

TEST(MaxPool3d, GradientMatchesReference) {
  for (const Pool3dCase& c : all_cases()) {
    for (bool last : {false, true}) {
      for (int32_t dtype : kPoolDtypes) {
        SCOPED_TRACE(c.describe() + (last ? " last " : " ") + polyops_dtype_name(dtype));
        const Sizes strides = layout_strides_3d(c.results(), last);
        Buffer src(POLYOPS_FLOAT32, c.sizes), dst(POLYOPS_FLOAT32, c.results());
        Buffer grad(dtype, c.results(), strides, c.offset);
        Buffer indices(POLYOPS_INT64, c.results(), strides, c.offset);
        src.fill_normal(3);
        grad.fill_normal(4);
        reference::max_pool3d({0, c.window(), src.view(), dst.view(), indices.view()});
        check_backward(c, last, grad, indices);
        if (::testing::Test::HasFailure()) return;
      }
    }
  }
}

// Indices that are no place, or that of an element which the window does not reach, give nothing.
TEST(MaxPool3d, GradientOfOtherIndices) {
  for (const int64_t channels : {3, 8}) {
    for (const Triple& stride : {Triple(2), Triple(1), Triple(2, 1, 3)}) {
      const Pool3dCase c = {{1, channels, 4, 5, 6}, 3, stride, 1};
      for (const bool last : {false, true}) {
        Buffer grad(POLYOPS_FLOAT32, c.results(), layout_strides_3d(c.results(), last));
        Buffer indices(POLYOPS_INT64, c.results(), layout_strides_3d(c.results(), last));
        grad.fill([](int64_t i) { return i % 5 == 4 ? kNan : static_cast<double>(i % 7); });
        indices.fill([](int64_t i) {
          constexpr double kIndices[] = {-1, 0,  5, 119, 120, 4294967296.0 + 5, -4294967296.0 + 5,
                                         20, 37, 8};
          return kIndices[i % 10];
        });
        check_backward(c, last, grad, indices);
      }
    }
  }
}

// Which 32 bits would take for places before the volume.
TEST(MaxPool3d, GradientOfIndicesBelowNone) {
  for (const double index : {4294967295.0, 4294967290.0, 2147483648.0}) {
    const Pool3dCase c = {{1, 8, 3, 3, 4}, 3, 1, 1};
    Buffer grad(POLYOPS_FLOAT32, c.results()), indices(POLYOPS_INT64, c.results());
    grad.fill([](int64_t i) { return static_cast<double>(i % 7 + 1); });
    indices.fill([&](int64_t) { return index; });
    check_backward(c, false, grad, indices);
  }
}

TEST(MaxPool3d, DeclinesWhatItCannotDo) {
  const Buffer src(POLYOPS_FLOAT32, {1, 2, 4, 8, 8}), dst(POLYOPS_FLOAT32, {1, 2, 2, 4, 4});
  const Buffer indices(POLYOPS_INT64, {1, 2, 2, 4, 4});
  const polyops_pool3d_window window = {{2, 2, 2}, {2, 2, 2}, {0, 0, 0}, {1, 1, 1}};
  const polyops_max_pool3d_args good = {sizeof good, window, src.view(), dst.view(),
                                        indices.view()};
  for (const polyops_kernel* kernel : kernels_of("max_pool3d")) {
    EXPECT_STREQ(kernel->supports(&good), nullptr);
    polyops_max_pool3d_args args = good;
    args.indices.dtype = POLYOPS_FLOAT32;
    EXPECT_STREQ(kernel->supports(&args), "dtype");
    args = good;
    args.src.strides[3] = 16;
    EXPECT_STREQ(kernel->supports(&args), "layout");
    args = good;
    args.window.stride[2] = 0;
    EXPECT_STREQ(kernel->supports(&args), "window");
    args = good;  // the last window is beyond the image
    args.window.stride[0] = 4;
    EXPECT_STREQ(kernel->supports(&args), "window");
    args = good;  // the first one skips it
    args.window.padding[0] = 1;
    args.window.dilation[0] = 6;
    EXPECT_STREQ(kernel->supports(&args), "window");
    args = good;
    args.window.dilation[0] = int64_t{1} << 31;
    EXPECT_STREQ(kernel->supports(&args), "size");
    args = good;
    args.src.sizes[0] = int64_t{1} << 25;
    EXPECT_STREQ(kernel->supports(&args), "size");
  }
}

}  // namespace
}  // namespace polyops::testing
