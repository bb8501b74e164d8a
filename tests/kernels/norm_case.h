// What the tests of layer_norm and rms_norm share: calls, which kernels must take them, and bounds.
#ifndef POLYOPS_TESTS_KERNELS_NORM_CASE_H_
#define POLYOPS_TESTS_KERNELS_NORM_CASE_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "expect_close.h"
#include "harness.h"

namespace polyops::testing {

using Sizes = std::vector<int64_t>;

struct Case {
  std::string kernel;  // which must be the first of its ISA to take it: "contiguous"
  Sizes sizes;
  int normalized_rank;
  Sizes src_strides = {};
  Sizes dst_strides = {};
  int64_t offset = 0;

  int64_t n() const {
    int64_t product = 1;
    for (size_t d = sizes.size() - normalized_rank; d < sizes.size(); ++d) product *= sizes[d];
    return product;
  }
  Sizes row_sizes() const { return {sizes.end() - normalized_rank, sizes.end()}; }
  Sizes leading() const { return {sizes.begin(), sizes.end() - normalized_rank}; }
};

struct Types {
  int32_t src;
  int32_t parameter;
  int32_t statistics;  // mean and rstd
};
inline std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (int64_t n : {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 129, 384, 1023, 1024, 1025}) {
    cases.push_back({"contiguous", {5, n}, 1});
    cases.push_back({"contiguous", {9, n}, 1, {n + 3, 1}, {n + 5, 1}, 1});
    cases.push_back({"strided", {7, n}, 1, {2 * n, 2}, {}});
    if (n == 1) cases.back().kernel = "contiguous";
  }
  const std::vector<Case> others = {
      {"contiguous", {17}, 1},
      {"contiguous", {2, 3, 4, 5}, 2},
      {"contiguous", {2, 3, 4, 5}, 4},
      {"contiguous", {2, 1, 3, 2, 1, 2, 3, 5}, 3},
      {"contiguous", {1030, 3}, 1},                    // few columns
      {"contiguous", {200, 701}, 1, {}, {}, 1},        // several threads; of GPUs, copies
      {"contiguous", {100, 1024}, 1},                  // all that part of a wave takes
      {"contiguous", {1, 70001}, 1},                   // one long row
      {"contiguous", {3, 4, 33}, 1, {33, 99, 1}, {}},  // rows in another order
      {"contiguous", {5, 33}, 1, {0, 1}, {}},          // one row, expanded
      {"strided", {40, 33}, 1, {1, 40}, {}},           // transposed
      {"strided", {40, 33}, 1, {}, {1, 40}, 1},
      {"strided", {2, 66, 37}, 1, {2442, 1, 66}, {}},                // pixels over channels
      {"strided", {2, 49, 37}, 1, {1813, 1, 49}, {2000, 40, 1}, 1},  // the same, odd
      {"strided", {2, 3, 4, 5}, 3, {60, 1, 15, 3}, {60, 1, 15, 3}},  // NHWC over CHW
      {"strided", {5, 33}, 1, {1, 0}, {}},                           // expanded along the row
      {"strided", {200, 704}, 1, {1, 200}, {}},                      // several threads
  };
  cases.insert(cases.end(), others.begin(), others.end());
  if (!is_gpu()) return cases;
  const std::vector<Case> of_gpus = {
      {"contiguous", {1, 270001}, 1},                 // beyond what a cluster takes
      {"contiguous", {6, 20000}, 1},                  // rows taken one at a time
      {"contiguous", {7, 5120}, 1},                   // several to a block, of three waves each
      {"contiguous", {2, 33024}, 1},                  // in the registers of a cluster
      {"contiguous", {40, 9001}, 1, {}, {}, 1},       // odd, beyond what lanes keep of columns
      {"contiguous", {9, 4099}, 1, {}, {4100, 1}},    // odd, the result cut otherwise
      {"contiguous", {2, 33001}, 1, {}, {33004, 1}},  // the same beyond what a block takes
  };
  cases.insert(cases.end(), of_gpus.begin(), of_gpus.end());
  if (!on_device()) return cases;
  cases.push_back({"contiguous", {600, 1025}, 1});  // odd, worth copies of the parameters
  cases.push_back({"strided", {2, 3136, 96}, 1, {301056, 1, 3136}, {}});  // tiles by turns
  return cases;
}

inline std::string describe(const Case& c, Types types) {
  std::ostringstream text;
  text << c.kernel << " " << polyops_dtype_name(types.src) << " with "
       << polyops_dtype_name(types.parameter) << ", last " << c.normalized_rank << " of";
  for (int64_t size : c.sizes) text << " " << size;
  return text.str();
}

inline bool has_kernels(const std::string& isa, Types types) {
  return types.src != POLYOPS_FLOAT64 || (isa == "scalar" && !is_gpu());
}

// Runs `test` on every kernel that supports the call; the first of each ISA must be the one named,
// and every ISA with these types must have one.
template <class Test>
void for_each_taker(const std::string& op, const Case& c, Types types, const void* args,
                    Test test) {
  std::map<std::string, std::string> first;
  std::set<std::string> isas;
  for (const polyops_kernel* kernel : kernels_of(op)) {
    SCOPED_TRACE(kernel->name);
    if (has_kernels(kernel->isa, types)) isas.insert(kernel->isa);
    const char* reason = kernel->supports(args);
    if (reason != nullptr) {
      EXPECT_STREQ(reason, has_kernels(kernel->isa, types) ? "layout" : "dtype");
      continue;
    }
    first.emplace(kernel->isa, kernel->name);
    test(*kernel);
  }
  ASSERT_EQ(first.size(), isas.size());
  for (const auto& [isa, name] : first) EXPECT_EQ(name, op + "_" + c.kernel + "__" + isa);
}

// Each element of a row gets the row's largest.
inline std::vector<double> row_scale(std::vector<double> magnitude, int64_t n) {
  for (size_t first = 0; first < magnitude.size(); first += n) {
    const auto row = magnitude.begin() + first;
    std::fill_n(row, n, *std::max_element(row, row + n));
  }
  return magnitude;
}

}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_KERNELS_NORM_CASE_H_
