// adaptive_avg_pool2d and its gradient: every kernel against the reference. Bound: as avg_pool2d's.
#include <gtest/gtest.h>

#include "pool2d.h"
#include "reference/pool2d.h"

namespace polyops::testing {
namespace {

struct Case {
  Sizes sizes;
  Pair results;
  int64_t offset = 0;
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (int64_t channels : {3, 16}) {
    for (const Pair image : {Pair(1), Pair(7), Pair(10, 13), Pair(24, 18)}) {
      const Sizes sizes = {2, channels, image.high, image.wide};
      for (const Pair results : {Pair(1), Pair(2, 3), Pair(7), Pair(6, 1), Pair(11, 15)}) {
        all.push_back({sizes, results});
      }
    }
    all.push_back({{1, channels, 9, 8}, 4, 1});
  }
  all.push_back({{1, 2, 150, 40}, {140, 7}});  // several rows to a thread
  all.push_back({{1, 5, 60, 60}, 6});          // bands whose rows are no whole packs
  all.push_back({{1, 3, 33, 33}, 3});
  all.push_back({{1, 2, 60, 60}, 2});
  all.push_back({{2, 4, 16, 56}, {2, 7}});  // rows that end within a sector
  return all;
}

std::string describe(const Case& c, bool last, int32_t dtype) {
  std::ostringstream text;
  for (int64_t n : c.sizes) text << n << " ";
  text << "to " << c.results.high << " " << c.results.wide << (last ? " last " : " ")
       << polyops_dtype_name(dtype);
  return text.str();
}

Buffer magnitudes_of(const Buffer& values, const Sizes& sizes) {
  Buffer size(POLYOPS_FLOAT64, sizes);
  size.fill([&](int64_t i) { return std::abs(values.get(i)); });
  return size;
}

void check_forward(const Case& c, const Sizes& results, bool last, const Buffer& src) {
  const Buffer size = magnitudes_of(src, c.sizes);
  Buffer exact(POLYOPS_FLOAT64, results), scale(POLYOPS_FLOAT64, results);
  reference::adaptive_avg_pool2d({0, size.view(), scale.view()});
  reference::adaptive_avg_pool2d({0, src.view(), exact.view()});
  for (const polyops_kernel* kernel : kernels_of("adaptive_avg_pool2d")) {
    SCOPED_TRACE(kernel->name);
    Buffer dst(src.view().dtype, results, layout_strides(results, last), c.offset);
    polyops_adaptive_avg_pool2d_args args = {sizeof args, src.view(), dst.without_data()};
    ASSERT_STREQ(kernel->supports(&args), nullptr);
    args.dst = dst.view();
    ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
    expect_close(dst, exact.values(), scale.values());
  }
}

void check_backward(const Case& c, const Sizes& results, bool last, const Buffer& grad) {
  const Buffer size = magnitudes_of(grad, results);
  Buffer exact(POLYOPS_FLOAT64, c.sizes), scale(POLYOPS_FLOAT64, c.sizes);
  reference::adaptive_avg_pool2d_backward({0, size.view(), scale.view()});
  reference::adaptive_avg_pool2d_backward({0, grad.view(), exact.view()});
  for (const polyops_kernel* kernel : kernels_of("adaptive_avg_pool2d_backward")) {
    SCOPED_TRACE(kernel->name);
    Buffer result(grad.view().dtype, c.sizes, layout_strides(c.sizes, last), c.offset);
    polyops_adaptive_avg_pool2d_backward_args args = {sizeof args, grad.view(),
                                                      result.without_data()};
    ASSERT_STREQ(kernel->supports(&args), nullptr);
    args.grad_src = result.view();
    ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
    expect_close(result, exact.values(), scale.values());
  }
}

void check_both(const Case& c, bool last, int32_t dtype, const std::function<void(Buffer&)>& fill) {
  SCOPED_TRACE(describe(c, last, dtype));
  const Sizes results = {c.sizes[0], c.sizes[1], c.results.high, c.results.wide};
  Buffer src(dtype, c.sizes, layout_strides(c.sizes, last), c.offset);
  Buffer grad(dtype, results, layout_strides(results, last), c.offset);
  fill(src);
  fill(grad);
  check_forward(c, results, last, src);
  check_backward(c, results, last, grad);
}

TEST(AdaptiveAvgPool2d, MatchesReference) {
  for (const Case& c : cases()) {
    for (bool last : {false, true}) {
      for (int32_t dtype : kPoolDtypes) {
        check_both(c, last, dtype, [](Buffer& b) { b.fill_normal(5); });
        if (::testing::Test::HasFailure()) return;
      }
    }
  }
}

TEST(AdaptiveAvgPool2d, SpecialValues) {
  for (int64_t channels : {3, 8}) {
    for (bool last : {false, true}) {
      check_both({{1, channels, 9, 10}, {4, 3}}, last, POLYOPS_BFLOAT16, [](Buffer& b) {
        b.fill([](int64_t i) { return i % 31 == 0 ? NAN : i % 17 == 0 ? -HUGE_VAL : 1e37; });
      });
    }
  }
}

TEST(AdaptiveAvgPool2d, DeclinesWhatItCannotDo) {
  const Buffer src(POLYOPS_FLOAT32, {1, 2, 8, 8}), dst(POLYOPS_FLOAT32, {1, 2, 4, 4});
  const polyops_adaptive_avg_pool2d_args good = {sizeof good, src.view(), dst.view()};
  for (const polyops_kernel* kernel : kernels_of("adaptive_avg_pool2d")) {
    EXPECT_STREQ(kernel->supports(&good), nullptr);
    polyops_adaptive_avg_pool2d_args args = good;
    args.src.dtype = args.dst.dtype = POLYOPS_FLOAT64;
    EXPECT_STREQ(kernel->supports(&args), "dtype");
    args = good;
    args.src.strides[2] = 16;
    EXPECT_STREQ(kernel->supports(&args), "layout");
    args = {sizeof args, Buffer(POLYOPS_FLOAT32, {1, 1, 1, 50000}).view(),
            Buffer(POLYOPS_FLOAT32, {1, 1, 1, 50000}).view()};
    EXPECT_STREQ(kernel->supports(&args), "size");
  }
}

}  // namespace
}  // namespace polyops::testing
