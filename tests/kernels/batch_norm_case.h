// What the tests of batch_norm and of its backward share: calls.
#ifndef POLYOPS_TESTS_KERNELS_BATCH_NORM_CASE_H_
#define POLYOPS_TESTS_KERNELS_BATCH_NORM_CASE_H_

#include <sstream>
#include <string>
#include <vector>

#include "channel_norm_case.h"

namespace polyops::testing {

struct Case {
  int64_t samples, channels, pixels;
  bool last = false;
  int64_t offset = 0;

  Sizes sizes() const { return {samples, channels, pixels}; }
  Sizes strides() const {
    if (last) return {channels * pixels, 1, channels};
    return {};
  }
  int64_t channel(int64_t i) const { return i / pixels % channels; }
};

constexpr NormTypes kTypes[] = {{POLYOPS_FLOAT32, POLYOPS_FLOAT32, POLYOPS_FLOAT32},
                                {POLYOPS_BFLOAT16, POLYOPS_BFLOAT16, POLYOPS_FLOAT32},
                                {POLYOPS_FLOAT16, POLYOPS_FLOAT32, POLYOPS_FLOAT32}};

inline const NormTypes& types_of_turn(size_t turn) { return kTypes[turn % std::size(kTypes)]; }

inline std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (bool last : {false, true}) {
    for (int64_t pixels : {2, 7, 49, 64, 300}) {
      cases.push_back({2, 6, pixels, last});
      if (pixels < 300) cases.push_back({5, 16, pixels, last, 1});
    }
    const std::vector<Case> others = {
        {2, 8, 9, last},    {40, 1, 33, last},     {3, 24, 130, last}, {2, 264, 5, last},
        {1, 3, 9001, last}, {2, 2, 8200, last, 3}, {17, 2, 520, last}, {2, 1030, 2, last, 1},
    };
    cases.insert(cases.end(), others.begin(), others.end());
  }
  // Held in a cluster's shared memory: several channels to a tile, on planes and next to each
  // other, by a block and by more; one channel.
  const std::vector<Case> held = {
      {41, 8, 49},       {5, 16, 7},        {41, 4, 49},  {3, 32, 701, true},
      {3, 32, 70, true}, {9, 16, 90, true}, {70, 4, 104}, {1, 2, 6000},
  };
  cases.insert(cases.end(), held.begin(), held.end());
  cases.push_back({50, 40, 1});
  cases.push_back({1, 1, 2});
  return cases;
}

inline std::string describe(const Case& c, NormTypes types) {
  std::ostringstream text;
  text << polyops_dtype_name(types.src) << " with " << polyops_dtype_name(types.parameter) << ", "
       << c.samples << "x" << c.channels << "x" << c.pixels << (c.last ? " channels last" : "");
  return text.str();
}

// Parameters and running moments.
struct Parameters {
  explicit Parameters(const Case& c, int32_t dtype)
      : weight(dtype, {c.channels}, {}, 1),
        bias(dtype, {c.channels}),
        mean(dtype, {c.channels}),
        var(dtype, {c.channels}, {}, 1) {
    weight.fill_normal(23);
    bias.fill_normal(29);
    mean.fill_normal(31);
    var.fill_normal(37);
    for (int64_t i = 0; i < c.channels; ++i) var.set(i, 0.1 + std::abs(var.get(i)));
  }
  Buffer weight, bias, mean, var;
};

}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_KERNELS_BATCH_NORM_CASE_H_
