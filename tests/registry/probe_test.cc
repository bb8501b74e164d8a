// Families of other devices than the CPU are probed at the first call, once; and warnings that
// throw.
#include <gtest/gtest.h>

#include <cstdio>

#include "fakes.h"

namespace polyops::testing {
namespace {

int probes = 0;

TEST(DeferredProbe, WaitsForTheFirstCallOnTheDevice) {
  probes = 0;
  FakeBackend gpu({fake_kernel("relu", "on_gpu")}, "gpu", "gpu");
  gpu.table.probe = [](char*, size_t) { return ++probes; };
  Recorded r;
  EXPECT_EQ(r.registry.add(&gpu.table).state, Family::State::kWaiting);
  OpTable& table = r.registry.table("gpu", "relu");
  r.registry.ensure_probed("cpu");
  r.registry.commit_gates();
  EXPECT_EQ(probes, 0);
  EXPECT_TRUE(table.candidates().empty());
  EXPECT_FALSE(r.registry.kernels()[0].usable);
  for (int i = 0; i < 3; ++i) r.registry.ensure_probed("gpu");
  EXPECT_EQ(probes, 1);
  ASSERT_EQ(table.candidates().size(), 1u);
  const auto* candidates = &table.candidates();
  r.registry.ensure_probed("gpu");
  EXPECT_EQ(&table.candidates(), candidates) << "rebuilt at every call";
  EXPECT_EQ(r.registry.families()[0].state, Family::State::kLoaded);
}

TEST(DeferredProbe, ThatFailsIsWarnedOfOnceAndNotRepeated) {
  probes = 0;
  FakeBackend gpu({fake_kernel("relu", "on_gpu")}, "gpu", "gpu");
  gpu.table.probe = [](char* reason, size_t capacity) {
    std::snprintf(reason, capacity, "attempt %d", ++probes);
    return 0;
  };
  FakeBackend second({fake_kernel("relu", "on_second")}, "gpu", "second");
  Recorded r;
  r.registry.add(&gpu.table, "/where/libpolyops_gpu.so");
  r.registry.add(&second.table);
  EXPECT_EQ(r.warnings, Names{});
  for (int i = 0; i < 3; ++i) r.registry.ensure_probed("gpu");
  EXPECT_EQ(r.warnings, Names{"polyops: /where/libpolyops_gpu.so is not used: attempt 1"});
  EXPECT_EQ(r.candidates("relu", "gpu"), Names{"on_second"});
  EXPECT_EQ(r.registry.families()[0].state, Family::State::kRefused);
  EXPECT_EQ(r.registry.families()[0].reason, "attempt 1");
}

TEST(DeferredProbe, AFamilyThatComesLaterIsProbedAtTheNextCall) {
  probes = 0;
  FakeBackend first({fake_kernel("relu", "r1")}, "gpu", "first");
  first.table.probe = [](char*, size_t) { return ++probes; };
  FakeBackend second({fake_kernel("relu", "r2")}, "gpu", "second");
  Recorded r;
  r.registry.add(&first.table);
  r.registry.ensure_probed("gpu");
  r.registry.add(&second.table);
  EXPECT_EQ(r.candidates("relu", "gpu"), Names{"r1"});
  r.registry.ensure_probed("gpu");
  EXPECT_EQ(r.candidates("relu", "gpu"), (Names{"r1", "r2"}));
  EXPECT_EQ(probes, 1);
}

// With `-W error` a warning becomes an exception.
TEST(Warning, ThatThrowsLeavesTheRegistryWhole) {
  FakeBackend good({fake_kernel("relu", "good")}, "gpu", "good");
  FakeBackend bad({fake_kernel("relu", "bad")}, "gpu", "bad");
  bad.table.probe = [](char*, size_t) { return 0; };
  int warned = 0;
  Registry registry([&](const std::string&) {
    ++warned;
    throw std::runtime_error("as an error");
  });
  EXPECT_THROW(registry.load("/nowhere/x.so"), std::runtime_error);
  registry.add(&bad.table);
  registry.add(&good.table);
  EXPECT_THROW(registry.ensure_probed("gpu"), std::runtime_error);
  EXPECT_EQ(registry.table("gpu", "relu").candidates().size(), 1u);
  registry.ensure_probed("gpu");
  EXPECT_EQ(warned, 2);
}

}  // namespace
}  // namespace polyops::testing
