// avg_pool2d and its gradient: every kernel against the reference. Bound: 4 eps of float32 times
// the sum of the terms' magnitudes over the divisor, and the rounding of the result.
#include <gtest/gtest.h>

#include "pool2d.h"
#include "reference/pool2d.h"

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
           polyops_tensor Args::* out, const Buffer& values, const Sizes& sizes, bool last,
           int64_t offset) {
  const polyops_tensor& view = values.view();
  Buffer size(POLYOPS_FLOAT64, Sizes(view.sizes, view.sizes + 4));
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
    Buffer result(view.dtype, sizes, layout_strides(sizes, last), offset);
    args.*out = result.without_data();
    ASSERT_STREQ(kernel->supports(&args), nullptr);
    args.*out = result.view();
    ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
    expect_close(result, exact.values(), magnitudes(scale.values()));
  }
}

void check_both(const PoolCase& c, bool last, int32_t dtype, Divisor divisor,
                const std::function<void(Buffer&)>& fill) {
  Buffer src(dtype, c.sizes, layout_strides(c.sizes, last), c.offset);
  fill(src);
  const polyops_avg_pool2d_args forward = {
      sizeof forward, divisor.count_padding, divisor.divisor, c.window(), {}, {}};
  check<polyops_avg_pool2d_args>("avg_pool2d", reference::avg_pool2d, forward,
                                 &polyops_avg_pool2d_args::src, &polyops_avg_pool2d_args::dst, src,
                                 c.results(), last, c.offset);
  Buffer grad(dtype, c.results(), layout_strides(c.results(), last), c.offset);
  fill(grad);
  const polyops_avg_pool2d_backward_args backward = {
      sizeof backward, divisor.count_padding, divisor.divisor, c.window(), {}, {}};
  check<polyops_avg_pool2d_backward_args>("avg_pool2d_backward", reference::avg_pool2d_backward,
                                          backward, &polyops_avg_pool2d_backward_args::grad_dst,
                                          &polyops_avg_pool2d_backward_args::grad_src, grad,
                                          c.sizes, last, c.offset);
}

TEST(AvgPool2d, MatchesReference) {
  int number = 0;
  for (const PoolCase& c : pool_cases()) {
    for (bool last : {false, true}) {
      for (int32_t dtype : kPoolDtypes) {
        const Divisor divisor = kDivisors[number++ % 4];  // 3 dtypes: each comes to each in time
        SCOPED_TRACE(c.describe() + (last ? " last " : " ") + polyops_dtype_name(dtype));
        check_both(c, last, dtype, divisor, [](Buffer& b) { b.fill_normal(11); });
        if (::testing::Test::HasFailure()) return;
      }
    }
  }
}

// As many rows as give a thread of the harness's three multiprocessors several, the last ones
// fewer.
TEST(AvgPool2d, SeveralRowsOfAThread) {
  for (const PoolCase& c :
       {PoolCase{{1, 20, 402, 16}, 3, 1, 1}, PoolCase{{1, 8, 402, 16}, 3, 1, 1}}) {
    for (int32_t dtype : {POLYOPS_FLOAT32, POLYOPS_BFLOAT16}) {
      SCOPED_TRACE(c.describe() + polyops_dtype_name(dtype));
      check_both(c, false, dtype, kDivisors[0], [](Buffer& b) { b.fill_normal(5); });
    }
  }
}

TEST(AvgPool2d, EveryDivisor) {
  for (const Sizes& sizes : {Sizes{1, 3, 7, 8}, Sizes{1, 8, 7, 8}}) {
    for (const PoolCase& c : {PoolCase{sizes, 3, 2, 1, 1, true}, PoolCase{sizes, 3, 1, 1},
                              PoolCase{sizes, 2, 2, 1, 1, true}, PoolCase{sizes, 2, 2, 0, 1, true},
                              PoolCase{sizes, {4, 3}, {3, 2}, {2, 1}, 1, true}}) {
      for (const Divisor& divisor : kDivisors) {
        for (bool last : {false, true}) {
          SCOPED_TRACE(c.describe());
          check_both(c, last, POLYOPS_FLOAT32, divisor, [](Buffer& b) { b.fill_normal(2, 1e3); });
        }
      }
    }
  }
}

TEST(AvgPool2d, SpecialValues) {
  for (const Sizes& sizes : {Sizes{1, 3, 9, 8}, Sizes{1, 8, 9, 8}}) {
    for (const PoolCase& c : {PoolCase{sizes, 3, 2, 1}, PoolCase{sizes, 5, 3}}) {
      for (int32_t dtype : kPoolDtypes) {
        for (bool last : {false, true}) {
          SCOPED_TRACE(c.describe());
          check_both(c, last, dtype, kDivisors[0], [](Buffer& b) {
            b.fill([](int64_t i) {
              return i % 31 == 0 ? NAN : i % 17 == 0 ? HUGE_VAL : i % 13 == 0 ? 6e4 : i % 7 - 3.0;
            });
          });
        }
      }
    }
  }
}

TEST(AvgPool2d, DeclinesWhatItCannotDo) {
  const Buffer src(POLYOPS_FLOAT32, {1, 2, 8, 8}), dst(POLYOPS_FLOAT32, {1, 2, 4, 4});
  const polyops_pool2d_window window = {{2, 2}, {2, 2}, {0, 0}, {1, 1}};
  const polyops_avg_pool2d_args good = {sizeof good, 1, 0, window, src.view(), dst.view()};
  for (const polyops_kernel* kernel : kernels_of("avg_pool2d")) {
    EXPECT_STREQ(kernel->supports(&good), nullptr);
    polyops_avg_pool2d_args args = good;
    args.dst.dtype = POLYOPS_FLOAT16;
    EXPECT_STREQ(kernel->supports(&args), "dtype");
    args = good;
    args.src.strides[3] = 2;
    EXPECT_STREQ(kernel->supports(&args), "layout");
    args = good;
    args.window.dilation[1] = 2;
    EXPECT_STREQ(kernel->supports(&args), "window");
  }
}

}  // namespace
}  // namespace polyops::testing
