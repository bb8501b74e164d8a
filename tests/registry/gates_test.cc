// Gates: distances between measured points and calls, and who may run where nobody measured.
#include "gates.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "fakes.h"

namespace polyops::testing {
namespace {

GateKey key(int64_t first, int64_t second = 0, int32_t dtype = POLYOPS_FLOAT32,
            const char* layout = find_kernel_op("layer_norm")->layouts[0]) {
  return {dtype, layout, {first, second}};
}

TEST(ThreadClass, IsThePowerOfTwo) {
  const std::vector<std::pair<int, int>> cases = {{-1, 0}, {0, 0}, {1, 0}, {2, 1},  {3, 1},
                                                  {4, 2},  {7, 2}, {8, 3}, {15, 3}, {128, 7}};
  for (const auto& [threads, expected] : cases)
    EXPECT_EQ(thread_class(threads), expected) << threads;
}

TEST(ApproximateLog2, IsCloseMonotonicAndExactAtPowersOfTwo) {
  EXPECT_EQ(approximate_log2(0), 0);
  for (int e = 0; e < 63; ++e) EXPECT_EQ(approximate_log2(int64_t{1} << e), e);
  float last = -1;
  for (int64_t n = 1; n < 100000; n += 1 + n / 50) {
    EXPECT_NEAR(approximate_log2(n), std::log2(static_cast<double>(n)), 0.0861) << n;
    EXPECT_GT(approximate_log2(n), last) << n;
    last = approximate_log2(n);
  }
  EXPECT_NEAR(approximate_log2(std::numeric_limits<int64_t>::max()), 63, 1e-3);
}

TEST(GateTable, TheNearestPointDecides) {
  GateTable table;
  table.add(1, key(1 << 10), 2.0f);
  table.add(1, key(1 << 20), 0.5f);
  EXPECT_EQ(table.nearest(1, key(1 << 10)), 2.0f);
  EXPECT_EQ(table.nearest(1, key(1 << 14)), 2.0f);
  EXPECT_EQ(table.nearest(1, key(1 << 16)), 0.5f);
  EXPECT_EQ(table.nearest(1, key(1 << 21)), 0.5f);
}

TEST(GateTable, OfTwoEquallyNearTheSlowerDecides) {
  for (const bool slow_first : {false, true}) {
    GateTable table;
    table.add(1, key(1 << 10), slow_first ? 0.5f : 2.0f);
    table.add(1, key(1 << 14), slow_first ? 2.0f : 0.5f);
    EXPECT_EQ(table.nearest(1, key(1 << 12)), 0.5f);
  }
}

TEST(GateTable, DistancesOfTheSizesAddUp) {
  GateTable table;
  table.add(1, key(1 << 10, 1 << 10), 2.0f);
  table.add(1, key(1 << 15, 1 << 10), 3.0f);
  // 3 + 3 to the first point, 2 + 3 to the second.
  EXPECT_EQ(table.nearest(1, key(1 << 13, 1 << 13)), 3.0f);
  // 2 + 3 to the first, 3 + 3 to the second.
  EXPECT_EQ(table.nearest(1, key(1 << 12, 1 << 7)), 2.0f);
}

TEST(GateTable, NothingIsKnownBeyondItsReach) {
  GateTable table;
  table.add(1, key(1 << 20, 1 << 10), 2.0f);
  EXPECT_EQ(table.nearest(1, key(1 << 27, 1 << 10)), 2.0f);
  EXPECT_EQ(table.nearest(1, key(1 << 13, 1 << 10)), 2.0f);
  EXPECT_EQ(table.nearest(1, key(1 << 29, 1 << 10)), 0.0f);
  EXPECT_EQ(table.nearest(1, key(1 << 11, 1 << 10)), 0.0f);
  EXPECT_EQ(table.nearest(1, key(1 << 25, 1 << 14)), 0.0f);  // 5 + 4
}

TEST(GateTable, ThreadClassDtypeAndLayoutAreTakenAsTheyAre) {
  const char* strided = find_kernel_op("layer_norm")->layouts[1];
  GateTable table;
  EXPECT_TRUE(table.empty());
  table.add(2, key(1 << 10), 2.0f);
  EXPECT_FALSE(table.empty());
  EXPECT_EQ(table.nearest(3, key(1 << 10)), 2.0f);
  EXPECT_EQ(table.nearest(1, key(1 << 10)), 0.0f);
  EXPECT_EQ(table.nearest(4, key(1 << 10)), 0.0f);
  EXPECT_EQ(table.nearest(2, key(1 << 10, 0, POLYOPS_BFLOAT16)), 0.0f);
  EXPECT_EQ(table.nearest(2, key(1 << 10, 0, POLYOPS_FLOAT32, strided)), 0.0f);
}

TEST(GateTable, TheSameSizesAgainKeepTheLowerRatio) {
  GateTable table;
  table.add(2, key(1 << 10, 7), 2.0f);
  table.add(3, key(1 << 10, 7), 0.9f);  // the same thread class
  table.add(2, key(1 << 10, 7), 1.5f);
  EXPECT_EQ(table.nearest(2, key(1 << 10, 7)), 0.9f);
}

TEST(Gate, OnAMeasuredChipOpensWhereItIsFasterThanMeasurementErrs) {
  GateStore store;
  store.add("chip", "kernel", 1, key(1 << 10), 1.03f);
  store.add("chip", "kernel", 1, key(1 << 20), 1.02f);
  const Gate& gate = *store.gate_for("chip", "kernel");
  EXPECT_EQ(gate.check(1, key(1 << 10)), nullptr);
  EXPECT_STREQ(gate.check(1, key(1 << 20)), "gate: not faster");
  EXPECT_STREQ(gate.check(1, key(1 << 30)), "gate: not measured");
  EXPECT_STREQ(gate.check(8, key(1 << 10)), "gate: not measured");
}

TEST(Gate, OnAMeasuredChipOthersDoNotMatter) {
  GateStore store;
  store.add("chip", "kernel", 1, key(1 << 10), 1.1f);
  store.add("other", "kernel", 1, key(1 << 10), 0.1f);
  store.add("other", "late", 1, key(1 << 10), 9.0f);
  EXPECT_EQ(store.gate_for("chip", "kernel")->check(1, key(1 << 10)), nullptr);
  EXPECT_STREQ(store.gate_for("chip", "late")->check(1, key(1 << 10)), "gate: not measured");
}

TEST(Gate, OnAnUnmeasuredChipOpensWhereItWonClearlyOnEveryOther) {
  GateStore store;
  store.add("one", "kernel", 1, key(1 << 10), 1.3f);
  store.add("two", "kernel", 1, key(1 << 10), 5.0f);
  store.add("three", "unrelated", 1, key(1 << 10), 0.1f);
  const Gate* gate = store.gate_for("new", "kernel");
  EXPECT_EQ(gate->check(1, key(1 << 10)), nullptr);
  EXPECT_STREQ(gate->check(1, key(1 << 30)), "gate: chip not measured");
  EXPECT_STREQ(gate->check(4, key(1 << 10)), "gate: chip not measured");

  store.add("four", "kernel", 1, key(1 << 10), 1.29f);
  EXPECT_STREQ(store.gate_for("new", "kernel")->check(1, key(1 << 10)), "gate: chip not measured");
  EXPECT_STREQ(store.gate_for("new", "nobody's")->check(1, key(1 << 10)), "gate: not measured");
  // What was handed out before keeps saying what it said: a call may be reading it.
  EXPECT_EQ(gate->check(1, key(1 << 10)), nullptr);
}

TEST(Gate, OnAnUnmeasuredChipOneThatWasNotMeasuredThereShutsIt) {
  GateStore store;
  store.add("one", "kernel", 1, key(1 << 10), 2.0f);
  store.add("two", "kernel", 2, key(1 << 10), 2.0f);
  EXPECT_STREQ(store.gate_for("new", "kernel")->check(1, key(1 << 10)), "gate: chip not measured");
}

TEST(GateStore, NamesTheThreadClassesOfAChip) {
  GateStore store;
  for (const int threads : {8, 1, 2, 3}) store.add("chip", "k", threads, key(1), 1);
  EXPECT_EQ(store.thread_classes("chip"), "1, 2-3, 8-15");
  EXPECT_EQ(store.thread_classes("other"), "");
  EXPECT_TRUE(store.measured("chip"));
  EXPECT_FALSE(store.measured("other"));
}

class RegistryGates : public ::testing::Test {
 protected:
  RegistryGates() { r_.registry.add(&backend_.table); }
  std::string decision(int threads = 1) {
    const auto args = relu_args(1 << 10);
    const Choice choice = select(r_.registry.table("cpu", "relu"), &args, threads);
    return choice.candidate != nullptr ? "taken" : choice.reason;
  }
  std::string refused(const std::string& dtype, const std::string& layout,
                      const std::vector<int64_t>& sizes, float ratio = 2) {
    return refusal(
        [&] { r_.registry.add_gate("fake_chip", "relu__a", 1, dtype, layout, sizes, ratio); });
  }
  FakeBackend backend_{{fake_kernel("relu", "relu__a")}};
  Recorded r_;
};

TEST_F(RegistryGates, CountOnceTheyAreCommitted) {
  EXPECT_EQ(decision(), "gate: not measured");
  r_.registry.add_gate("fake_chip", "relu__a", 1, "float32", "contiguous", {1 << 10}, 2);
  EXPECT_EQ(decision(), "gate: not measured");
  r_.registry.commit_gates();
  EXPECT_EQ(decision(), "taken");
  EXPECT_EQ(decision(2), "gate: not measured");
}

TEST_F(RegistryGates, OfOtherChipsAreConservative) {
  r_.registry.add_gate("other_chip", "relu__a", 1, "float32", "contiguous", {1 << 10}, 1.2f);
  r_.registry.commit_gates();
  EXPECT_EQ(decision(), "gate: chip not measured");
  r_.registry.set_gate(false);
  EXPECT_EQ(decision(), "taken");
  r_.registry.set_gate(true);
  EXPECT_EQ(decision(), "gate: chip not measured");
}

TEST_F(RegistryGates, SayHowTheyStand) {
  const Family family = r_.registry.families()[0];
  EXPECT_EQ(r_.registry.gate_state(family), "conservative: not measured");
  r_.registry.add_gate("fake_chip", "relu__a", 2, "float32", "contiguous", {1}, 2);
  EXPECT_EQ(r_.registry.gate_state(family), "measured with 2-3 threads");
  r_.registry.set_gate(false);
  EXPECT_EQ(r_.registry.gate_state(family), "lifted");
}

TEST_F(RegistryGates, OfAKernelThatIsNotThereAreIgnored) {
  EXPECT_EQ(
      refusal([&] { r_.registry.add_gate("fake_chip", "gone", 1, "nonsense", "nonsense", {}, 2); }),
      "");
  r_.registry.commit_gates();
  EXPECT_EQ(decision(), "gate: not measured");
}

TEST_F(RegistryGates, ThatMakeNoSenseAreRefused) {
  EXPECT_EQ(refused("float32", "strided", {8}), "");
  EXPECT_TRUE(contains(refused("float23", "contiguous", {8}), "unknown dtype 'float23'"));
  EXPECT_TRUE(contains(refused("float32", "inner", {8}), "layout 'inner' with 1 sizes"));
  EXPECT_TRUE(contains(refused("float32", "contiguous", {8, 8}), "with 2 sizes"));
  EXPECT_TRUE(contains(refused("float32", "contiguous", {}), "is not one of op relu"));
  // JSON as Python reads it knows NaN, which compares as neither faster nor slower.
  for (const float ratio : {0.0f, -1.0f, std::nanf("")}) {
    EXPECT_TRUE(contains(refused("float32", "contiguous", {8}, ratio), "relu__a: ratio"));
  }
}

}  // namespace
}  // namespace polyops::testing
