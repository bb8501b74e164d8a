// The op list: what each op reduces a call to (gate_calls.h), and that its parts fit together.
#include "op_list.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "fakes.h"
#include "gate_calls.h"
#include "polyops/ops/relu.h"

namespace polyops::testing {
namespace {

std::vector<Call> all_calls() {
  std::vector<Call> all;
  for (const auto& some :
       {row_calls(), element_calls(), index_calls(), product_calls(), image_calls()}) {
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

TEST(OpList, GatesSeeLayoutAndSizesOfACall) {
  std::set<std::string> ops;
  std::map<std::string, std::set<std::string>> layouts;
  for (const Call& c : all_calls()) {
    SCOPED_TRACE(c.op + " " + c.layout + " " + ::testing::PrintToString(c.sizes));
    const KernelOp* op = find_kernel_op(c.op);
    ASSERT_NE(op, nullptr);
    ASSERT_EQ(c.args.size(), op->args_size);
    ASSERT_EQ(c.sizes.size(), op->size_names.size());
    const GateKey key = op->gate_key(c.args.data());
    EXPECT_EQ(key.dtype, POLYOPS_FLOAT32);
    EXPECT_EQ(key.layout, c.layout);
    // Gates compare layouts by address, so it must be the list's own string.
    EXPECT_EQ(std::count(op->layouts.begin(), op->layouts.end(), key.layout), 1);
    for (size_t i = 0; i < kMaxGateSizes; ++i) {
      EXPECT_EQ(key.sizes[i], i < c.sizes.size() ? c.sizes[i] : 0) << "size " << i;
    }
    layouts[c.op].insert(c.layout);
  }
  for (const KernelOp& op : kernel_ops()) {
    EXPECT_EQ(layouts[op.name], std::set<std::string>(op.layouts.begin(), op.layouts.end()))
        << op.name << " has layouts that no call above has";
  }
}

TEST(OpList, GatesSeeTheDtype) {
  for (const int32_t dtype : {POLYOPS_FLOAT64, POLYOPS_BFLOAT16, POLYOPS_FLOAT16}) {
    const polyops_relu_args args = relu_args(10, dtype);
    EXPECT_EQ(find_kernel_op("relu")->gate_key(&args).dtype, dtype);
  }
}

TEST(OpList, KernelOpsAreWellFormed) {
  std::set<std::string> names;
  for (const KernelOp& op : kernel_ops()) {
    SCOPED_TRACE(op.name);
    EXPECT_TRUE(names.insert(op.name).second) << "twice";
    EXPECT_EQ(find_kernel_op(op.name), &op);
    const bool backward = std::string(op.name).ends_with("_backward");
    EXPECT_STREQ(op.direction, backward ? "backward" : "forward");
    EXPECT_FALSE(op.layouts.empty());
    EXPECT_FALSE(op.size_names.empty());
    EXPECT_LE(op.size_names.size(), static_cast<size_t>(kMaxGateSizes));
  }
  EXPECT_EQ(find_kernel_op("mm"), nullptr);
  EXPECT_EQ(find_kernel_op(""), nullptr);
}

TEST(OpList, PublicOpsAreSortedAndServedByKernelOps) {
  std::set<std::string> served;
  std::string last;
  for (const PublicOp& op : public_ops()) {
    EXPECT_LT(last, op.name);
    last = op.name;
    EXPECT_EQ(public_ops()[public_op_index(op.name)].name, op.name);
    EXPECT_FALSE(op.kernel_ops.empty());
    for (const char* kernel_op : op.kernel_ops) {
      EXPECT_NE(find_kernel_op(kernel_op), nullptr) << op.name << ": " << kernel_op;
      served.insert(kernel_op);
    }
  }
  EXPECT_EQ(served.size(), kernel_ops().size()) << "a kernel op that no public op reaches";
  EXPECT_EQ(public_op_index("gemm"), -1);
}

TEST(OpList, NamesForMessages) {
  EXPECT_EQ(join({}), "");
  EXPECT_EQ(join({"a"}), "a");
  EXPECT_EQ(join({"a", "b", "c"}), "a, b, c");
  EXPECT_TRUE(contains(known_public_ops(), "addmm, addmv, "));
  EXPECT_TRUE(contains(known_kernel_ops(), "gemm, gemm_pack, gemm_prepacked, softmax"));
}

}  // namespace
}  // namespace polyops::testing
