// What the tests of group_norm and of its backward share: calls.
#ifndef POLYOPS_TESTS_KERNELS_GROUP_NORM_CASE_H_
#define POLYOPS_TESTS_KERNELS_GROUP_NORM_CASE_H_

#include <sstream>
#include <string>
#include <vector>

#include "channel_norm_case.h"

namespace polyops::testing {

struct Case {
  int64_t samples, channels, pixels;
  int32_t groups;
  int64_t offset = 0;

  Sizes sizes() const { return {samples, channels, pixels}; }
  Sizes rows() const { return {samples, groups}; }
  int64_t n() const { return channels / groups * pixels; }
};

constexpr NormTypes kTypes[] = {{POLYOPS_FLOAT32, POLYOPS_FLOAT32, POLYOPS_FLOAT32},
                                {POLYOPS_BFLOAT16, POLYOPS_BFLOAT16, POLYOPS_BFLOAT16},
                                {POLYOPS_FLOAT16, POLYOPS_FLOAT16, POLYOPS_FLOAT16},
                                {POLYOPS_BFLOAT16, POLYOPS_FLOAT32, POLYOPS_FLOAT32}};

// Two by turns: cases repeat every layout often enough.
inline std::vector<NormTypes> types_of_turn(size_t turn) {
  return {kTypes[turn % std::size(kTypes)], kTypes[(turn + 1) % std::size(kTypes)]};
}

inline std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (int64_t pixels : {1, 2, 7, 8, 9, 49, 64, 65, 129, 256}) {
    cases.push_back({2, 6, pixels, 3});
    cases.push_back({5, 4, pixels, 4, 1});
  }
  const std::vector<Case> others = {
      {1, 1, 1, 1},       {3, 1, 1000, 1, 3}, {2, 320, 16, 32},
      {1, 1030, 1, 2},                                             // more channels than threads
      {7, 12, 300, 1},                                             // a group is all
      {4, 4, 1025, 1},    {4, 3, 171, 1, 1},                       // a block per group
      {3, 2, 8000, 1},    {1, 2, 9000, 1},    {1, 4, 1024, 1, 1},  // held by several blocks
      {1, 6, 5001, 2, 1}, {1, 6, 5001, 2, 3}, {2, 3, 10001, 1, 5},
      {1, 2, 20001, 2},   {1, 4, 34000, 1},    // blocks of much memory
      {1, 4500, 8, 1},    {2, 4501, 9, 1, 1},  // held by none: read twice
  };
  cases.insert(cases.end(), others.begin(), others.end());
  return cases;
}

inline std::string describe(const Case& c, NormTypes types) {
  std::ostringstream text;
  text << polyops_dtype_name(types.src) << " with " << polyops_dtype_name(types.parameter) << ", "
       << c.samples << "x" << c.channels << "x" << c.pixels << " in " << c.groups;
  return text.str();
}

}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_KERNELS_GROUP_NORM_CASE_H_
