// Results of rows, whose errors are on the scale of what was added up, against the reference.
#ifndef POLYOPS_TESTS_KERNELS_EXPECT_CLOSE_H_
#define POLYOPS_TESTS_KERNELS_EXPECT_CLOSE_H_

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "harness.h"

namespace polyops::testing {

// |got - expected| <= units * epsilon(arithmetic) * scale, and half an epsilon of a result that is
// stored in fewer bits. Returns the values.
inline std::vector<double> expect_close(const char* what, const Buffer& got,
                                        const std::vector<double>& expected,
                                        const std::vector<double>& scale, double units) {
  const std::vector<double> values = got.values();
  const int32_t dtype = got.view().dtype;
  const double arithmetic = epsilon(is_half(dtype) ? POLYOPS_FLOAT32 : dtype);
  EXPECT_TRUE(got.guards_intact()) << what;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double bound = units * arithmetic * scale[i] + rounding_of(dtype, expected[i]);
    if (std::abs(values[i] - expected[i]) <= bound) continue;
    ADD_FAILURE() << what << " " << i << ": " << values[i] << " for " << expected[i] << ", bound "
                  << bound;
    break;
  }
  return values;
}

}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_KERNELS_EXPECT_CLOSE_H_
