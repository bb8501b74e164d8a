// The POLYOPS_* variables: every one, its precedence, and what a wrong one is answered with.
#include "policy.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "fakes.h"
#include "op_list.h"

namespace polyops::testing {
namespace {

using Variables = std::map<std::string, std::string>;

std::string parse_error(const Variables& variables) {
  return refusal([&] { parse_policy(variables); });
}

TEST(Policy, Defaults) {
  const Policy policy = parse_policy({});
  EXPECT_TRUE(policy.autopatch);
  EXPECT_TRUE(policy.gate);
  EXPECT_FALSE(policy.log_dispatch);
  EXPECT_EQ(policy.cpu_isa, "");
  EXPECT_TRUE(policy.op_switches.empty() && policy.disabled.empty() && policy.enabled.empty());
  EXPECT_TRUE(policy.force.empty() && policy.plugin_path.empty());
  EXPECT_FALSE(policy.keep_mb.has_value());
  EXPECT_TRUE(policy.op_enabled("softmax"));
}

TEST(Policy, ReadsEveryVariable) {
  const Policy policy = parse_policy({{"POLYOPS_AUTOPATCH", "0"},
                                      {"POLYOPS_GATE", "0"},
                                      {"POLYOPS_LOG", "dispatch"},
                                      {"POLYOPS_CPU_ISA", "avx2"},
                                      {"POLYOPS_DISABLE", "softmax, mm"},
                                      {"POLYOPS_ENABLE", "relu,mm,"},
                                      {"POLYOPS_OP_LAYER_NORM", "0"},
                                      {"POLYOPS_OP_ADDMM", "1"},
                                      {"POLYOPS_FORCE", "gemm=a__x, softmax_backward=b"},
                                      {"POLYOPS_PLUGIN_PATH", "/a:/b c/d.so::"},
                                      {"POLYOPS_KEEP_MB", "512"},
                                      {"POLYOPS_AUTOLOAD", "1"}});
  EXPECT_FALSE(policy.autopatch);
  EXPECT_FALSE(policy.gate);
  EXPECT_TRUE(policy.log_dispatch);
  EXPECT_EQ(policy.cpu_isa, "avx2");
  EXPECT_EQ(policy.disabled, (std::set<std::string>{"mm", "softmax"}));
  EXPECT_EQ(policy.enabled, (std::set<std::string>{"mm", "relu"}));
  EXPECT_EQ(policy.op_switches,
            (std::map<std::string, bool>{{"layer_norm", false}, {"addmm", true}}));
  EXPECT_EQ(policy.force, (Variables{{"gemm", "a__x"}, {"softmax_backward", "b"}}));
  EXPECT_EQ(policy.plugin_path, (Names{"/a", "/b c/d.so"}));
  EXPECT_EQ(policy.keep_mb, 512);
}

TEST(Policy, SwitchesThatAreOnSayNothingNew) {
  const Policy policy = parse_policy({{"POLYOPS_AUTOPATCH", "1"}, {"POLYOPS_GATE", "1"}});
  EXPECT_TRUE(policy.autopatch);
  EXPECT_TRUE(policy.gate);
}

TEST(Policy, AnEmptyVariableIsNotSet) {
  const Policy policy = parse_policy({{"POLYOPS_GATE", ""}, {"POLYOPS_ENABLE", ""}, {"PATH", "x"}});
  EXPECT_TRUE(policy.gate);
  EXPECT_TRUE(policy.op_enabled("mm"));
}

TEST(Policy, TheOpsOwnSwitchOverDisableOverEnable) {
  const Policy enable = parse_policy({{"POLYOPS_ENABLE", "mm,relu"}});
  EXPECT_TRUE(enable.op_enabled("mm"));
  EXPECT_FALSE(enable.op_enabled("softmax"));

  const Policy both = parse_policy({{"POLYOPS_ENABLE", "mm,relu"}, {"POLYOPS_DISABLE", "mm"}});
  EXPECT_FALSE(both.op_enabled("mm"));
  EXPECT_TRUE(both.op_enabled("relu"));
  EXPECT_FALSE(both.op_enabled("softmax"));

  const Policy all = parse_policy({{"POLYOPS_ENABLE", "mm,relu"},
                                   {"POLYOPS_DISABLE", "mm"},
                                   {"POLYOPS_OP_MM", "1"},
                                   {"POLYOPS_OP_RELU", "0"},
                                   {"POLYOPS_OP_SOFTMAX", "1"}});
  EXPECT_TRUE(all.op_enabled("mm"));
  EXPECT_FALSE(all.op_enabled("relu"));
  EXPECT_TRUE(all.op_enabled("softmax"));
  EXPECT_FALSE(all.op_enabled("gelu"));
}

TEST(Policy, WrongValuesAreNamedWithWhatWouldBeRight) {
  const std::string ops = "known ops: " + known_public_ops();
  const struct {
    const char *name, *value;
    std::string message;
  } cases[] = {
      {"POLYOPS_AUTOPATCH", "yes", "POLYOPS_AUTOPATCH=yes: expected 0 or 1"},
      {"POLYOPS_GATE", "2", "POLYOPS_GATE=2: expected 0 or 1"},
      {"POLYOPS_GATE", " 1", "POLYOPS_GATE= 1: expected 0 or 1"},
      {"POLYOPS_LOG", "all", "POLYOPS_LOG=all: expected dispatch"},
      {"POLYOPS_DISABLE", "mm,sotfmax", "POLYOPS_DISABLE=mm,sotfmax: unknown op 'sotfmax'; " + ops},
      {"POLYOPS_ENABLE", "all", "POLYOPS_ENABLE=all: unknown op 'all'; " + ops},
      {"POLYOPS_ENABLE", ",", "POLYOPS_ENABLE=,: names no op; " + ops},
      {"POLYOPS_DISABLE", " ", "POLYOPS_DISABLE= : names no op; " + ops},
      {"POLYOPS_OP_CONV", "0", "POLYOPS_OP_CONV=0: unknown op 'conv'; " + ops},
      {"POLYOPS_OP_", "0", "POLYOPS_OP_=0: unknown op ''; " + ops},
      {"POLYOPS_OP_MM", "off", "POLYOPS_OP_MM=off: expected 0 or 1"},
      {"POLYOPS_FORCE", "gemm", "POLYOPS_FORCE=gemm: expected op=kernel[,op=kernel...]"},
      {"POLYOPS_FORCE", "gemm=", "POLYOPS_FORCE=gemm=: expected op=kernel[,op=kernel...]"},
      {"POLYOPS_FORCE", ",", "POLYOPS_FORCE=,: expected op=kernel[,op=kernel...]"},
      {"POLYOPS_FORCE", " ", "POLYOPS_FORCE= : expected op=kernel[,op=kernel...]"},
      {"POLYOPS_FORCE", "mm=x",
       "POLYOPS_FORCE=mm=x: unknown op 'mm'; known: gemm, gemm_pack, gemm_prepacked"},
      {"POLYOPS_KEEP_MB", "1G", "POLYOPS_KEEP_MB=1G: expected a number of MiB, 0 for none"},
      {"POLYOPS_KEEP_MB", "-1", "POLYOPS_KEEP_MB=-1: expected a number of MiB"},
      {"POLYOPS_KEEP_MB", "99999999999999999", "expected a number of MiB"},
      {"POLYOPS_GATES", "0", "POLYOPS_GATES=0: unknown variable; known: POLYOPS_AUTOLOAD"},
      {"POLYOPS_", "0", "POLYOPS_=0: unknown variable; known: POLYOPS_AUTOLOAD"},
  };
  for (const auto& c : cases) EXPECT_TRUE(contains(parse_error({{c.name, c.value}}), c.message));
}

TEST(Policy, TheListOfKnownVariablesIsComplete) {
  const std::string text = parse_error({{"POLYOPS_NONSENSE", "1"}});
  for (const char* name : {"AUTOLOAD", "AUTOPATCH", "CPU_ISA", "DISABLE", "ENABLE", "FORCE", "GATE",
                           "KEEP_MB", "LOG", "OP_<OP>", "PLUGIN_PATH"}) {
    EXPECT_TRUE(contains(text, std::string("POLYOPS_") + name));
  }
}

TEST(Policy, ReadsTheEnvironmentOfTheProcess) {
  ASSERT_EQ(setenv("POLYOPS_DISABLE", "gelu", 1), 0);
  ASSERT_EQ(setenv("POLYOPS_FORCE", "gemm=x", 1), 0);
  const Policy policy = read_policy();
  EXPECT_FALSE(policy.op_enabled("gelu"));
  EXPECT_EQ(policy.force.at("gemm"), "x");
  ASSERT_EQ(setenv("POLYOPS_DISABLED", "gelu", 1), 0);
  EXPECT_TRUE(contains(refusal([] { read_policy(); }), "POLYOPS_DISABLED=gelu: unknown variable"));
  for (const char* name : {"POLYOPS_DISABLE", "POLYOPS_FORCE", "POLYOPS_DISABLED"}) unsetenv(name);
  EXPECT_TRUE(read_policy().op_enabled("gelu"));
}

}  // namespace
}  // namespace polyops::testing
