// Calls of each op, in each layout, and what a gate must see of them: by subject, in the files
// gate_calls_*.cc.
#ifndef POLYOPS_TESTS_REGISTRY_GATE_CALLS_H_
#define POLYOPS_TESTS_REGISTRY_GATE_CALLS_H_

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "fakes.h"

namespace polyops::testing {

inline polyops_tensor strided(std::vector<int64_t> sizes, std::vector<int64_t> strides,
                              int32_t dtype = POLYOPS_FLOAT32) {
  polyops_tensor t = contiguous(std::move(sizes), dtype);
  std::copy(strides.begin(), strides.end(), t.strides);
  return t;
}

inline polyops_tensor channels_last(polyops_tensor t) {
  const int64_t channels = t.sizes[1], high = t.sizes[2], wide = t.sizes[3];
  return strided({t.sizes[0], channels, high, wide},
                 {channels * high * wide, 1, channels * wide, channels});
}

// A call's arguments, as bytes, with the op, the layout and the sizes that its gate must see.
struct Call {
  std::string op, layout;
  std::vector<int64_t> sizes;
  std::vector<unsigned char> args;
};

template <class Args>
Call call(const std::string& op, const std::string& layout, std::vector<int64_t> sizes, Args args) {
  args.struct_size = sizeof(Args);
  const auto* bytes = reinterpret_cast<const unsigned char*>(&args);
  return {op, layout, std::move(sizes), {bytes, bytes + sizeof(Args)}};
}

std::vector<Call> row_calls();
std::vector<Call> element_calls();
std::vector<Call> index_calls();
std::vector<Call> product_calls();
std::vector<Call> image_calls();

}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_REGISTRY_GATE_CALLS_H_
