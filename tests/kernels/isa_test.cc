// The family's table: every instruction set that this machine runs has kernels for every op, and
// every kernel says by its name what it was built for.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "harness.h"

namespace polyops::testing {
namespace {

// Without those of packed convolutions: AMX alone gains by them, elsewhere weights are read as they
// lie.
std::set<std::string> ops() {
  std::set<std::string> names;
  for (size_t i = 0; i < family().kernel_count; ++i) names.insert(family().kernels[i].op);
  names.erase("convolution_pack");
  names.erase("convolution_prepacked");
  return names;
}

std::set<std::string> built_isas() {
  std::set<std::string> isas;
  for (const char* const* isa = family().isas; *isa != nullptr; ++isa) isas.insert(*isa);
  return isas;
}

TEST(Isa, EachHasEveryOp) {
  for (const std::string& isa : built_isas()) {
    if (family().runs_isa(isa.c_str()) == 0) continue;
    for (const std::string& op : ops()) {
      bool found = false;
      for (const polyops_kernel* kernel : kernels_of(op)) found = found || isa == kernel->isa;
      EXPECT_TRUE(found) << op << " has no kernel for " << isa;
    }
  }
}

TEST(Isa, NamesEndInTheIsaAndAreUnique) {
  const std::set<std::string> isas = built_isas();
  std::set<std::string> names;
  for (size_t i = 0; i < family().kernel_count; ++i) {
    const polyops_kernel& kernel = family().kernels[i];
    const std::string name = kernel.name;
    EXPECT_TRUE(isas.contains(kernel.isa)) << name;
    EXPECT_TRUE(name.ends_with(std::string("__") + kernel.isa)) << name;
    EXPECT_TRUE(names.insert(name).second) << name << " occurs twice";
    EXPECT_NE(kernel.supports, nullptr) << name;
    EXPECT_NE(kernel.launch, nullptr) << name;
  }
}

TEST(Isa, BestFirstWithinEveryOp) {
  for (const std::string& op : ops()) {
    size_t reached = 0;  // into isas, which is best first
    for (const polyops_kernel* kernel : kernels_of(op)) {
      size_t at = 0;
      while (std::string(family().isas[at]) != kernel->isa) ++at;
      EXPECT_GE(at, reached) << kernel->name;
      reached = at;
    }
  }
}

TEST(Isa, ScalarRunsAnywhereAndNothingUnknownDoes) {
  EXPECT_NE(family().runs_isa("scalar"), 0);
  EXPECT_EQ(family().runs_isa("avx1024"), 0);
  EXPECT_TRUE(built_isas().contains("scalar"));
}

}  // namespace
}  // namespace polyops::testing
