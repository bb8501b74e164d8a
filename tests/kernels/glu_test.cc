// glu and glu_backward: every kernel against the double reference.
//
// Bounds on |error|. float32: 7 units in the last place of the result; bfloat16 and float16: half a
// unit in their last place, and 1e-5 of the result. Everywhere half a denormal, of float32 three,
// more.
#include "reference/glu.h"

#include "elementwise.h"

namespace polyops::testing {
namespace {

using Sizes = std::vector<int64_t>;

void expect_near(const Buffer& result, const Buffer& expected, int32_t dtype) {
  const double relative = dtype == POLYOPS_FLOAT32 ? 7 * 0x1p-23 : 1e-5;
  const double denormal = dtype == POLYOPS_BFLOAT16 ? 4.6e-41 : 4.5e-45;
  for (int64_t i = 0; i < result.numel(); ++i) {
    const double value = result.get(i), truth = in_range(dtype, expected.get(i));
    if (std::isnan(truth) || std::isinf(truth)) {
      ASSERT_TRUE(std::isnan(truth) ? std::isnan(value) : value == truth)
          << "element " << i << ": " << value << ", should be " << truth;
      continue;
    }
    ASSERT_LE(std::abs(value - truth),
              rounding_of(dtype, truth) + relative * std::abs(truth) + denormal)
        << "element " << i << ": " << value << ", should be " << truth;
  }
  EXPECT_TRUE(result.guards_intact());
}

// Strides as Buffer has them, of the whole and of what has half its size.
struct Case {
  const char* name;
  Sizes sizes;
  int dim;
  Sizes whole, half;
  int64_t offset = 0;

  Sizes half_sizes() const {
    Sizes all = sizes;
    all[dim] /= 2;
    return all;
  }
};

std::vector<Case> cases() {
  const Sizes image = {2, 16, 3, 5};
  const Sizes last = permuted_strides(image, {0, 2, 3, 1});
  const Sizes half_last = permuted_strides({2, 8, 3, 5}, {0, 2, 3, 1});
  return {
      {"one", {2}, 0, {}, {}},
      {"two runs", {2, 700}, 0, {}, {}},
      {"two runs apart", {2, 701}, 0, {}, {}},
      {"two runs unaligned", {6, 80}, 0, {}, {}, 1},
      {"rows of packs", {37, 128}, 1, {}, {}},
      {"rows of packs, many", {5, 2, 8192}, 1, {}, {}},
      {"rows of packs with gaps", {3, 5, 32}, 2, {400, 48, 1}, {200, 24, 1}},
      {"odd rows", {37, 10}, 1, {}, {}},
      {"unaligned rows", {7, 64}, 1, {}, {}, 1},
      {"long odd rows", {9, 2 * 83}, 1, {}, {}},
      {"long odd rows with gaps", {2, 3, 2 * 65}, 2, {700, 203, 1}, {300, 77, 1}, 1},
      {"image", image, 1, {}, {}},
      {"channels last", image, 1, last, half_last},
      {"channels last from first", image, 1, {}, half_last},
      {"pixels", {2, 3, 4, 6}, 2, {}, {}},
      {"transposed", {30, 40}, 1, {1, 30}, {}},
      {"every other element", {13, 2 * 450}, 1, {1800, 2}, {}},
      {"every other of whole rows", {9, 2 * 512}, 1, {2048, 2}, {}, 1},
      {"elements apart", {3, 5, 2 * 700}, 2, {22000, 4300, 3}, {7500, 1450, 2}},
      {"expanded", {6, 32}, 1, {0, 1}, {}},
  };
}

void check_forward(const Case& c, const Buffer& src) {
  const int32_t dtype = src.view().dtype;
  Buffer expected(POLYOPS_FLOAT64, c.half_sizes());
  reference::glu({sizeof(polyops_glu_args), c.dim, src.view(), expected.view()});
  for (const polyops_kernel* kernel : kernels_of("glu")) {
    SCOPED_TRACE(std::string(kernel->name) + " " + polyops_dtype_name(dtype) + " " + c.name);
    Buffer dst(dtype, c.half_sizes(), c.half, c.offset);
    const polyops_glu_args asked = {sizeof asked, c.dim, src.without_data(), dst.without_data()};
    const polyops_glu_args args = {sizeof args, c.dim, src.view(), dst.view()};
    ASSERT_STREQ(kernel->supports(&asked), nullptr);
    ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
    expect_near(dst, expected, dtype);
  }
}

void check_backward(const Case& c, const Buffer& grad, const Buffer& src) {
  const int32_t dtype = src.view().dtype;
  Buffer expected(POLYOPS_FLOAT64, c.sizes);
  reference::glu_backward(
      {sizeof(polyops_glu_backward_args), c.dim, grad.view(), src.view(), expected.view()});
  for (const polyops_kernel* kernel : kernels_of("glu_backward")) {
    SCOPED_TRACE(std::string(kernel->name) + " " + polyops_dtype_name(dtype) + " " + c.name);
    const bool shares = c.whole.size() > 1 && c.whole[0] == 0;
    Buffer result(dtype, c.sizes, shares ? Sizes{} : c.whole, c.offset);
    const polyops_glu_backward_args asked = {sizeof asked, c.dim, grad.without_data(),
                                             src.without_data(), result.without_data()};
    const polyops_glu_backward_args args = {sizeof args, c.dim, grad.view(), src.view(),
                                            result.view()};
    ASSERT_STREQ(kernel->supports(&asked), nullptr);
    ASSERT_EQ(launch(*kernel, &args), POLYOPS_OK);
    expect_near(result, expected, dtype);
  }
}

TEST(Glu, Layouts) {
  for (const Case& c : cases()) {
    for (int32_t dtype : {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16}) {
      Buffer src(dtype, c.sizes, c.whole, c.offset), grad(dtype, c.half_sizes(), c.half, c.offset);
      src.fill_normal(3, 3.0);
      grad.fill_normal(5);
      check_forward(c, src);
      check_backward(c, grad, src);
      EXPECT_TRUE(src.guards_intact());
    }
  }
}

// a is 1, so is the gradient; b is everything.
void check_all_of_16_bits(int32_t dtype) {
  const Case c = {"all", {2, 65536}, 0, {}, {}};
  Buffer src(dtype, c.sizes), grad(dtype, c.half_sizes()), all(dtype, {65536});
  fill_with_all_of_16_bits(all);
  src.fill([&](int64_t i) { return i < 65536 ? 1 : all.get(i - 65536); });
  grad.fill([](int64_t) { return 1; });
  check_forward(c, src);
  check_backward(c, grad, src);
}

TEST(Glu, EveryBfloat16) { check_all_of_16_bits(POLYOPS_BFLOAT16); }
TEST(Glu, EveryFloat16) { check_all_of_16_bits(POLYOPS_FLOAT16); }

// Every special a with every special b.
TEST(Glu, SpecialValues) {
  std::vector<double> once = special_values();
  once.resize(once.size() / 5);  // which it repeats
  const auto n = static_cast<int64_t>(once.size());
  const Case c = {"special", {2, n * n}, 0, {}, {}};
  for (int32_t dtype : {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16}) {
    Buffer src(dtype, c.sizes), grad(dtype, c.half_sizes());
    src.fill([&](int64_t i) { return i < n * n ? once[i / n] : once[(i - n * n) % n]; });
    grad.fill([](int64_t) { return 0.5; });
    check_forward(c, src);
    check_backward(c, grad, src);
  }
}

TEST(Glu, DeclinesByName) {
  Buffer whole(POLYOPS_FLOAT32, {4, 6}), half(POLYOPS_FLOAT32, {4, 3});
  Buffer odd(POLYOPS_FLOAT32, {5, 6}), wide(POLYOPS_FLOAT64, {4, 3});
  for (const polyops_kernel* kernel : kernels_of("glu")) {
    const auto reason = [&](int dim, const Buffer& src, const Buffer& dst) {
      const polyops_glu_args args = {sizeof args, dim, src.view(), dst.view()};
      return kernel->supports(&args);
    };
    EXPECT_STREQ(reason(1, whole, half), nullptr);
    EXPECT_STREQ(reason(2, whole, half), "dim");
    EXPECT_STREQ(reason(0, whole, half), "shape");
    EXPECT_STREQ(reason(0, odd, half), "shape");
    EXPECT_STREQ(reason(1, whole, wide), "dtype");
  }
}

}  // namespace
}  // namespace polyops::testing
