// Backends that live in the test program, with kernels that do as they are told.
#ifndef POLYOPS_TESTS_REGISTRY_FAKES_H_
#define POLYOPS_TESTS_REGISTRY_FAKES_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "polyops/abi.h"
#include "polyops/ops/layer_norm.h"
#include "polyops/ops/relu.h"
#include "registry.h"

namespace polyops::testing {

inline const char* always(const void*) { return nullptr; }
inline const char* never_dtype(const void*) { return "dtype"; }
inline const char* never_layout(const void*) { return "layout"; }
inline int launch_nothing(const void*, const polyops_context*) { return POLYOPS_OK; }

inline polyops_kernel fake_kernel(const char* op, const char* name,
                                  const char* (*supports)(const void*) = always,
                                  const char* isa = "") {
  return {sizeof(polyops_kernel), op, name, isa, supports, nullptr, launch_nothing};
}

// A table that passes every check; tests then change what they are about.
struct FakeBackend {
  explicit FakeBackend(std::vector<polyops_kernel> its_kernels, const char* device = "cpu",
                       const char* name = "fake")
      : kernels(std::move(its_kernels)) {
    table.struct_size = sizeof(polyops_backend);
    table.abi_version = POLYOPS_ABI_VERSION;
    table.name = name;
    table.device = device;
    table.probe = [](char*, size_t) { return 1; };
    table.chip = [] { return "fake_chip"; };
    table.features = [] { return ""; };
    table.kernels = kernels.data();
    table.kernel_count = kernels.size();
  }
  FakeBackend(const FakeBackend&) = delete;

  std::vector<polyops_kernel> kernels;
  polyops_backend table = {};
};

// A registry and what it warned of. Declare it after the backends that it is given.
struct Recorded {
  std::vector<std::string> warnings;
  Registry registry{[this](const std::string& line) { warnings.push_back(line); }};

  // The names of the candidates, in order.
  std::vector<std::string> candidates(const std::string& op, const std::string& device = "cpu") {
    std::vector<std::string> names;
    for (const Candidate& c : registry.table(device, op).candidates()) {
      names.emplace_back(c.kernel->name);
    }
    return names;
  }
};

inline polyops_tensor contiguous(std::vector<int64_t> sizes, int32_t dtype = POLYOPS_FLOAT32) {
  polyops_tensor t = {nullptr, dtype, static_cast<int32_t>(sizes.size()), {}, {}};
  int64_t stride = 1;
  for (int d = t.rank - 1; d >= 0; --d) {
    t.sizes[d] = sizes[d];
    t.strides[d] = stride;
    stride *= sizes[d];
  }
  return t;
}

inline polyops_relu_args relu_args(int64_t n, int32_t dtype = POLYOPS_FLOAT32) {
  return {sizeof(polyops_relu_args), 0, contiguous({n}, dtype), contiguous({n}, dtype)};
}

// What the statement throws, which must be of type std::invalid_argument; "" if it does not throw.
inline std::string refusal(const std::function<void()>& statement) {
  try {
    statement();
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return "";
}

inline ::testing::AssertionResult contains(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "no \"" << part << "\" in \"" << text << "\"";
}

using Names = std::vector<std::string>;

}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_REGISTRY_FAKES_H_
