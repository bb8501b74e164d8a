// The choice among candidates, and the reason when there is none.
#include "select.h"

#include <gtest/gtest.h>

#include "fakes.h"

namespace polyops::testing {
namespace {

// Gates of a measured chip, by what they say of every call with one thread and float32.
const Gate* gate_with_ratio(float ratio) {
  static GateStore store;
  static int kernels = 0;
  const std::string kernel = "kernel" + std::to_string(++kernels);
  const auto args = relu_args(1000);
  store.add("chip", kernel, 1, find_kernel_op("relu")->gate_key(&args), ratio);
  return store.gate_for("chip", kernel);
}

// Of a kernel that was measured, but not with one thread.
const Gate* unmeasured_gate() {
  static GateStore store;
  const auto args = relu_args(1000);
  store.add("chip", "kernel", 2, find_kernel_op("relu")->gate_key(&args), 2);
  return store.gate_for("chip", "kernel");
}

// Of a kernel that was measured nowhere, on a chip that was not either.
const Gate* gate_of_nothing() {
  static GateStore empty;
  return empty.gate_for("chip", "kernel");
}

// Of a kernel that was not measured on a chip that was.
const Gate* gate_that_never_opens() {
  static GateStore store;
  const auto args = relu_args(1000);
  store.add("chip", "measured", 1, find_kernel_op("relu")->gate_key(&args), 2);
  return store.gate_for("chip", "another");
}

class Select : public ::testing::Test {
 protected:
  Choice choose(std::vector<Candidate> candidates, const Candidate* after = nullptr) {
    table_.replace(std::move(candidates));
    return select(table_, &args_, 1, after);
  }
  std::string chosen(std::vector<Candidate> candidates) {
    const Choice choice = choose(std::move(candidates));
    return choice.candidate == nullptr ? "none" : choice.candidate->kernel->name;
  }
  std::string reason(std::vector<Candidate> candidates) {
    const Choice choice = choose(std::move(candidates));
    return choice.candidate == nullptr ? choice.reason : "taken";
  }

  polyops_kernel a_ = fake_kernel("relu", "a"), b_ = fake_kernel("relu", "b");
  polyops_kernel wrong_dtype_ = fake_kernel("relu", "wrong_dtype", never_dtype);
  polyops_kernel wrong_layout_ = fake_kernel("relu", "wrong_layout", never_layout);
  polyops_relu_args args_ = relu_args(1000);
  OpTable table_{find_kernel_op("relu")};
};

TEST_F(Select, TakesTheFirst) {
  EXPECT_EQ(chosen({{&a_, nullptr}, {&b_, nullptr}}), "a");
  EXPECT_EQ(chosen({{&b_, nullptr}, {&a_, nullptr}}), "b");
}

TEST_F(Select, PassesOverWhatDoesNotSupportTheCall) {
  EXPECT_EQ(chosen({{&wrong_dtype_, nullptr}, {&b_, nullptr}}), "b");
}

TEST_F(Select, PassesOverAShutGate) {
  EXPECT_EQ(chosen({{&a_, gate_with_ratio(0.5f)}, {&b_, gate_with_ratio(1.5f)}}), "b");
}

TEST_F(Select, AGateDoesNotOpenForAnUnsupportedCall) {
  EXPECT_EQ(reason({{&wrong_dtype_, gate_with_ratio(9)}}), "dtype");
}

TEST_F(Select, SaysNothingMoreOfATakenCall) {
  const Choice choice = choose({{&wrong_dtype_, nullptr}, {&b_, nullptr}});
  EXPECT_NE(choice.candidate, nullptr);
  EXPECT_EQ(choice.reason, nullptr);
}

TEST_F(Select, OneThatNeverOpensIsNotEvenAskedWhatItSupports) {
  static bool asked;
  asked = false;
  polyops_kernel asks = fake_kernel("relu", "asks", [](const void*) -> const char* {
    asked = true;
    return nullptr;
  });
  EXPECT_EQ(reason({{&asks, gate_that_never_opens()}}), "gate: not measured");
  EXPECT_EQ(reason({{&asks, gate_that_never_opens()}, {&wrong_dtype_, nullptr}}), "dtype");
  EXPECT_EQ(chosen({{&asks, gate_that_never_opens()}, {&a_, nullptr}}), "a");
  EXPECT_EQ(reason({{&asks, gate_of_nothing()}}), "gate: not measured");
  EXPECT_FALSE(asked);
}

TEST_F(Select, WithoutCandidatesThereIsNoKernel) { EXPECT_EQ(reason({}), "no kernel"); }

TEST_F(Select, TheFirstUnsupportedSaysWhy) {
  EXPECT_EQ(reason({{&wrong_dtype_, nullptr}, {&wrong_layout_, nullptr}}), "dtype");
  EXPECT_EQ(reason({{&wrong_layout_, nullptr}, {&wrong_dtype_, nullptr}}), "layout");
}

TEST_F(Select, AShutGateSaysMoreThanAnUnsupportedKernelBeforeIt) {
  EXPECT_EQ(reason({{&wrong_dtype_, nullptr}, {&a_, gate_with_ratio(0.5f)}}), "gate: not faster");
}

TEST_F(Select, TheFirstShutGateSaysWhy) {
  EXPECT_EQ(reason({{&a_, unmeasured_gate()}, {&b_, gate_with_ratio(0.5f)}}), "gate: not measured");
  EXPECT_EQ(reason({{&a_, gate_with_ratio(0.5f)}, {&b_, unmeasured_gate()}}), "gate: not faster");
}

TEST_F(Select, TheGateSeesThreadsDtypeAndSizesOfTheCall) {
  const Gate* gate = gate_with_ratio(2);
  EXPECT_EQ(chosen({{&a_, gate}}), "a");
  EXPECT_STREQ(select(table_, &args_, 2).reason, "gate: not measured");
  args_ = relu_args(1000, POLYOPS_BFLOAT16);
  EXPECT_EQ(reason({{&a_, gate}}), "gate: not measured");
  args_ = relu_args(int64_t{1} << 40);
  EXPECT_EQ(reason({{&a_, gate}}), "gate: not measured");
}

TEST_F(Select, ComputesTheGateKeyOnceAndOnlyForGatedSupportedKernels) {
  static int computed;
  computed = 0;
  KernelOp op = *find_kernel_op("relu");
  op.gate_key = [](const void* args) {
    ++computed;
    return find_kernel_op("relu")->gate_key(args);
  };
  OpTable table(&op);
  table.replace({{&wrong_dtype_, unmeasured_gate()}, {&a_, nullptr}});
  EXPECT_STREQ(select(table, &args_, 1).candidate->kernel->name, "a");
  EXPECT_EQ(computed, 0);
  table.replace({{&a_, unmeasured_gate()}, {&b_, gate_with_ratio(2)}});
  EXPECT_STREQ(select(table, &args_, 1).candidate->kernel->name, "b");
  EXPECT_EQ(computed, 1);
}

TEST_F(Select, GoesOnBehindAKernelThatDeclinedAtLaunch) {
  const Choice first = choose({{&a_, nullptr}, {&wrong_dtype_, nullptr}, {&b_, nullptr}});
  ASSERT_EQ(first.candidate->kernel, &a_);
  const Choice second = select(table_, &args_, 1, first.candidate);
  ASSERT_EQ(second.candidate->kernel, &b_);
  const Choice third = select(table_, &args_, 1, second.candidate);
  EXPECT_EQ(third.candidate, nullptr);
  EXPECT_STREQ(third.reason, "launch declined");
}

TEST_F(Select, AfterALaunchThatDeclinedThatIsTheReason) {
  const Choice first =
      choose({{&a_, nullptr}, {&wrong_dtype_, nullptr}, {&b_, gate_with_ratio(0.5f)}});
  const Choice second = select(table_, &args_, 1, first.candidate);
  EXPECT_EQ(second.candidate, nullptr);
  EXPECT_STREQ(second.reason, "launch declined");
}

TEST_F(Select, GoesOnInATableReplacedMeanwhile) {
  const Choice first = choose({{&a_, nullptr}, {&b_, nullptr}});
  // Another order, still with the kernel that declined: never that one again.
  const Choice second =
      choose({{&wrong_dtype_, nullptr}, {&a_, nullptr}, {&b_, nullptr}}, first.candidate);
  EXPECT_EQ(second.candidate->kernel, &b_);
  // Without it there is no telling what was tried: stock runs.
  const Choice third = choose({{&b_, nullptr}}, first.candidate);
  EXPECT_EQ(third.candidate, nullptr);
  EXPECT_STREQ(third.reason, "launch declined");
}

TEST_F(Select, AChoiceOutlivesTheTableItCameFrom) {
  const Choice first = choose({{&a_, nullptr}});
  for (int i = 0; i < 100; ++i) table_.replace({{&b_, nullptr}});
  EXPECT_STREQ(first.candidate->kernel->name, "a");
}

}  // namespace
}  // namespace polyops::testing
