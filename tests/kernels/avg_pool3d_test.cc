// avg_pool3d and its gradient: every kernel against the reference. Bound: as avg_pool2d's.
#include <gtest/gtest.h>

#include "pool3d.h"
#include "reference/pool3d.h"

namespace polyops::testing {
namespace {

struct Divisor {
  int32_t count_padding;
  int64_t divisor;
};
constexpr Divisor kDivisors[] = {{1, 0}, {0, 0}, {1, 7}, {0, -3}};

// values, and the same call on their magnitudes, by the reference: expectation and scale.
template <class Args>
void check(const char* op, void (*reference)(const Args&), Args args, polyops_tensor Args::* in,
           polyops_tensor Args::* out, const Buffer& values, const Sizes& sizes, int64_t offset) {
  const polyops_tensor& view = values.view();
  Buffer size(POLYOPS_FLOAT64, Sizes(view.sizes, view.sizes + 5));
  size.fill([&](int64_t i) { return std::abs(values.get(i)); });
  Buffer exact(POLYOPS_FLOAT64, sizes), scale(POLYOPS_FLOAT64, sizes);
  args.*in = size.view();
  args.*out = scale.view();
  reference(args);
  args.*in = view;
  args.*out = exact.view();
  reference(args);
  for (const polyops_kernel* kernel : kernels_of(op)) {
    SCOPED_TRACE(kernel->name);
    Buffer result(view.dtype, sizes, {}, offset);
    args.*out = result.without_data();
    ASSERT_STREQ(kernel->supports(&args), nullptr);
    args.*out = result.view();
    ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
    expect_close(result, exact.values(), magnitudes(scale.values()));
  }
}

using Fill = std::function<void(Buffer&)>;

void check_forward(const Pool3dCase& c, bool last, int32_t dtype, Divisor divisor,
                   const Fill& fill) {
  Buffer src(dtype, c.sizes, layout_strides_3d(c.sizes, last), c.offset);
  fill(src);
  const polyops_avg_pool3d_args args = {
      sizeof args, divisor.count_padding, divisor.divisor, c.window(), {}, {}};
  check<polyops_avg_pool3d_args>("avg_pool3d", reference::avg_pool3d, args,
                                 &polyops_avg_pool3d_args::src, &polyops_avg_pool3d_args::dst, src,
                                 c.results(), c.offset);
}

void check_backward(const Pool3dCase& c, int32_t dtype, Divisor divisor, const Fill& fill) {
  Buffer grad(dtype, c.results(), {}, c.offset);
  fill(grad);
  const polyops_avg_pool3d_backward_args args = {
      sizeof args, divisor.count_padding, divisor.divisor, c.window(), {}, {}};
  check<polyops_avg_pool3d_backward_args>("avg_pool3d_backward", reference::avg_pool3d_backward,
                                          args, &polyops_avg_pool3d_backward_args::grad_dst,
                                          &polyops_avg_pool3d_backward_args::grad_src, grad,
                                          c.sizes, c.offset);
}

void check_all(const Pool3dCase& c, int32_t dtype, Divisor divisor, const Fill& fill) {
  SCOPED_TRACE(c.describe() + " " + polyops_dtype_name(dtype));
  check_forward(c, false, dtype, divisor, fill);
  check_forward(c, true, dtype, divisor, fill);
  check_backward(c, dtype, divisor, fill);
}

TEST(AvgPool3d, MatchesReference) {
  int number = 0;
  for (const Pool3dCase& c : pool3d_cases()) {
    for (int32_t dtype : kPoolDtypes) {
      const Divisor divisor = kDivisors[number++ % 4];  // 3 dtypes: each comes to each in time
      check_all(c, dtype, divisor, [](Buffer& b) { b.fill_normal(11); });
      if (::testing::Test::HasFailure()) return;
    }
  }
}

TEST(AvgPool3d, EveryDivisor) {
  const Sizes sizes = {1, 8, 4, 5, 8};
  for (const Pool3dCase& c :
       {Pool3dCase{sizes, 3, 2, 1, 1, true}, Pool3dCase{sizes, 3, 1, 1},
        Pool3dCase{sizes, 2, 2, {1, 1, 0}, 1, true}, Pool3dCase{sizes, 2, 2, 0, 1, true}}) {
    for (const Divisor& divisor : kDivisors) {
      check_all(c, POLYOPS_FLOAT32, divisor, [](Buffer& b) { b.fill_normal(3); });
    }
  }
}

// Slabs of rows, and parts of the depth; of weights that are all the same, and that are not.
TEST(AvgPool3d, LargeVolumes) {
  for (const Sizes& sizes : {Sizes{1, 1, 11, 19, 128}, Sizes{1, 2, 4, 39, 32}}) {
    for (int32_t dtype : kPoolDtypes) {
      for (const int divisor : {0, 1}) {
        check_all({sizes, 3, 1, 1}, dtype, kDivisors[divisor], [](Buffer& b) { b.fill_normal(5); });
      }
    }
  }
}

TEST(AvgPool3d, SpecialValues) {
  const Sizes sizes = {1, 8, 4, 5, 8};
  for (const Pool3dCase& c : {Pool3dCase{sizes, 3, 2, 1}, Pool3dCase{sizes, 2, 2},
                              Pool3dCase{sizes, {2, 5, 8}, 1}, Pool3dCase{sizes, {2, 3, 4}, 3}}) {
    for (int32_t dtype : kPoolDtypes) {
      check_all(c, dtype, kDivisors[0], [](Buffer& b) {
        b.fill([](int64_t i) {
          return i % 31 == 0 ? NAN : i % 17 == 0 ? HUGE_VAL : i % 13 == 0 ? 6e4 : i % 7 - 3.0;
        });
      });
    }
  }
}

TEST(AvgPool3d, DeclinesWhatItCannotDo) {
  const Buffer src(POLYOPS_FLOAT32, {1, 2, 4, 8, 8}), dst(POLYOPS_FLOAT32, {1, 2, 2, 4, 4});
  const Buffer last(POLYOPS_FLOAT32, {1, 2, 2, 4, 4}, layout_strides_3d({1, 2, 2, 4, 4}, true));
  const polyops_avg_pool3d_args good = {sizeof good, 1,         0, Pool3dCase{{}, 2, 2}.window(),
                                        src.view(),  dst.view()};
  for (const polyops_kernel* kernel : kernels_of("avg_pool3d")) {
    EXPECT_STREQ(kernel->supports(&good), nullptr);
    polyops_avg_pool3d_args args = good;
    args.dst.dtype = POLYOPS_FLOAT16;
    EXPECT_STREQ(kernel->supports(&args), "dtype");
    args = good;
    args.src.strides[4] = 2;
    EXPECT_STREQ(kernel->supports(&args), "layout");
    args = good;
    args.dst = last.view();
    EXPECT_STREQ(kernel->supports(&args), "layout");
    args = good;
    args.window.dilation[0] = 2;
    EXPECT_STREQ(kernel->supports(&args), "window");
  }
  for (const polyops_kernel* kernel : kernels_of("avg_pool3d_backward")) {
    polyops_avg_pool3d_backward_args args = {sizeof args, 1,           0,
                                             good.window, last.view(), src.view()};
    EXPECT_STREQ(kernel->supports(&args), nullptr);
    args.grad_src.strides[1] = 1;
    EXPECT_STREQ(kernel->supports(&args), "layout");
  }
}

}  // namespace
}  // namespace polyops::testing
