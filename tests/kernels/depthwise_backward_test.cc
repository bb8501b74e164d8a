// convolution_backward by the families that have kernels of depthwise ones alone: every kernel of
// them against the reference in float64, within the bounds that convolution_case.h derives.
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "convolution_backward_call.h"
#include "depthwise_cases.h"
#include "harness.h"

namespace polyops::testing {
namespace {

// By every kernel that takes it. Returns their names up to the target's.
std::set<std::string> check(Call* call, unsigned wanted, const std::string& text) {
  std::set<std::string> taken;
  for (const polyops_kernel* kernel : kernels_of("convolution_backward")) {
    SCOPED_TRACE(std::string(kernel->name) + " wanted " + std::to_string(wanted) + " " + text);
    Gradients got, again;
    if (!call->run(*kernel, 1, wanted, &got)) continue;
    const std::string name = kernel->name;
    taken.insert(name.substr(0, name.find("__")));
    call->check(got, wanted);
    EXPECT_TRUE(call->run(*kernel, 1, wanted, &again));
    EXPECT_TRUE(same_bits(again.src, got.src));
    EXPECT_TRUE(same_bits(again.weight, got.weight));
    EXPECT_TRUE(same_bits(again.bias, got.bias));
    if (::testing::Test::HasFailure()) break;
  }
  EXPECT_FALSE(taken.empty()) << text;
  return taken;
}

// Neighbours differ in the gradients that they want; half of them want all.
std::set<std::string> check(const Cases& cases) {
  std::set<std::string> taken;
  unsigned turn = 0;
  for (const Case& c : cases) {
    ++turn;
    const unsigned wanted = turn % 2 == 0 ? kAll : 1 + turn / 2 % 7;
    for (int32_t dtype : kGpuDtypes) {
      Call call(c, dtype);
      call.expect();
      taken.merge(check(&call, wanted, describe(c, dtype)));
      if (::testing::Test::HasFailure()) return taken;
    }
  }
  return taken;
}

// All of them want all gradients.
void check_all(const Cases& cases) {
  for (const Case& c : cases) {
    for (int32_t dtype : kGpuDtypes) {
      Call call(c, dtype);
      call.expect();
      check(&call, kAll, describe(c, dtype));
      if (::testing::Test::HasFailure()) return;
    }
  }
}

TEST(DepthwiseBackward, EveryKind) {
  EXPECT_EQ(check(depthwise_kinds()).size(), 4u);  // planes, rows, channels_last, strided
}
TEST(DepthwiseBackward, EverySize) { check(depthwise_of(depthwise(), 6)); }
TEST(DepthwiseBackward, EveryTile) { check(tiles()); }
TEST(DepthwiseBackward, EveryBand) {
  for (const Case& c : bands()) {
    for (int32_t dtype : {POLYOPS_BFLOAT16, POLYOPS_FLOAT16}) {
      Call call(c, dtype);
      call.expect();
      check(&call, dtype == POLYOPS_BFLOAT16 ? kAll : kSrc, describe(c, dtype));
      if (HasFailure()) return;
    }
  }
}
TEST(DepthwiseBackward, EverySpread) { check_all(spreads()); }
TEST(DepthwiseBackward, EveryPlaneRing) { check_all(plane_rings()); }
TEST(DepthwiseBackward, EveryLastRing) { check_all(last_rings()); }
// The gradient of the input alone is the convolution by the filter turned.
TEST(DepthwiseBackward, EveryWideRow) {
  for (const Case& c : wide_rows()) {
    Call call(c, POLYOPS_FLOAT32);
    call.expect();
    for (unsigned wanted : {unsigned{kSrc}, unsigned{kAll}}) {
      check(&call, wanted, describe(c, POLYOPS_FLOAT32));
      if (HasFailure()) return;
    }
  }
}
TEST(DepthwiseBackward, EveryLayout) { check(depthwise_layouts()); }

// So many results that a thread adds up several strips of them, however large the device; then more
// blocks to a channel than a cluster has. The first gradient is infinite: it meets padding.
TEST(DepthwiseBackward, ManyResults) {
  const Case last =
      in_layout({.groups = 1032, .in = {1, 357}, .taps = {5, 5}, .stride = {2}, .padding = {2}},
                Layout::kLast);
  const Case halved_last =
      in_layout({.groups = 1032, .in = {2, 520}, .taps = {3, 3}, .stride = {2}, .padding = {1}},
                Layout::kLast);
  const Case dense = {.groups = 1056, .in = {1, 262}, .taps = {3, 3}, .padding = {1}};
  // A wave's rows begin at other places than their gradients, each at another.
  const Case rows = {.batch = 5, .groups = 531, .in = {390}, .taps = {31}, .padding = {30}};
  const Case halved = {
      .groups = 1400, .in = {2, 520}, .taps = {3, 3}, .stride = {2}, .padding = {1}};
  const Case parts = {
      .batch = 700, .groups = 2, .in = {6, 8}, .taps = {5, 5}, .stride = {2}, .padding = {2}};
  Cases cases = {last, halved_last, dense, rows};
  if (on_device()) cases.insert(cases.end(), {halved, parts});
  for (const Case& c : cases) {
    Call call(c, POLYOPS_BFLOAT16);
    call.grad_dst.set(0, kInf);
    call.expect();
    for (const polyops_kernel* kernel : kernels_of("convolution_backward")) {
      SCOPED_TRACE(std::string(kernel->name) + " " + describe(c, POLYOPS_BFLOAT16));
      Gradients got;
      const bool slow = std::string(kernel->name).find("strided") != std::string::npos;
      if (slow || !call.run(*kernel, 1, kAll, &got)) continue;
      call.check(got, kAll);
    }
  }
}

TEST(DepthwiseBackward, EverySubsetOfTheGradients) {
  for (const Case& c : depthwise_kinds()) {
    Call call(c, POLYOPS_FLOAT32);
    call.expect();
    for (unsigned wanted = 1; wanted <= kAll; ++wanted) {
      check(&call, wanted, describe(c, POLYOPS_FLOAT32));
      if (HasFailure()) return;
    }
  }
}

// As sum().backward() sends it.
TEST(DepthwiseBackward, ExpandedGradient) {
  for (Case c : depthwise_kinds()) {
    c.dst = Layout::kOneValue;
    Call call(c, POLYOPS_BFLOAT16);
    call.grad_dst.set(0, 1);
    call.expect();
    check(&call, kAll, describe(c, POLYOPS_BFLOAT16));
    if (HasFailure()) return;
  }
}

// What is not finite spoils the gradients that it is a factor of and no others.
TEST(DepthwiseBackward, NanStaysWhereItBelongs) {
  for (const Case& c : depthwise_kinds()) {
    Call call(c, POLYOPS_FLOAT32);
    const int64_t numel = call.src.numel();
    for (int64_t i : {int64_t{0}, numel / 2 + 3, numel - 1}) {
      const double finite = call.src.get(i);
      call.src.set(i, kNaN);
      call.expect();
      check(&call, kAll, describe(c, POLYOPS_FLOAT32) + " NaN at " + std::to_string(i));
      if (HasFailure()) return;
      call.src.set(i, finite);
    }
  }
}

// Both factors, as both are multiplied by zeros.
void check_specials(const Case& c, const std::vector<int32_t>& dtypes, unsigned wanted = kAll) {
  for (int32_t dtype : dtypes) {
    Call call(c, dtype);
    for (auto* tensor : {&call.src, &call.grad_dst}) {
      const int64_t numel = tensor->numel();
      for (double special : {kNaN, kInf}) {
        const int64_t i = special == kInf ? (numel / 2 + 3) % numel : numel - 1;
        const double finite = tensor->get(i);
        tensor->set(i, special);
        call.expect();
        check(&call, wanted, describe(c, dtype) + " special at " + std::to_string(i));
        if (::testing::Test::HasFailure()) return;
        tensor->set(i, finite);
      }
    }
  }
}
TEST(DepthwiseBackward, NanAndInfinityStayWhereTheyBelong) {
  for (const Case& c : bands()) check_specials(c, {POLYOPS_BFLOAT16});
}
// Also at the edges, where what is beside an image is the next one.
TEST(DepthwiseBackward, NanAndInfinityOfSpreads) {
  for (const Case& c : spreads()) {
    if (c.batch > 3) continue;
    check_specials(c, {POLYOPS_BFLOAT16, POLYOPS_FLOAT32});
    if (HasFailure()) return;
  }
}
// In both orders of memory, of which one needs whole packs of channels.
TEST(DepthwiseBackward, NanAndInfinityOfEdges) {
  Cases cases = depthwise_kinds();
  for (Case c : edges()) {
    cases.push_back(c);
    c.groups = (c.groups + 7) / 8 * 8;
    c.offset = 0;
    cases.push_back(in_layout(c, Layout::kLast));
  }
  for (const Case& c : cases) {
    for (unsigned wanted : {unsigned{kAll}, unsigned{kWeight | kBias}}) {
      check_specials(c, {POLYOPS_BFLOAT16, POLYOPS_FLOAT32}, wanted);
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace polyops::testing
