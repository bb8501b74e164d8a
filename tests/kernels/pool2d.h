// What the tests of pools have in common: sizes, windows and layouts.
#ifndef POLYOPS_TESTS_KERNELS_POOL2D_H_
#define POLYOPS_TESTS_KERNELS_POOL2D_H_

#include <gtest/gtest.h>

#include <cmath>
#include <sstream>
#include <string>
#include <vector>

#include "harness.h"
#include "polyops/ops/pool2d.h"

namespace polyops::testing {

using Sizes = std::vector<int64_t>;

constexpr int32_t kPoolDtypes[] = {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16};

// Of height and width; of one number, both.
struct Pair {
  int64_t high, wide;
  Pair(int64_t both) : high(both), wide(both) {}  // NOLINT: so that a number is one
  Pair(int64_t h, int64_t w) : high(h), wide(w) {}
};

struct PoolCase {
  Sizes sizes;
  Pair size, stride, padding = 0, dilation = 1;
  bool ceil = false;
  int64_t offset = 0;  // of all tensors

  polyops_pool2d_window window() const {
    return {{size.high, size.wide},
            {stride.high, stride.wide},
            {padding.high, padding.wide},
            {dilation.high, dilation.wide}};
  }
  // As torch counts windows.
  Sizes results() const {
    const polyops_pool2d_window w = window();
    Sizes all = sizes;
    for (int d = 0; d < 2; ++d) {
      const int64_t n = sizes[2 + d], reach = (w.size[d] - 1) * w.dilation[d] + 1;
      const int64_t more = ceil ? w.stride[d] - 1 : 0;
      all[2 + d] = (n + 2 * w.padding[d] - reach + more) / w.stride[d] + 1;
      if (ceil && (all[2 + d] - 1) * w.stride[d] >= n + w.padding[d]) --all[2 + d];
    }
    return all;
  }
  std::string describe() const {
    std::ostringstream text;
    for (int64_t n : sizes) text << n << " ";
    text << "size " << size.high << " " << size.wide << " stride " << stride.high << " "
         << stride.wide << " padding " << padding.high << " " << padding.wide << " dilation "
         << dilation.high << " " << dilation.wide << (ceil ? " ceil" : "") << " offset " << offset;
    return text.str();
  }
};

// Windows that kernels are made for, at every place of an image's edges; and any others.
inline std::vector<PoolCase> pool_cases() {
  std::vector<PoolCase> cases;
  for (const Pair image : {Pair(1), Pair(2, 3), Pair(5, 4), Pair(7), Pair(12, 13)}) {
    const Sizes sizes = {2, 3, image.high, image.wide};
    const Sizes packs = {2, 16, image.high, image.wide};
    for (const Sizes& s : {sizes, packs}) {
      cases.push_back({s, 3, 2, 1});
      cases.push_back({s, 3, 1, 1});
      cases.push_back({s, 2, 2, 1});
      if (image.high >= 2) cases.push_back({s, 2, 2});
      if (image.high >= 5) cases.push_back({s, 3, 2});
      if (image.high >= 5) cases.push_back({s, 3, 2, 0, 1, true});
      if (image.high >= 5) cases.push_back({s, 3, 1});
    }
  }
  for (const Sizes& s : {Sizes{2, 5, 9, 10}, Sizes{1, 24, 9, 10}}) {
    cases.push_back({s, 3, 2, {1, 0}});
    cases.push_back({s, {2, 3}, {2, 1}, {1, 1}});
    cases.push_back({s, 5, 1, 2});
    cases.push_back({s, 4, 3, 2, 1, true});
    cases.push_back({s, 1, 1});
    cases.push_back({s, 2, 5});
    cases.push_back({s, {9, 10}, 1});
    cases.push_back({s, {1, 4}, {1, 2}, {0, 2}});
    cases.push_back({s, 3, 2, 1, 1, false, 1});
    cases.push_back({s, 2, 2, 0, 1, false, 3});
  }
  cases.push_back({{1, 2, 150, 34}, 3, 2, 1});  // several rows to a thread
  cases.push_back({{1, 2, 150, 34}, 3, 1, 1});
  cases.push_back({{1, 8, 200, 5}, 2, 2});
  for (const Pair& window : {Pair(3, 1), Pair(3, 2), Pair(2, 2), Pair(5, 1)}) {
    const int64_t size = window.high, stride = window.wide, padding = (size - 1) / 2;
    cases.push_back({{1, 33, 7, 9}, size, stride, padding});  // several planes to a block
    cases.push_back({{1, 33, 6, 8}, size, stride, padding, 1, false, 1});
    cases.push_back({{1, 1, 62, 101}, size, stride, padding, 1, true, 3});  // slabs of rows
    cases.push_back({{1, 1, 6, 600}, size, stride, padding});  // no room for one of float32
  }
  for (const int64_t wide : {4, 8, 12, 16, 40}) {  // rows of whole packs
    cases.push_back({{1, 3, 9, wide}, 3, 1, 1});
    cases.push_back({{1, 2, 6, wide}, 3, 1, {0, 1}});
    cases.push_back({{1, 2, 1, wide}, 3, 1, {2, 1}});
    cases.push_back({{1, 2, 12, wide}, 3, 2, 1});
    cases.push_back({{1, 3, 18, wide}, 3, 2, {0, 1}, 1, true});
  }
  for (const int64_t wide : {6, 12, 24, 7}) {  // windows side by side
    cases.push_back({{1, 3, 9, wide}, 2, 2});
    cases.push_back({{1, 3, 9, wide}, {3, 2}, {3, 2}});
    cases.push_back({{1, 3, 9, wide}, {2, 3}, {2, 3}});
    cases.push_back({{1, 3, 9, wide}, {3, 4}, {3, 4}, 0, 1, true});
  }
  cases.push_back({{1, 3, 16, 16}, {2, 8}, {2, 8}});
  cases.push_back({{1, 8, 17, 17}, 3, 1, 1});
  cases.push_back({{1, 1, 1, 700}, {1, 3}, {1, 2}, {0, 1}});
  cases.push_back({{1, 2, 17, 33}, {5, 11}, {4, 3}, {2, 5}, 1, true, 1});  // a team to a window
  cases.push_back({{1, 3, 3, 70}, {3, 40}, {1, 15}});
  return cases;
}

// Dilated ones are of max_pool2d alone.
inline std::vector<PoolCase> dilated_cases() {
  std::vector<PoolCase> cases;
  for (const Sizes& s : {Sizes{2, 3, 11, 9}, Sizes{1, 16, 11, 9}}) {
    cases.push_back({s, 3, 1, 0, 2});
    cases.push_back({s, 3, 2, 2, {2, 3}});
    cases.push_back({s, {2, 1}, 2, {1, 0}, {4, 2}, true});
  }
  cases.push_back({{1, 2, 1, 1}, 2, 1, 2, 3, true});  // no tap in the image
  return cases;
}

inline Sizes layout_strides(const Sizes& sizes, bool last) {
  return last ? permuted_strides(sizes, {0, 2, 3, 1}) : Sizes();
}

// Rounding of the result and of sums in float32, of terms whose magnitudes add up to `scale`.
inline void expect_close(const Buffer& got, const std::vector<double>& expected,
                         const std::vector<double>& scale) {
  const int32_t dtype = got.view().dtype;
  ASSERT_TRUE(got.guards_intact());
  for (size_t i = 0; i < expected.size(); ++i) {
    const double value = got.get(static_cast<int64_t>(i)), best = in_range(dtype, expected[i]);
    if ((std::isnan(best) && std::isnan(value)) || best == value) continue;
    const double bound = 4 * epsilon(POLYOPS_FLOAT32) * scale[i] + rounding_of(dtype, expected[i]);
    ASSERT_LE(std::abs(value - best), bound) << "element " << i << ": " << value << " for " << best;
  }
}

// Equal, NaN being equal to NaN.
inline void expect_exact(const Buffer& got, const std::vector<double>& expected) {
  ASSERT_TRUE(got.guards_intact());
  for (size_t i = 0; i < expected.size(); ++i) {
    const double value = got.get(static_cast<int64_t>(i));
    if (std::isnan(value) && std::isnan(expected[i])) continue;
    ASSERT_EQ(value, expected[i]) << "element " << i;
  }
}

inline std::vector<double> magnitudes(const std::vector<double>& values) {
  std::vector<double> all;
  for (const double value : values) all.push_back(std::abs(value));
  return all;
}

}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_KERNELS_POOL2D_H_
