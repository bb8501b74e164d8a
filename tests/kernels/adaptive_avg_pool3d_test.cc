// adaptive_avg_pool3d and its gradient: every kernel against the reference. Bound: as avg_pool2d's.
#include <gtest/gtest.h>

#include "pool3d.h"
#include "reference/pool3d.h"

namespace polyops::testing {
namespace {

struct Case {
  Sizes sizes;
  Triple results;
  int64_t offset = 0;

  Sizes result_sizes() const {
    return {sizes[0], sizes[1], results.deep, results.high, results.wide};
  }
};

std::vector<Case> cases() {
  std::vector<Case> all;
  for (int64_t channels : {3, 16}) {
    for (const Triple image : {Triple(1), Triple(4, 7, 6), Triple(5, 10, 16)}) {
      const Sizes sizes = {2, channels, image.deep, image.high, image.wide};
      for (const Triple results : {Triple(1), Triple(2, 3, 2), Triple(4, 7, 5), Triple(3, 1, 9)}) {
        all.push_back({sizes, results});
      }
    }
    all.push_back({{1, channels, 3, 9, 8}, {2, 4, 4}, 1});
  }
  all.push_back({{1, 2, 5, 16, 48}, {2, 5, 3}});   // windows of packs, a team to each
  all.push_back({{1, 3, 8, 5, 16}, {2, 5, 16}});   // of frames alone
  all.push_back({{1, 2, 3, 70, 8}, {2, 60, 5}});   // several rows to a thread
  all.push_back({{1, 32, 5, 18, 12}, {2, 2, 2}});  // parts of windows of packs of channels
  // So many that a thread has some behind each other, which share planes.
  all.push_back({{1, 16, 5, 32, 16}, {3, 16, 16}});
  return all;
}

std::string describe(const Case& c, int32_t dtype) {
  std::ostringstream text;
  for (int64_t n : c.sizes) text << n << " ";
  text << "to " << c.results.describe() << " " << polyops_dtype_name(dtype);
  return text.str();
}

Buffer magnitudes_of(const Buffer& values, const Sizes& sizes) {
  Buffer size(POLYOPS_FLOAT64, sizes);
  size.fill([&](int64_t i) { return std::abs(values.get(i)); });
  return size;
}

void check_forward(const Case& c, const Buffer& src) {
  const Sizes results = c.result_sizes();
  const Buffer size = magnitudes_of(src, c.sizes);
  Buffer exact(POLYOPS_FLOAT64, results), scale(POLYOPS_FLOAT64, results);
  reference::adaptive_avg_pool3d({0, size.view(), scale.view()});
  reference::adaptive_avg_pool3d({0, src.view(), exact.view()});
  for (const polyops_kernel* kernel : kernels_of("adaptive_avg_pool3d")) {
    SCOPED_TRACE(kernel->name);
    Buffer dst(src.view().dtype, results, {}, c.offset);
    polyops_adaptive_avg_pool3d_args args = {sizeof args, src.view(), dst.without_data()};
    ASSERT_STREQ(kernel->supports(&args), nullptr);
    args.dst = dst.view();
    ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
    expect_close(dst, exact.values(), scale.values());
  }
}

void check_backward(const Case& c, const Buffer& grad) {
  const Buffer size = magnitudes_of(grad, c.result_sizes());
  Buffer exact(POLYOPS_FLOAT64, c.sizes), scale(POLYOPS_FLOAT64, c.sizes);
  reference::adaptive_avg_pool3d_backward({0, size.view(), scale.view()});
  reference::adaptive_avg_pool3d_backward({0, grad.view(), exact.view()});
  for (const polyops_kernel* kernel : kernels_of("adaptive_avg_pool3d_backward")) {
    SCOPED_TRACE(kernel->name);
    Buffer result(grad.view().dtype, c.sizes, {}, c.offset);
    polyops_adaptive_avg_pool3d_backward_args args = {sizeof args, grad.view(),
                                                      result.without_data()};
    ASSERT_STREQ(kernel->supports(&args), nullptr);
    args.grad_src = result.view();
    ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
    expect_close(result, exact.values(), scale.values());
  }
}

void check_all(const Case& c, int32_t dtype, const std::function<void(Buffer&)>& fill) {
  SCOPED_TRACE(describe(c, dtype));
  for (const bool last : {false, true}) {
    Buffer src(dtype, c.sizes, layout_strides_3d(c.sizes, last), c.offset);
    fill(src);
    check_forward(c, src);
    Buffer grad(dtype, c.result_sizes(), layout_strides_3d(c.result_sizes(), last), c.offset);
    fill(grad);
    check_backward(c, grad);
  }
}

TEST(AdaptiveAvgPool3d, MatchesReference) {
  for (const Case& c : cases()) {
    for (int32_t dtype : kPoolDtypes) {
      check_all(c, dtype, [](Buffer& b) { b.fill_normal(5); });
      if (::testing::Test::HasFailure()) return;
    }
  }
}

TEST(AdaptiveAvgPool3d, SpecialValues) {
  for (int64_t channels : {3, 8}) {
    check_all({{1, channels, 3, 5, 8}, {2, 4, 3}}, POLYOPS_BFLOAT16, [](Buffer& b) {
      b.fill([](int64_t i) { return i % 31 == 0 ? NAN : i % 17 == 0 ? -HUGE_VAL : 1e37; });
    });
  }
}

TEST(AdaptiveAvgPool3d, DeclinesWhatItCannotDo) {
  const Buffer src(POLYOPS_FLOAT32, {1, 2, 4, 8, 8}), dst(POLYOPS_FLOAT32, {1, 2, 3, 3, 3});
  const polyops_adaptive_avg_pool3d_args good = {sizeof good, src.view(), dst.view()};
  for (const polyops_kernel* kernel : kernels_of("adaptive_avg_pool3d")) {
    EXPECT_STREQ(kernel->supports(&good), nullptr);
    polyops_adaptive_avg_pool3d_args args = good;
    args.src.dtype = args.dst.dtype = POLYOPS_FLOAT64;
    EXPECT_STREQ(kernel->supports(&args), "dtype");
    args = good;
    args.src.strides[2] = 200;
    EXPECT_STREQ(kernel->supports(&args), "layout");
    args = {sizeof args, Buffer(POLYOPS_FLOAT32, {1, 1, 1, 1, 50000}).view(),
            Buffer(POLYOPS_FLOAT32, {1, 1, 1, 1, 50000}).view()};
    EXPECT_STREQ(kernel->supports(&args), "size");
  }
}

}  // namespace
}  // namespace polyops::testing
