// mish, softplus, elu and log_sigmoid and their gradients: every kernel against the double
// reference.
//
// Bounds on |error|. float32: 5 units in the last place of the result; of mish's gradient, whose
// terms cancel, of |grad|. bfloat16 and float16: half a unit in their last place, and 1e-5 of the
// same. Everywhere half a denormal more, of float32 1e-43: mish multiplies one by src.
#include "reference/activation.h"

#include "elementwise.h"

namespace polyops::testing {
namespace {

struct Activation {
  const char* op;
  double scalars[POLYOPS_ACTIVATION_SCALARS];
  bool of_result = false;
};

// The last two of elu are celu's of alpha 2 and selu's.
const Activation kForward[] = {
    {"mish", {}},
    {"log_sigmoid", {}},
    {"softplus", {1, 20}},
    {"softplus", {2, 3}},
    {"softplus", {-0.5, 100}},
    {"elu", {1, 1, 1}},
    {"elu", {3, 1, -0.5}},
    {"elu", {2, 1, 0.5}},
    {"elu", {1.6732632423543772848170429916717, 1.0507009873554804934193349852946, 1}},
};

std::vector<Activation> with_gradients() {
  std::vector<Activation> all(std::begin(kForward), std::end(kForward));
  all.push_back({"elu", {1, 1, 1}, true});
  all.push_back({"elu", {2, 1.5, 0.5}, true});
  return all;
}

std::string named(const Activation& f) {
  std::ostringstream text;
  text << f.op << (f.of_result ? " of result" : "");
  for (double s : f.scalars) text << " " << s;
  return text.str();
}

polyops_activation_args forward(const Activation& f, const polyops_tensor& src,
                                const polyops_tensor& dst) {
  polyops_activation_args args = {sizeof args, 0, {}, src, dst};
  std::copy(std::begin(f.scalars), std::end(f.scalars), args.scalars);
  return args;
}

polyops_activation_backward_args backward(const Activation& f, const polyops_tensor& grad,
                                          const polyops_tensor& src, const polyops_tensor& result) {
  polyops_activation_backward_args args = {sizeof args, f.of_result, {}, grad, src, result};
  std::copy(std::begin(f.scalars), std::end(f.scalars), args.scalars);
  return args;
}

// As the kernels have them.
Activation in_float32(Activation f) {
  for (double& s : f.scalars) s = static_cast<float>(s);
  return f;
}

Buffer expected_values(const Activation& f, const Buffer& src) {
  const polyops_tensor view = src.view();
  Buffer dst(POLYOPS_FLOAT64, {view.sizes, view.sizes + view.rank});
  reference::activation(f.op, forward(in_float32(f), view, dst.view()));
  return dst;
}

Buffer expected_gradient(const Activation& f, const Buffer& grad, const Buffer& src) {
  const polyops_tensor view = src.view();
  Buffer result(POLYOPS_FLOAT64, {view.sizes, view.sizes + view.rank});
  reference::activation_backward(f.op, backward(in_float32(f), grad.view(), view, result.view()));
  return result;
}

// scale: what the bound is relative to, if not to the result.
void expect_near(const Buffer& result, const Buffer& expected, int32_t dtype,
                 const Buffer* scale = nullptr) {
  const double relative = dtype == POLYOPS_FLOAT32 ? 5 * 0x1p-23 : 1e-5;
  const double denormal = dtype == POLYOPS_BFLOAT16 ? 4.6e-41 : 1e-43;
  for (int64_t i = 0; i < result.numel(); ++i) {
    const double value = result.get(i), truth = in_range(dtype, expected.get(i));
    if (std::isnan(truth) || std::isinf(truth)) {
      ASSERT_TRUE(std::isnan(truth) ? std::isnan(value) : value == truth)
          << "element " << i << ": " << value << ", should be " << truth;
      continue;
    }
    if (std::isinf(value) && std::abs(truth) > 3.389e38) continue;  // more than the type has
    const double size = std::abs(scale != nullptr ? scale->get(i) : truth);
    const double bound = rounding_of(dtype, truth) + relative * size + denormal;
    ASSERT_LE(std::abs(value - truth), bound)
        << "element " << i << ": " << value << ", should be " << truth;
  }
  EXPECT_TRUE(result.guards_intact());
}

// On separate memory and, unless elements of src share memory, in place.
void check_forward(const Activation& f, const Layout& layout, const Buffer& src) {
  const int32_t dtype = src.view().dtype;
  const Buffer expected = expected_values(f, src);
  for (const polyops_kernel* kernel : kernels_of(f.op)) {
    SCOPED_TRACE(named(f) + ": " + describe(*kernel, layout, dtype));
    Buffer dst(dtype, layout.sizes, layout.dst, layout.offset * 3);
    const auto asked = forward(f, src.without_data(), dst.without_data());
    const auto args = forward(f, src.view(), dst.view());
    if (!supports_and_launches(*kernel, asked, args, layout.dense, layout.threads)) continue;
    expect_near(dst, expected, dtype);
    if (layout.name.starts_with("expanded")) continue;
    Buffer both(dtype, layout.sizes, layout.src, layout.offset);
    both.fill([&](int64_t i) { return src.get(i); });
    const auto in_place = forward(f, both.view(), both.view());
    EXPECT_EQ(launch(*kernel, &in_place, layout.threads), POLYOPS_OK);
    EXPECT_EQ(0, std::memcmp(both.values().data(), dst.values().data(), 8 * both.numel()));
    EXPECT_TRUE(both.guards_intact());
  }
}

void check_backward(const Activation& f, const Layout& layout, const Buffer& grad,
                    const Buffer& src) {
  const int32_t dtype = src.view().dtype;
  const Buffer expected = expected_gradient(f, grad, src);
  for (const polyops_kernel* kernel : kernels_of(std::string(f.op) + "_backward")) {
    SCOPED_TRACE(named(f) + ": " + describe(*kernel, layout, dtype));
    Buffer result(dtype, layout.sizes, layout.dst, layout.offset * 5);
    const auto asked = backward(f, grad.without_data(), src.without_data(), result.without_data());
    const auto args = backward(f, grad.view(), src.view(), result.view());
    if (!supports_and_launches(*kernel, asked, args, layout.all_dense(), layout.threads)) continue;
    expect_near(result, expected, dtype, std::strcmp(f.op, "mish") == 0 ? &grad : nullptr);
  }
}

// The layouts are elementwise.h's of kernels/gpu, of which gelu's test tries all: a few here.
TEST(Activation, Layouts) {
  const Layout some[] = {
      {"1d unaligned", {1000}, {}, {}, {}, true, 1},
      {"rows with gaps", {9, 130}, {133, 1}, {131, 1}, {150, 1}, false, 5},
      {"rows of packs", {9, 64}, {72, 1}, {80, 1}, {64, 1}, false},
      {"expanded rows", {5, 103}, {0, 1}, {}, {1, 0}, false},
  };
  for (const Layout& layout : some) {
    for (int32_t dtype : kFloatDtypes) {
      Buffer src(dtype, layout.sizes, layout.src, layout.offset);
      Buffer grad(dtype, layout.sizes, layout.grad, layout.offset * 7);
      src.fill_normal(3, 3.0);
      grad.fill_normal(5);
      for (const Activation& f : kForward) check_forward(f, layout, src);
      for (const Activation& f : with_gradients()) check_backward(f, layout, grad, src);
      EXPECT_TRUE(src.guards_intact());
    }
  }
}

// All of 16 bits; as many of float32, from the largest to denormals, and closely around 0.
void check_all(int32_t dtype) {
  Buffer src(dtype, {65536}), ones(dtype, {65536});
  if (dtype == POLYOPS_FLOAT32) {
    src.fill([](int64_t i) {
      const double sign = i % 2 == 0 ? 1 : -1;
      return sign * std::exp2(i < 32768 ? i / 32768.0 * 16 - 8 : (i - 32768) / 32768.0 * 276 - 149);
    });
  } else {
    fill_with_all_of_16_bits(src);
  }
  ones.fill([](int64_t) { return 1.0; });
  const Layout layout = {"all", {65536}, {}, {}, {}, true};
  for (const Activation& f : kForward) check_forward(f, layout, src);
  for (const Activation& f : with_gradients()) check_backward(f, layout, ones, src);
}

TEST(Activation, EveryBfloat16) { check_all(POLYOPS_BFLOAT16); }
TEST(Activation, EveryFloat16) { check_all(POLYOPS_FLOAT16); }
TEST(Activation, Float32OfEverySize) { check_all(POLYOPS_FLOAT32); }

// Every special value of x with every special gradient; no infinite one where a slope is denormal,
// or 0 in float32 alone.
TEST(Activation, SpecialValues) {
  const std::vector<double> once = special_values();
  const auto n = static_cast<int64_t>(once.size());
  const Layout layout = {"special", {n * 4}, {}, {}, {}, true};
  for (int32_t dtype : {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16}) {
    Buffer src(dtype, {n * 4}), grad(dtype, {n * 4});
    src.fill([&](int64_t i) { return once[i % n]; });
    const double gradients[] = {1.0, -3.0, HUGE_VAL, NAN};
    grad.fill([&](int64_t i) { return gradients[i / n]; });
    for (const Activation& f : kForward) check_forward(f, layout, src);
    for (const Activation& f : with_gradients()) check_backward(f, layout, grad, src);
  }
}

// grad_src is exactly grad_dst, or exactly src.
TEST(Activation, GradientInPlace) {
  for (const Activation& f : with_gradients()) {
    for (const polyops_kernel* kernel : kernels_of(std::string(f.op) + "_backward")) {
      for (bool over_grad : {true, false}) {
        SCOPED_TRACE(named(f) + (over_grad ? " over grad" : " over src"));
        Buffer src(POLYOPS_BFLOAT16, {1031}, {3}, 1), grad(POLYOPS_BFLOAT16, {1031}, {3}, 2);
        src.fill_normal(4);
        grad.fill_normal(3);
        const Buffer expected = expected_gradient(f, grad, src);
        Buffer scale(POLYOPS_FLOAT64, {1031});
        scale.fill([&](int64_t i) { return grad.get(i); });
        Buffer& result = over_grad ? grad : src;
        const auto args = backward(f, grad.view(), src.view(), result.view());
        ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
        expect_near(result, expected, POLYOPS_BFLOAT16, &scale);
      }
    }
  }
}

}  // namespace
}  // namespace polyops::testing
