// What the tests of group_norm and batch_norm share: dtypes, bounds, rows that are hard to sum.
#ifndef POLYOPS_TESTS_KERNELS_CHANNEL_NORM_CASE_H_
#define POLYOPS_TESTS_KERNELS_CHANNEL_NORM_CASE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "expect_close.h"
#include "harness.h"

namespace polyops::testing {

using Sizes = std::vector<int64_t>;

struct NormTypes {
  int32_t src;
  int32_t parameter;
  int32_t statistics;
};

// Each element gets the largest of those with the same slice.
inline std::vector<double> largest_of_slice(std::vector<double> magnitude,
                                            const std::function<int64_t(int64_t)>& slice) {
  std::vector<double> most;
  for (size_t i = 0; i < magnitude.size(); ++i) {
    const auto s = static_cast<size_t>(slice(static_cast<int64_t>(i)));
    if (s >= most.size()) most.resize(s + 1);
    most[s] = std::max(most[s], magnitude[i]);
  }
  for (size_t i = 0; i < magnitude.size(); ++i) magnitude[i] = most[slice(i)];
  return magnitude;
}

// Means far from 0 beside the deviation, tiny and huge deviations, constants.
struct HardRow {
  double mean, deviation;
};
inline const std::vector<HardRow> kHardRows = {{1e4, 1},     {-1e6, 1}, {3e7, 100}, {0, 1e-12},
                                               {5, 1e-6},    {7, 0},    {1e4, 0},   {0, 0},
                                               {1e15, 1e15}, {0, 1e-3}};

inline void fill_hard(Buffer* src, const std::function<int64_t(int64_t)>& slice) {
  Buffer noise(POLYOPS_FLOAT64, {src->numel()});
  noise.fill_normal(31);
  const double most = src->view().dtype == POLYOPS_FLOAT16 ? 65504 : HUGE_VAL;
  src->fill([&](int64_t i) {
    const HardRow& row = kHardRows[slice(i) % kHardRows.size()];
    return std::clamp(row.mean + row.deviation * noise.get(i), -most, most);
  });
}

}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_KERNELS_CHANNEL_NORM_CASE_H_
