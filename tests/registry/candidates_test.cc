// Which kernels stand in the tables: families, instruction sets, forcing.
#include <gtest/gtest.h>

#include <string_view>

#include "fakes.h"

namespace polyops::testing {
namespace {

constexpr const char* kIsas[] = {"big", "small", "scalar", nullptr};
int runs_small(const char* isa) { return std::string_view(isa) != "big"; }

struct IsaBackend : FakeBackend {
  IsaBackend()
      : FakeBackend({fake_kernel("relu", "relu__big", always, "big"),
                     fake_kernel("relu", "relu__small", always, "small"),
                     fake_kernel("relu", "relu__scalar", always, "scalar"),
                     fake_kernel("relu", "relu__any", always, ""),
                     fake_kernel("gelu", "gelu__small", always, "small")}) {
    table.isas = kIsas;
    table.runs_isa = runs_small;
  }
};

Policy with_isa(const std::string& isa) {
  Policy policy;
  policy.cpu_isa = isa;
  return policy;
}

TEST(Candidates, StandInTheOrderOfFamiliesAndTables) {
  FakeBackend first(
      {fake_kernel("relu", "r1"), fake_kernel("gelu", "g1"), fake_kernel("relu", "r2")});
  FakeBackend second({fake_kernel("relu", "r3")}, "cpu", "second");
  Recorded r;
  OpTable& before = r.registry.table("cpu", "relu");
  EXPECT_TRUE(before.candidates().empty());
  EXPECT_EQ(r.registry.add(&first.table).state, Family::State::kLoaded);
  EXPECT_EQ(r.registry.add(&second.table).state, Family::State::kLoaded);
  EXPECT_EQ(r.candidates("relu"), (Names{"r1", "r2", "r3"}));
  EXPECT_EQ(r.candidates("gelu"), (Names{"g1"}));
  EXPECT_EQ(r.candidates("softmax"), Names{});
  EXPECT_EQ(&r.registry.table("cpu", "relu"), &before);
  EXPECT_EQ(r.warnings, Names{});
}

TEST(Candidates, AreOfOneDevice) {
  FakeBackend cpu({fake_kernel("relu", "on_cpu")}, "cpu");
  FakeBackend other({fake_kernel("relu", "on_other")}, "other");
  Recorded r;
  r.registry.add(&cpu.table);
  r.registry.add(&other.table);
  r.registry.ensure_probed("other");
  EXPECT_EQ(r.candidates("relu", "cpu"), Names{"on_cpu"});
  EXPECT_EQ(r.candidates("relu", "other"), Names{"on_other"});
  EXPECT_EQ(r.candidates("relu", "nowhere"), Names{});
}

TEST(Candidates, AnUnknownOpHasNoTable) {
  Recorded r;
  EXPECT_THROW(r.registry.table("cpu", "transmogrify"), std::logic_error);
}

TEST(Isa, OnlyWhatTheMachineRuns) {
  IsaBackend backend;
  Recorded r;
  r.registry.add(&backend.table);
  EXPECT_EQ(r.candidates("relu"), (Names{"relu__small", "relu__scalar", "relu__any"}));
}

TEST(Isa, AForcedOneKeepsThePortableKernels) {
  IsaBackend backend;
  Recorded r;
  r.registry.add(&backend.table);
  r.registry.configure(with_isa("small"));
  EXPECT_EQ(r.candidates("relu"), (Names{"relu__small", "relu__scalar", "relu__any"}));
  r.registry.configure(with_isa("scalar"));
  EXPECT_EQ(r.candidates("relu"), (Names{"relu__scalar", "relu__any"}));
  EXPECT_EQ(r.candidates("gelu"), Names{});
}

TEST(Isa, IsOfTheCpuAlone) {
  IsaBackend backend;
  FakeBackend other({fake_kernel("relu", "relu__wave", always, "wave")}, "other", "other");
  other.table.isas = kIsas;
  other.table.runs_isa = [](const char*) { return 1; };
  Recorded r;
  r.registry.add(&backend.table);
  r.registry.add(&other.table);
  r.registry.ensure_probed("other");
  r.registry.configure(with_isa("scalar"));
  EXPECT_EQ(r.candidates("relu", "other"), Names{"relu__wave"});
}

TEST(Isa, AnUnknownOrForeignOneIsRefusedWithWhatTheMachineRuns) {
  IsaBackend backend;
  Recorded r;
  r.registry.add(&backend.table);
  for (const std::string isa : {"huge", "big", "Small", "wave"}) {
    const std::string text = refusal([&] { r.registry.configure(with_isa(isa)); });
    EXPECT_TRUE(contains(text, "POLYOPS_CPU_ISA=" + isa + ": unknown ISA"));
    EXPECT_TRUE(contains(text, "it runs: small, scalar"));
  }
  EXPECT_EQ(r.candidates("relu"), (Names{"relu__small", "relu__scalar", "relu__any"}));
}

TEST(Isa, InfoTellsUsableKernels) {
  IsaBackend backend;
  Recorded r;
  r.registry.add(&backend.table);
  r.registry.configure(with_isa("scalar"));
  Names usable, unusable;
  for (const KernelInfo& k : r.registry.kernels()) {
    EXPECT_EQ(k.family, "fake");
    EXPECT_EQ(k.device, "cpu");
    (k.usable ? usable : unusable).emplace_back(k.kernel->name);
  }
  EXPECT_EQ(usable, (Names{"relu__scalar", "relu__any"}));
  EXPECT_EQ(unusable, (Names{"relu__big", "relu__small", "gelu__small"}));
}

TEST(Force, LeavesOneKernelUngated) {
  FakeBackend backend(
      {fake_kernel("relu", "r1"), fake_kernel("relu", "r2"), fake_kernel("gelu", "g1")});
  Recorded r;
  r.registry.add(&backend.table);
  EXPECT_NE(r.registry.table("cpu", "relu").candidates()[0].gate, nullptr);
  r.registry.force("relu", "r2");
  EXPECT_EQ(r.candidates("relu"), Names{"r2"});
  EXPECT_EQ(r.registry.table("cpu", "relu").candidates()[0].gate, nullptr);
  EXPECT_NE(r.registry.table("cpu", "gelu").candidates()[0].gate, nullptr);
  r.registry.force("relu", "");
  EXPECT_EQ(r.candidates("relu"), (Names{"r1", "r2"}));
  EXPECT_NE(r.registry.table("cpu", "relu").candidates()[0].gate, nullptr);
}

TEST(Force, DoesNotLiftCorrectness) {
  FakeBackend backend({fake_kernel("relu", "r1", never_dtype), fake_kernel("relu", "r2")});
  Recorded r;
  r.registry.add(&backend.table);
  r.registry.force("relu", "r1");
  const auto args = relu_args(10);
  const Choice choice = select(r.registry.table("cpu", "relu"), &args, 1);
  EXPECT_EQ(choice.candidate, nullptr);
  EXPECT_STREQ(choice.reason, "dtype");
}

TEST(Force, UnknownNamesAreRefusedWithTheKnownOnes) {
  IsaBackend backend;
  Recorded r;
  r.registry.add(&backend.table);
  const std::string op = refusal([&] { r.registry.force("rellu", "relu__small"); });
  EXPECT_TRUE(contains(op, "unknown op 'rellu'; known: gemm, gemm_pack, gemm_prepacked"));
  // An ISA that the machine does not run, a kernel of another op, a typo.
  for (const std::string kernel : {"relu__big", "gelu__small", "relu_small"}) {
    const std::string text = refusal([&] { r.registry.force("relu", kernel); });
    EXPECT_TRUE(contains(text, "unknown kernel '" + kernel + "' for op 'relu'"));
    EXPECT_TRUE(contains(text, ": relu__small, relu__scalar, relu__any"));
    EXPECT_FALSE(contains(text, "relu__big,"));
  }
  EXPECT_EQ(r.candidates("relu").size(), 3u);
}

TEST(Force, ThroughThePolicyNamesTheVariable) {
  IsaBackend backend;
  Recorded r;
  r.registry.add(&backend.table);
  Policy policy;
  policy.force = {{"relu", "relu__scalar"}};
  r.registry.configure(policy);
  EXPECT_EQ(r.candidates("relu"), Names{"relu__scalar"});
  policy.force = {{"relu", "nonsense"}};
  const std::string text = refusal([&] { r.registry.configure(policy); });
  EXPECT_TRUE(contains(text, "POLYOPS_FORCE: unknown kernel 'nonsense' for op 'relu'"));
  EXPECT_TRUE(contains(text, "relu__small"));
}

// Import opens no driver, so a GPU kernel is forced before anybody knows whether its chip is there.
TEST(Force, AKernelOfAFamilyThatWaitsForItsProbe) {
  FakeBackend other({fake_kernel("relu", "o1"), fake_kernel("relu", "o2")}, "other");
  Recorded r;
  r.registry.add(&other.table);
  EXPECT_EQ(refusal([&] { r.registry.force("relu", "o2"); }), "");
  EXPECT_EQ(r.candidates("relu", "other"), Names{});
  r.registry.ensure_probed("other");
  EXPECT_EQ(r.candidates("relu", "other"), Names{"o2"});
}

TEST(GateSwitch, LiftsEveryGate) {
  FakeBackend backend({fake_kernel("relu", "r1")});
  Recorded r;
  r.registry.add(&backend.table);
  EXPECT_TRUE(r.registry.gate());
  EXPECT_NE(r.registry.table("cpu", "relu").candidates()[0].gate, nullptr);
  r.registry.set_gate(false);
  EXPECT_FALSE(r.registry.gate());
  EXPECT_EQ(r.registry.table("cpu", "relu").candidates()[0].gate, nullptr);
  Policy policy;
  policy.gate = true;
  r.registry.configure(policy);
  EXPECT_NE(r.registry.table("cpu", "relu").candidates()[0].gate, nullptr);
  policy.gate = false;
  r.registry.configure(policy);
  EXPECT_EQ(r.registry.table("cpu", "relu").candidates()[0].gate, nullptr);
}

}  // namespace
}  // namespace polyops::testing
