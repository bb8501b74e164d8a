// convolution by the families that have kernels of depthwise ones alone: every kernel of them
// against the reference in float64, within the bounds that convolution_case.h derives.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "convolution_call.h"
#include "depthwise_cases.h"
#include "harness.h"

namespace polyops::testing {
namespace {

// By every kernel that takes it. Returns their names up to the target's.
std::set<std::string> check(Call* call, const std::string& text) {
  std::set<std::string> taken;
  for (const polyops_kernel* kernel : kernels_of("convolution")) {
    SCOPED_TRACE(std::string(kernel->name) + " " + text);
    Doubles got, again;
    if (!call->run(*kernel, 1, &got)) continue;
    const std::string name = kernel->name;
    taken.insert(name.substr(0, name.find("__")));
    call->check(got);
    EXPECT_TRUE(call->run(*kernel, 1, &again));
    EXPECT_TRUE(same_bits(got, again));
    if (::testing::Test::HasFailure()) break;
  }
  EXPECT_FALSE(taken.empty()) << text;
  return taken;
}

std::set<std::string> check(const Cases& cases) {
  std::set<std::string> taken;
  for (const Case& c : cases) {
    for (int32_t dtype : kGpuDtypes) {
      Call call(c, dtype);
      call.expect();
      taken.merge(check(&call, describe(c, dtype)));
      if (::testing::Test::HasFailure()) return taken;
    }
  }
  return taken;
}

TEST(Depthwise, EveryKind) {
  EXPECT_EQ(check(depthwise_kinds()).size(), 4u);  // planes, rows, channels_last, strided
}
TEST(Depthwise, EverySize) { check(depthwise_of(depthwise(), 4)); }
TEST(Depthwise, EveryTile) { check(tiles()); }
TEST(Depthwise, EveryBand) { check(bands()); }
TEST(Depthwise, EveryWideRow) {
  Cases cases = wide_rows();
  const Case many = {.batch = 16, .groups = 70, .in = {56, 56}, .taps = {7, 7}, .padding = {3}};
  if (on_device()) cases.push_back(many);
  check(cases);
}
TEST(Depthwise, EveryLastRing) { check(last_rings()); }
TEST(Depthwise, EveryLayout) { check(depthwise_layouts()); }

// What is not finite spoils the results whose windows contain it and no others.
TEST(Depthwise, NanAndInfinityStayInTheirWindows) {
  Cases cases = depthwise_kinds();
  for (const Case& c : bands()) cases.push_back(c);
  for (const Case& c : cases) {
    for (double special : {kNaN, kInf}) {
      Call call(c, POLYOPS_BFLOAT16);
      const int64_t numel = call.src.numel();
      for (int64_t i : {int64_t{0}, numel / 2 + 3, numel - 1}) {
        const double finite = call.src.get(i);
        call.src.set(i, special);
        call.expect();
        check(&call, describe(c, POLYOPS_BFLOAT16) + " special at " + std::to_string(i));
        if (HasFailure()) return;
        call.src.set(i, finite);
      }
    }
  }
}

// At both ends of rows, and of planes, too: beside them in memory are others.
TEST(Depthwise, NanAndInfinityStayInTheirRows) {
  for (const Case& c : wide_rows()) {
    Call call(c, POLYOPS_FLOAT32);
    const int64_t width = c.in[1], numel = call.src.numel(), middle = numel / width / 2 * width;
    const int64_t plane = c.in[0] * width;
    for (int64_t i : {int64_t{0}, plane - 1, plane, middle - 1, middle, middle + 5, numel - 1}) {
      const double finite = call.src.get(i);
      call.src.set(i, i % 2 == 0 ? kNaN : kInf);
      call.expect();
      check(&call, describe(c, POLYOPS_FLOAT32) + " special at " + std::to_string(i));
      if (HasFailure()) return;
      call.src.set(i, finite);
    }
  }
}

TEST(Depthwise, MagnitudesFarApart) {
  for (const Case& c : depthwise_kinds()) {
    Call call(c, POLYOPS_FLOAT32);
    call.src.fill_normal(1, 1e30);
    call.weight.fill_normal(2, 1e-30);
    call.expect();
    check(&call, describe(c, POLYOPS_FLOAT32));
    if (HasFailure()) return;
  }
}

// One dtype, one channel to a filter, at most two dimensions.
TEST(Depthwise, DeclinesTheRest) {
  for (const polyops_kernel* kernel : kernels_of("convolution")) {
    for (const Case& c : kinds()) {
      const bool ours = c.groups > 1 && c.channels == 1;
      for (int32_t dtype : {POLYOPS_FLOAT32, POLYOPS_FLOAT64}) {
        Call call(c, dtype);
        const Buffer dst(dtype, c.dst_sizes());
        call.args.dst = dst.without_data();
        const char* reason = kernel->supports(&call.args);
        if (!ours) {
          EXPECT_STREQ(reason, "not depthwise") << describe(c, dtype);
        } else if (dtype == POLYOPS_FLOAT64) {
          EXPECT_STREQ(reason, "dtype") << describe(c, dtype);
        }
      }
    }
    const Case volume = {.groups = 8, .in = {3, 4, 5}, .taps = {3, 3, 3}, .padding = {1}};
    Call call(volume, POLYOPS_FLOAT32);
    const Buffer dst(POLYOPS_FLOAT32, volume.dst_sizes());
    call.args.dst = dst.without_data();
    EXPECT_STREQ(kernel->supports(&call.args), "rank");
  }
}

}  // namespace
}  // namespace polyops::testing
