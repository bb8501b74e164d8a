// What the tests of elementwise ops have in common: layouts, and which kernels must take them.
#ifndef POLYOPS_TESTS_KERNELS_ELEMENTWISE_H_
#define POLYOPS_TESTS_KERNELS_ELEMENTWISE_H_

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

#include "harness.h"

namespace polyops::testing {

constexpr int32_t kFloatDtypes[] = {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16,
                                    POLYOPS_FLOAT64};

// Strides as Buffer has them: empty means row-major without gaps. `grad` is of backward alone.
struct Layout {
  std::string name;
  std::vector<int64_t> sizes;
  std::vector<int64_t> src, dst, grad;
  bool dense = false;  // src and dst, in one order of dimensions
  int64_t offset = 0;  // of src; the others get other ones, all unaligned
  int threads = 1;
  bool grad_alike = true;  // grad lies as src and dst do

  bool all_dense() const { return dense && grad_alike; }
};

inline std::vector<Layout> layouts() {
  std::vector<Layout> all;
  for (int64_t n : {1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 257, 1000}) {
    all.push_back({"1d", {n}, {}, {}, {}, true});
    all.push_back({"1d unaligned", {n}, {}, {}, {}, true, 1});
    all.push_back({"1d every third", {n}, {3}, {}, {2}, n == 1});
    all.push_back({"1d into gaps", {n}, {}, {2}, {}, n == 1, 3});
  }
  std::vector<int64_t> twos;
  for (int rank = 0; rank <= POLYOPS_MAX_RANK; ++rank) {
    all.push_back({"rank", twos, {}, {}, {}, true, 1});
    std::vector<int64_t> gaps(rank);
    for (int d = 0; d < rank; ++d) gaps[d] = int64_t{1} << (2 * (rank - 1 - d));
    all.push_back({"rank with gaps", twos, gaps, {}, gaps, rank <= 1});
    twos.push_back(2);
  }
  const std::vector<int64_t> image = {2, 5, 6, 7};
  const std::vector<int64_t> last = permuted_strides(image, {0, 2, 3, 1});
  all.push_back({"channels last", image, last, last, last, true, 2});
  all.push_back({"channels last from first", image, {}, last, last, false});
  all.push_back({"channels first from last", image, last, {}, {}, false});
  all.push_back({"transposed alike", {37, 91}, {1, 37}, {1, 37}, {1, 37}, true, 1});
  all.push_back({"transposed", {37, 91}, {1, 37}, {}, {}, false});
  all.push_back({"transposed gradient", {91, 70}, {}, {}, {1, 91}, true, 0, 1, false});
  all.push_back({"rows with gaps", {9, 130}, {133, 1}, {131, 1}, {150, 1}, false, 5});
  all.push_back({"rows of packs", {9, 64}, {72, 1}, {80, 1}, {64, 1}, false});
  all.push_back({"many packs", {67, 1, 600}, {608, 9, 1}, {}, {0, 0, 1}, false});
  all.push_back({"narrow rows with gaps", {300, 3}, {5, 1}, {4, 1}, {3, 1}, false});
  all.push_back({"expanded gradient", {3, 700}, {}, {}, {0, 0}, true, 0, 1, false});
  all.push_back({"expanded rows", {5, 1030}, {0, 1}, {}, {1, 0}, false});
  all.push_back({"expanded columns", {70, 65}, {1, 0}, {}, {0, 1}, false});
  all.push_back({"sizes of one", {1, 13, 1, 4}, {9, 4, 7, 1}, {}, {1, 4, 99, 1}, true});
  for (int threads : {2, 3}) {
    all.push_back({"long", {140001}, {}, {}, {}, true, 1, threads});
    all.push_back({"long rows", {1401, 100}, {110, 1}, {}, {0, 0}, false, 0, threads});
    all.push_back({"long narrow", {46703, 3}, {3, 1}, {4, 1}, {1, 0}, false, 0, threads});
    all.push_back({"large transposed", {411, 343}, {1, 411}, {}, {}, false, 0, threads});
  }
  return all;
}

// Large ones, src or grad in another order of dimensions than dst.
inline std::vector<Layout> turned_layouts() {
  std::vector<Layout> all;
  all.push_back({"turned", {600, 528}, {1, 600}, {}, {}});
  all.push_back({"turned result", {600, 528}, {}, {1, 600}, {1, 600}});
  all.push_back({"turned gradient", {528, 600}, {}, {}, {1, 528}, true, 0, 1, false});
  all.push_back({"turned both", {520, 600}, {1, 520}, {}, {1, 520}});
  all.push_back({"turned unaligned", {600, 528}, {1, 600}, {}, {}, false, 1});
  all.push_back({"turned odd", {601, 527}, {1, 601}, {}, {}});
  all.push_back({"turned odd gradient", {527, 601}, {}, {}, {1, 527}, true, 3, 1, false});
  all.push_back({"turned with gaps", {600, 528}, {1, 608}, {544, 1}, {536, 1}});
  all.push_back({"turned with odd gaps", {600, 528}, {1, 609}, {533, 1}, {536, 1}});
  all.push_back({"turned, expanded gradient", {600, 528}, {1, 600}, {}, {0, 0}});
  all.push_back({"turned, expanded rows", {528, 600}, {1, 528}, {}, {0, 1}});
  all.push_back({"turned, expanded columns", {600, 528}, {1, 600}, {}, {1, 0}});
  const std::vector<int64_t> images = {3, 40, 48, 64}, odd = {3, 37, 51, 63};
  const std::vector<int64_t> last = permuted_strides(images, {0, 2, 3, 1});
  all.push_back({"turned images", images, last, {}, {}});
  all.push_back({"turned gradient of images", images, last, last, {}, true, 0, 1, false});
  all.push_back({"turned odd images", odd, permuted_strides(odd, {0, 2, 3, 1}), {}, {}});
  const std::vector<int64_t> cube = {64, 70, 80}, heads = {5, 24, 40, 80};
  all.push_back({"turned cube", cube, permuted_strides(cube, {2, 1, 0}), {}, {}});
  all.push_back({"turned inside", cube, permuted_strides(cube, {1, 2, 0}), {}, {}});
  all.push_back({"turned heads", heads, permuted_strides(heads, {3, 1, 0, 2}),
                 permuted_strides(heads, {0, 2, 1, 3}), permuted_strides(heads, {2, 0, 1, 3})});
  return all;
}

// Why this kernel must decline, or nullptr.
inline const char* expected_reason(const polyops_kernel& kernel, int32_t dtype, bool dense) {
  const bool scalar = std::strcmp(kernel.isa, "scalar") == 0;
  if (dtype == POLYOPS_FLOAT64 && !scalar) return "dtype";
  const bool contiguous = std::string(kernel.name).find("_contiguous__") != std::string::npos;
  return contiguous && !dense ? "layout" : nullptr;
}

// Asks supports() of `without_data` and launches `args`. False if the kernel rightly declined.
template <class Args>
bool supports_and_launches(const polyops_kernel& kernel, const Args& without_data, const Args& args,
                           bool dense, int threads) {
  const char* expected = expected_reason(kernel, args.src.dtype, dense);
  const char* reason = kernel.supports(&without_data);
  EXPECT_STREQ(reason, expected);
  if (reason != nullptr || expected != nullptr) return false;
  EXPECT_EQ(launch(kernel, &args, threads), POLYOPS_OK);
  return true;
}

inline std::string describe(const polyops_kernel& kernel, const Layout& layout, int32_t dtype) {
  std::ostringstream text;
  text << kernel.name << " " << polyops_dtype_name(dtype) << " " << layout.name;
  for (int64_t size : layout.sizes) text << " " << size;
  text << ", " << layout.threads << " threads";
  return text.str();
}

// All 65536 bit patterns, NaNs of either sign and any payload among them, into a dense tensor.
inline void fill_with_all_of_16_bits(const Buffer& buffer) {
  auto* bits = static_cast<uint16_t*>(buffer.view().data);
  for (int i = 0; i < 65536; ++i) bits[i] = static_cast<uint16_t>(i);
}

// The values that are easily wrong, repeated to fill several vectors and a tail.
inline std::vector<double> special_values() {
  const double inf = HUGE_VAL;
  const std::vector<double> once = {inf,      -inf, NAN,   1e30,   -1e30,   3e38,     -3e38,
                                    0.0,      -0.0, 1e-40, -1e-40, 1.4e-45, -1.4e-45, 1.2e-38,
                                    -1.2e-38, 1e10, -1e10, 6.3,    -6.3,    6.4,      -6.4};
  std::vector<double> all;
  for (int i = 0; i < 5; ++i) all.insert(all.end(), once.begin(), once.end());
  return all;
}

}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_KERNELS_ELEMENTWISE_H_
