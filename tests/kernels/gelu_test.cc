// gelu and gelu_backward: every kernel of every ISA against the double reference.
//
// Bounds on |error|. float32: 1.5e-7 |x| (backward 2e-7 |grad|), on a GPU 2.3e-7 (3e-7), where
// stock has 3.8e-7 |x| (1e-6 |grad|); float64: 3 epsilon |x| (4 epsilon |grad|); bfloat16: its own
// rounding, half a unit in the last place of the result, and 3e-5 |x| (4e-5 |grad|), on a
// GPU 1.7e-4 (2.3e-4); float16: that half, and float32's. Everywhere one denormal more. In the left
// tail, where stock's float32 has no digit left, also a bound relative to the result.
#include "reference/gelu.h"

#include "elementwise.h"

namespace polyops::testing {
namespace {

double tolerance(int32_t dtype, double expected, double scale) {
  const double float32 = (is_gpu() ? 3e-7 : 2e-7) * std::abs(scale);
  switch (dtype) {
    case POLYOPS_FLOAT32:
      return float32 + 1.5e-45;
    case POLYOPS_BFLOAT16:
      return (is_gpu() ? 2.3e-4 : 4e-5) * std::abs(scale) + std::abs(expected) * 0x1p-8 + 1e-40;
    case POLYOPS_FLOAT16:
      return float32 + rounding_of(dtype, expected);
    default:
      return 4 * epsilon(dtype) * std::abs(scale) + 5e-324;
  }
}

// Both NaN, equal infinities, or no further apart than that.
bool is_near(double value, double expected, double bound) {
  if (std::isnan(expected)) return std::isnan(value);
  if (std::isinf(expected)) return value == expected;
  return std::abs(value - expected) <= bound;
}

void expect_near(const Buffer& result, const Buffer& expected, const Buffer& scale, int32_t dtype,
                 double factor) {
  for (int64_t i = 0; i < result.numel(); ++i) {
    const double bound = tolerance(dtype, expected.get(i), factor * scale.get(i));
    ASSERT_TRUE(is_near(result.get(i), expected.get(i), bound))
        << "element " << i << ": " << result.get(i) << ", should be " << expected.get(i)
        << ", scale " << scale.get(i);
  }
}

Buffer expected_gelu(const Buffer& src, int tanh) {
  const polyops_tensor view = src.view();
  Buffer dst(POLYOPS_FLOAT64, {view.sizes, view.sizes + view.rank});
  reference::gelu({sizeof(polyops_gelu_args), tanh, view, dst.view()});
  return dst;
}

Buffer expected_gradient(const Buffer& grad, const Buffer& src, int tanh) {
  const polyops_tensor view = src.view();
  Buffer result(POLYOPS_FLOAT64, {view.sizes, view.sizes + view.rank});
  reference::gelu_backward(
      {sizeof(polyops_gelu_backward_args), tanh, grad.view(), view, result.view()});
  return result;
}

// Launches on separate memory and, unless elements of src share memory, in place.
void check_forward(const polyops_kernel& kernel, const Layout& layout, int32_t dtype, int tanh,
                   const Buffer& src, const Buffer& expected) {
  SCOPED_TRACE(describe(kernel, layout, dtype) + (tanh != 0 ? " tanh" : " erf"));
  Buffer dst(dtype, layout.sizes, layout.dst, layout.offset * 3);
  const polyops_gelu_args asked = {sizeof asked, tanh, src.without_data(), dst.without_data()};
  const polyops_gelu_args args = {sizeof args, tanh, src.view(), dst.view()};
  if (!supports_and_launches(kernel, asked, args, layout.dense, layout.threads)) return;
  expect_near(dst, expected, src, dtype, 0.75);
  EXPECT_TRUE(dst.guards_intact());
  if (layout.name.starts_with("expanded")) return;
  Buffer both(dtype, layout.sizes, layout.src, layout.offset);
  both.fill([&](int64_t i) { return src.get(i); });
  const polyops_gelu_args in_place = {sizeof args, tanh, both.view(), both.view()};
  if (kernel.supports(&in_place) != nullptr) return;
  EXPECT_EQ(launch(kernel, &in_place, layout.threads), POLYOPS_OK);
  EXPECT_EQ(0, std::memcmp(both.values().data(), dst.values().data(), 8 * both.numel()));
  EXPECT_TRUE(both.guards_intact());
}

void fill_sweep(Buffer* buffer) {
  buffer->fill([](int64_t i) { return static_cast<double>(i * 7919 % 20011) / 1000.0 - 10.0; });
}

TEST(Gelu, EveryLayout) {
  for (const Layout& layout : layouts()) {
    for (int32_t dtype : kFloatDtypes) {
      Buffer src(dtype, layout.sizes, layout.src, layout.offset);
      fill_sweep(&src);
      const std::vector<double> before = src.values();
      for (int tanh : {0, 1}) {
        const Buffer expected = expected_gelu(src, tanh);
        for (const polyops_kernel* kernel : kernels_of("gelu")) {
          check_forward(*kernel, layout, dtype, tanh, src, expected);
        }
      }
      EXPECT_EQ(before, src.values());
      EXPECT_TRUE(src.guards_intact());
    }
  }
}

TEST(Gelu, DenseSweepAndTails) {
  constexpr int64_t kPoints = 120001;
  for (int32_t dtype : kFloatDtypes) {
    Buffer src(dtype, {kPoints});
    src.fill([](int64_t i) { return 30.0 * static_cast<double>(i) / (kPoints - 1) - 15.0; });
    for (int tanh : {0, 1}) {
      const Buffer expected = expected_gelu(src, tanh);
      for (const polyops_kernel* kernel : kernels_of("gelu")) {
        Buffer dst(dtype, {kPoints});
        const polyops_gelu_args args = {sizeof args, tanh, src.view(), dst.view()};
        if (kernel->supports(&args) != nullptr) continue;
        SCOPED_TRACE(std::string(kernel->name) + " " + polyops_dtype_name(dtype));
        ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
        expect_near(dst, expected, src, dtype, 0.75);
        if (dtype == POLYOPS_FLOAT16) continue;  // it has few digits left there
        const double coarse = is_gpu() && dtype == POLYOPS_BFLOAT16 ? 5.5e-3 : 5e-3;
        const double relative = dtype == POLYOPS_FLOAT64 ? 1e-13 : tanh != 0 ? 4e-2 : coarse;
        for (int64_t i = 0; i < kPoints; ++i) {
          const double x = src.get(i), y = expected.get(i);
          if (x < -6.0 || x >= 0.0) continue;
          ASSERT_LE(std::abs(dst.get(i) - y), relative * std::abs(y)) << x;
        }
      }
    }
  }
}

// Where the kernels leave their table, the erf form's slope falls by 17 orders of magnitude until
// float32 ends; stock follows it within 3 %.
TEST(GeluBackward, ErfTailIsAccurateInItself) {
  constexpr int64_t kPoints = 6001;
  for (int32_t dtype : kFloatDtypes) {
    if (dtype == POLYOPS_FLOAT16) continue;  // it has no digits left there
    Buffer src(dtype, {kPoints}), ones(dtype, {kPoints});
    src.fill([](int64_t i) { return -12.5 + static_cast<double>(i) / 1000; });
    ones.fill([](int64_t) { return 1.0; });
    const Buffer expected = expected_gradient(ones, src, 0);
    const double relative = dtype == POLYOPS_BFLOAT16  ? 0x1p-8 + (is_gpu() ? 3e-2 : 1e-4)
                            : dtype == POLYOPS_FLOAT32 ? 5e-4
                                                       : 1e-13;
    for (const polyops_kernel* kernel : kernels_of("gelu_backward")) {
      Buffer dst(dtype, {kPoints});
      const polyops_gelu_backward_args args = {sizeof args, 0, ones.view(), src.view(), dst.view()};
      if (kernel->supports(&args) != nullptr) continue;
      SCOPED_TRACE(std::string(kernel->name) + " " + polyops_dtype_name(dtype));
      ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
      for (int64_t i = 0; i < kPoints; ++i) {
        const double y = expected.get(i);
        if (src.get(i) > -5.0) continue;
        ASSERT_LE(std::abs(dst.get(i) - y), relative * std::abs(y)) << src.get(i);
      }
    }
  }
}

void check_all_of_16_bits(int32_t dtype) {
  Buffer src(dtype, {65536}), ones(dtype, {65536});
  fill_with_all_of_16_bits(src);
  ones.fill([](int64_t) { return 1.0; });
  for (int tanh : {0, 1}) {
    const Buffer values = expected_gelu(src, tanh);
    const Buffer slopes = expected_gradient(ones, src, tanh);
    for (const polyops_kernel* kernel : kernels_of("gelu")) {
      SCOPED_TRACE(kernel->name);
      Buffer dst(dtype, {65536});
      const polyops_gelu_args args = {sizeof args, tanh, src.view(), dst.view()};
      ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
      expect_near(dst, values, src, dtype, 0.75);
    }
    for (const polyops_kernel* kernel : kernels_of("gelu_backward")) {
      SCOPED_TRACE(kernel->name);
      Buffer dst(dtype, {65536});
      const polyops_gelu_backward_args args = {sizeof args, tanh, ones.view(), src.view(),
                                               dst.view()};
      ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
      expect_near(dst, slopes, ones, dtype, 1.0);
    }
  }
}

TEST(Gelu, EveryBfloat16) { check_all_of_16_bits(POLYOPS_BFLOAT16); }
TEST(Gelu, EveryFloat16) { check_all_of_16_bits(POLYOPS_FLOAT16); }

TEST(Gelu, SpecialValues) {
  const std::vector<double> x = special_values();
  const auto n = static_cast<int64_t>(x.size());
  for (int32_t dtype : kFloatDtypes) {
    for (int64_t stride : {1, 2}) {
      Buffer src(dtype, {n}, {stride});
      src.fill([&](int64_t i) { return x[i]; });
      const Layout layout = {"special", {n}, {stride}, {}, {}, stride == 1};
      for (int tanh : {0, 1}) {
        const Buffer expected = expected_gelu(src, tanh);
        for (const polyops_kernel* kernel : kernels_of("gelu")) {
          check_forward(*kernel, layout, dtype, tanh, src, expected);
        }
      }
    }
  }
}

void check_backward(const polyops_kernel& kernel, const Layout& layout, int32_t dtype, int tanh,
                    const Buffer& grad, const Buffer& src, const Buffer& expected) {
  SCOPED_TRACE(describe(kernel, layout, dtype) + (tanh != 0 ? " tanh" : " erf"));
  Buffer result(dtype, layout.sizes, layout.dst, layout.offset * 5);
  const polyops_gelu_backward_args asked = {sizeof asked, tanh, grad.without_data(),
                                            src.without_data(), result.without_data()};
  const polyops_gelu_backward_args args = {sizeof args, tanh, grad.view(), src.view(),
                                           result.view()};
  if (!supports_and_launches(kernel, asked, args, layout.all_dense(), layout.threads)) {
    return;
  }
  expect_near(result, expected, grad, dtype, 1.0);
  EXPECT_TRUE(result.guards_intact());
}

TEST(GeluBackward, EveryLayout) {
  for (const Layout& layout : layouts()) {
    for (int32_t dtype : kFloatDtypes) {
      Buffer src(dtype, layout.sizes, layout.src, layout.offset);
      Buffer grad(dtype, layout.sizes, layout.grad, layout.offset * 7);
      fill_sweep(&src);
      grad.fill_normal(5);
      for (int tanh : {0, 1}) {
        const Buffer expected = expected_gradient(grad, src, tanh);
        for (const polyops_kernel* kernel : kernels_of("gelu_backward")) {
          check_backward(*kernel, layout, dtype, tanh, grad, src, expected);
        }
      }
    }
  }
}

TEST(GeluBackward, DenseSweep) {
  constexpr int64_t kPoints = 120001;
  for (int32_t dtype : kFloatDtypes) {
    if (dtype == POLYOPS_FLOAT16) continue;  // it has no digits left there
    Buffer src(dtype, {kPoints}), ones(dtype, {kPoints});
    src.fill([](int64_t i) { return 30.0 * static_cast<double>(i) / (kPoints - 1) - 15.0; });
    ones.fill([](int64_t) { return 1.0; });
    const Layout layout = {"sweep", {kPoints}, {}, {}, {}, true};
    for (int tanh : {0, 1}) {
      const Buffer expected = expected_gradient(ones, src, tanh);
      for (const polyops_kernel* kernel : kernels_of("gelu_backward")) {
        check_backward(*kernel, layout, dtype, tanh, ones, src, expected);
      }
    }
  }
}

// Every special value of x with every special gradient; but left of -6 no infinite one, whose
// product is NaN as soon as the slope is 0 in the type at hand (as it is in stock).
TEST(GeluBackward, SpecialValues) {
  const std::vector<double> once = special_values();
  const auto n = static_cast<int64_t>(once.size());
  for (int32_t dtype : kFloatDtypes) {
    Buffer src(dtype, {n * 4}), grad(dtype, {n * 4});
    src.fill([&](int64_t i) { return once[i % n]; });
    const double gradients[] = {1.0, -3.0, HUGE_VAL, NAN};
    grad.fill([&](int64_t i) {
      const double value = gradients[i / n];
      return std::isinf(value) && src.get(i) < -6.0 ? 2.0 : value;
    });
    const Layout layout = {"special", {n * 4}, {}, {}, {}, true};
    for (int tanh : {0, 1}) {
      const Buffer expected = expected_gradient(grad, src, tanh);
      for (const polyops_kernel* kernel : kernels_of("gelu_backward")) {
        check_backward(*kernel, layout, dtype, tanh, grad, src, expected);
      }
    }
  }
}

// grad_src is exactly grad_dst, or exactly src.
TEST(GeluBackward, InPlace) {
  for (int32_t dtype : kFloatDtypes) {
    for (int64_t stride : {1, 3}) {
      for (const polyops_kernel* kernel : kernels_of("gelu_backward")) {
        for (bool over_grad : {true, false}) {
          SCOPED_TRACE(std::string(kernel->name) + (over_grad ? " over grad" : " over src"));
          Buffer src(dtype, {1031}, {stride}, 1), grad(dtype, {1031}, {stride}, 2);
          fill_sweep(&src);
          grad.fill_normal(3);
          const Buffer expected = expected_gradient(grad, src, 0);
          Buffer scale(POLYOPS_FLOAT64, {1031});
          scale.fill([&](int64_t i) { return grad.get(i); });
          Buffer& result = over_grad ? grad : src;
          const polyops_gelu_backward_args args = {sizeof args, 0, grad.view(), src.view(),
                                                   result.view()};
          if (kernel->supports(&args) != nullptr) continue;
          ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
          expect_near(result, expected, scale, dtype, 1.0);
          EXPECT_TRUE(result.guards_intact());
        }
      }
    }
  }
}

TEST(Gelu, DeclinesByName) {
  Buffer a(POLYOPS_FLOAT32, {4, 6}), b(POLYOPS_FLOAT64, {4, 6}), c(POLYOPS_FLOAT32, {6, 4});
  Buffer d(POLYOPS_FLOAT32, {24});
  polyops_tensor half = a.view();
  half.dtype = POLYOPS_INVALID_DTYPE;
  for (const polyops_kernel* kernel : kernels_of("gelu")) {
    const auto reason = [&](const polyops_tensor& src, const polyops_tensor& dst) {
      const polyops_gelu_args args = {sizeof args, 0, src, dst};
      return kernel->supports(&args);
    };
    EXPECT_STREQ(reason(a.view(), b.view()), "dtype");
    EXPECT_STREQ(reason(half, half), "dtype");
    EXPECT_STREQ(reason(a.view(), c.view()), "shape");
    EXPECT_STREQ(reason(a.view(), d.view()), "rank");
  }
}

}  // namespace
}  // namespace polyops::testing
