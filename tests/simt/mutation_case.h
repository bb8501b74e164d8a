// A call of a kernel whose results are compared bit for bit.
#ifndef POLYOPS_TESTS_SIMT_MUTATION_CASE_H_
#define POLYOPS_TESTS_SIMT_MUTATION_CASE_H_

#include <cstring>
#include <functional>
#include <vector>

#include "kernels/harness.h"

namespace polyops::testing {
namespace {

using Sizes = std::vector<int64_t>;

// What a call left in its outputs, or its error: bit for bit.
struct Result {
  int status;
  std::vector<double> values;
  bool operator==(const Result& other) const {
    return status == other.status && values.size() == other.values.size() &&
           std::memcmp(values.data(), other.values.data(), 8 * values.size()) == 0;
  }
};

using Call = std::function<Result(const polyops_kernel&)>;

struct Calls {
  const char* op;
  std::vector<Call> calls;
};

Result after(int status, std::initializer_list<const Buffer*> outputs) {
  Result result = {status, {}};
  for (const Buffer* output : outputs) {
    const std::vector<double> values = output->values();
    result.values.insert(result.values.end(), values.begin(), values.end());
  }
  return result;
}

Buffer random(const Sizes& sizes, uint32_t seed, const Sizes& strides = {},
              int32_t dtype = POLYOPS_FLOAT32) {
  Buffer buffer(dtype, sizes, strides);
  buffer.fill_normal(seed);
  return buffer;
}

template <class Args>
Result run(const polyops_kernel& kernel, const Args& args,
           std::initializer_list<const Buffer*> outputs) {
  if (kernel.supports(&args) != nullptr) return {-1, {}};
  return after(launch(kernel, &args), outputs);
}

}  // namespace
}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_SIMT_MUTATION_CASE_H_
