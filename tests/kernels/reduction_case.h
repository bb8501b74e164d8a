// Which dimensions of a tensor are reduced, and how it and the result lie.
#ifndef POLYOPS_TESTS_KERNELS_REDUCTION_CASE_H_
#define POLYOPS_TESTS_KERNELS_REDUCTION_CASE_H_

#include <string>
#include <vector>

#include "harness.h"

namespace polyops::testing {
namespace {

using Sizes = std::vector<int64_t>;

struct Case {
  Sizes sizes;
  uint32_t dims;
  Sizes strides = {};
  int64_t offset = 0;
  int64_t dst_offset = 0;
  Sizes dst_strides = {};
};

std::string describe(const char* op, const Case& c, int32_t dtype) {
  std::string text = op;
  text.append(" ").append(polyops_dtype_name(dtype)).append(" dims ");
  text += std::to_string(c.dims);
  for (int64_t size : c.sizes) text.append(" ").append(std::to_string(size));
  return text.append(" at ").append(std::to_string(c.offset));
}

Sizes kept_sizes(const Case& c) {
  Sizes sizes = c.sizes;
  for (size_t d = 0; d < sizes.size(); ++d) {
    if ((c.dims >> d & 1) != 0) sizes[d] = 1;
  }
  return sizes;
}

}  // namespace
}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_KERNELS_REDUCTION_CASE_H_
