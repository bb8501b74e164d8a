// relu and relu_backward: every kernel of every ISA against the reference, exactly, the signs of
// zeros included.
#include "reference/relu.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <vector>

#include "elementwise.h"
#include "family.h"

namespace polyops::testing {
namespace {

bool is_same(double a, double b) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  return a == b && std::signbit(a) == std::signbit(b);
}

void expect_same(const Buffer& result, const Buffer& expected) {
  for (int64_t i = 0; i < result.numel(); ++i) {
    ASSERT_TRUE(is_same(result.get(i), expected.get(i)))
        << "element " << i << ": " << result.get(i) << ", should be " << expected.get(i);
  }
  EXPECT_TRUE(result.guards_intact());
}

Buffer expected_relu(const Buffer& src) {
  const polyops_tensor view = src.view();
  Buffer dst(POLYOPS_FLOAT64, {view.sizes, view.sizes + view.rank});
  reference::relu({sizeof(polyops_relu_args), 0, view, dst.view()});
  return dst;
}

Buffer expected_gradient(const Buffer& grad, const Buffer& src, double threshold) {
  const polyops_tensor view = src.view();
  Buffer result(POLYOPS_FLOAT64, {view.sizes, view.sizes + view.rank});
  reference::relu_backward(
      {sizeof(polyops_relu_backward_args), 0, threshold, grad.view(), view, result.view()});
  return result;
}

void fill_with_specials(Buffer* buffer, uint32_t seed) {
  buffer->fill_normal(seed);
  const std::vector<double> special = special_values();
  const auto count = static_cast<int64_t>(special.size());
  for (int64_t i = 0; i < buffer->numel(); i += 3) buffer->set(i, special[i / 3 % count]);
}

void check_forward(const polyops_kernel& kernel, const Layout& layout, const Buffer& src,
                   const Buffer& expected) {
  const int32_t dtype = src.view().dtype;
  SCOPED_TRACE(describe(kernel, layout, dtype));
  Buffer dst(dtype, layout.sizes, layout.dst, layout.offset * 3);
  const polyops_relu_args asked = {sizeof asked, 0, src.without_data(), dst.without_data()};
  const polyops_relu_args args = {sizeof args, 0, src.view(), dst.view()};
  if (!supports_and_launches(kernel, asked, args, layout.dense, layout.threads)) return;
  expect_same(dst, expected);
  if (layout.name.starts_with("expanded")) return;  // no dst: its elements share memory
  Buffer both(dtype, layout.sizes, layout.src, layout.offset);
  both.fill([&](int64_t i) { return src.get(i); });
  const polyops_relu_args in_place = {sizeof args, 0, both.view(), both.view()};
  if (kernel.supports(&in_place) != nullptr) return;
  EXPECT_EQ(launch(kernel, &in_place, layout.threads), POLYOPS_OK);
  expect_same(both, expected);
}

// All types, or one, another for each layout.
std::vector<int32_t> types_of(bool in_turn, size_t turn) {
  if (!in_turn) return {std::begin(kFloatDtypes), std::end(kFloatDtypes)};
  constexpr int32_t kTypes[] = {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16};
  return {kTypes[turn % std::size(kTypes)]};
}

void check_forward(const std::vector<Layout>& layouts, bool in_turn = false) {
  size_t turn = 0;
  for (const Layout& layout : layouts) {
    for (int32_t dtype : types_of(in_turn, turn++)) {
      Buffer src(dtype, layout.sizes, layout.src, layout.offset);
      fill_with_specials(&src, 1);
      const Buffer expected = expected_relu(src);
      for (const polyops_kernel* kernel : kernels_of("relu")) {
        check_forward(*kernel, layout, src, expected);
      }
      EXPECT_TRUE(src.guards_intact());
    }
  }
}

TEST(Relu, EveryLayout) { check_forward(layouts()); }
// GPUs' tiles; CPUs have no other way for them. Lane by lane one type each.
TEST(Relu, Turned) {
  if (is_gpu()) check_forward(turned_layouts(), !on_device());
}

void check_all_of_16_bits(int32_t dtype) {
  Buffer src(dtype, {65536}), grad(dtype, {65536});
  fill_with_all_of_16_bits(src);
  grad.fill_normal(2);
  for (const polyops_kernel* kernel : kernels_of("relu")) {
    SCOPED_TRACE(kernel->name);
    Buffer dst(dtype, {65536});
    const polyops_relu_args args = {sizeof args, 0, src.view(), dst.view()};
    ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
    expect_same(dst, expected_relu(src));
  }
  for (double threshold : {0.0, -0.0, 0.3, -2.0}) {
    for (const polyops_kernel* kernel : kernels_of("relu_backward")) {
      SCOPED_TRACE(std::string(kernel->name) + " " + std::to_string(threshold));
      Buffer dst(dtype, {65536});
      const polyops_relu_backward_args args = {sizeof args, 0,          threshold,
                                               grad.view(), src.view(), dst.view()};
      ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
      expect_same(dst, expected_gradient(grad, src, threshold));
    }
  }
}

TEST(Relu, EveryBfloat16) { check_all_of_16_bits(POLYOPS_BFLOAT16); }
TEST(Relu, EveryFloat16) { check_all_of_16_bits(POLYOPS_FLOAT16); }

void check_backward(const polyops_kernel& kernel, const Layout& layout, double threshold,
                    const Buffer& grad, const Buffer& src, const Buffer& expected) {
  const int32_t dtype = src.view().dtype;
  SCOPED_TRACE(describe(kernel, layout, dtype));
  Buffer result(dtype, layout.sizes, layout.dst, layout.offset * 5);
  const polyops_relu_backward_args asked = {
      sizeof asked, 0, threshold, grad.without_data(), src.without_data(), result.without_data()};
  const polyops_relu_backward_args args = {sizeof args, 0,          threshold,
                                           grad.view(), src.view(), result.view()};
  if (!supports_and_launches(kernel, asked, args, layout.all_dense(), layout.threads)) return;
  expect_same(result, expected);
  for (const Buffer* over : {&grad, &src}) {
    const bool over_grad = over == &grad;
    const std::vector<int64_t>& strides = over_grad ? layout.grad : layout.src;
    if (std::count(strides.begin(), strides.end(), 0) > 0) continue;  // elements share memory
    Buffer both(dtype, layout.sizes, strides, layout.offset);
    both.fill([&](int64_t i) { return over->get(i); });
    const polyops_relu_backward_args in_place = {sizeof args,
                                                 0,
                                                 threshold,
                                                 over_grad ? both.view() : grad.view(),
                                                 over_grad ? src.view() : both.view(),
                                                 both.view()};
    if (kernel.supports(&in_place) != nullptr) continue;
    EXPECT_EQ(launch(kernel, &in_place, layout.threads), POLYOPS_OK);
    expect_same(both, expected);
  }
}

void check_backward(const std::vector<Layout>& layouts, const std::vector<double>& thresholds,
                    bool in_turn = false) {
  size_t turn = 1;
  for (const Layout& layout : layouts) {
    for (int32_t dtype : types_of(in_turn, turn++)) {
      Buffer src(dtype, layout.sizes, layout.src, layout.offset);
      Buffer grad(dtype, layout.sizes, layout.grad, layout.offset * 7);
      fill_with_specials(&src, 1);
      grad.fill_normal(2);
      for (double threshold : thresholds) {
        const Buffer expected = expected_gradient(grad, src, threshold);
        for (const polyops_kernel* kernel : kernels_of("relu_backward")) {
          check_backward(*kernel, layout, threshold, grad, src, expected);
        }
      }
    }
  }
}

TEST(ReluBackward, EveryLayout) { check_backward(layouts(), {0.0, 0.25}); }
TEST(ReluBackward, Turned) {
  if (is_gpu()) check_backward(turned_layouts(), {0.25}, !on_device());
}

// The gradient passes as it is: NaN, infinities and the sign of zero. Over grad_dst, and over src.
TEST(ReluBackward, InPlaceAndSpecialGradients) {
  for (int32_t dtype : kFloatDtypes) {
    for (int64_t stride : {1, 3}) {
      for (const polyops_kernel* kernel : kernels_of("relu_backward")) {
        for (bool over_grad : {true, false}) {
          SCOPED_TRACE(std::string(kernel->name) + (over_grad ? " over grad" : " over src"));
          Buffer src(dtype, {1031}, {stride}, 1), grad(dtype, {1031}, {stride}, 2);
          src.fill_normal(4);
          fill_with_specials(&grad, 5);
          const Buffer expected = expected_gradient(grad, src, 0.0);
          Buffer& result = over_grad ? grad : src;
          const polyops_relu_backward_args args = {sizeof args, 0,          0.0,
                                                   grad.view(), src.view(), result.view()};
          if (kernel->supports(&args) != nullptr) continue;
          ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
          expect_same(result, expected);
        }
      }
    }
  }
}

}  // namespace
}  // namespace polyops::testing
