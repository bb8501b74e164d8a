// convolution_pack and convolution_prepacked: every packer with every kernel that reads what it
// wrote, against the reference, within the bounds that convolution_case.h derives.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "convolution_call.h"
#include "convolution_cases.h"
#include "harness.h"
#include "packed.h"

namespace polyops::testing {
namespace {

class ConvolutionPrepacked : public ::testing::Test {
 protected:
  void SetUp() override {
    if (family().runs_isa("avx512") == 0) GTEST_SKIP() << "no kernel here packs these weights";
  }
};

polyops_convolution_pack_args pack_args(const polyops_convolution_args& call) {
  return {sizeof(polyops_convolution_pack_args), call.groups, call.window, call.weight, nullptr};
}

std::vector<const polyops_kernel*> readers_of(const polyops_kernel& packer) {
  std::vector<const polyops_kernel*> readers;
  for (const polyops_kernel* kernel : kernels_of("convolution_prepacked")) {
    if (std::strcmp(kernel->isa, packer.isa) == 0) readers.push_back(kernel);
  }
  return readers;
}

// Calls visit(packer) for those that pack the call's weight, as far as this machine can.
template <class Visit>
void for_each_packer(const Call& call, const Visit& visit) {
  for (const polyops_kernel* packer : kernels_of("convolution_pack")) {
    const polyops_convolution_pack_args args = pack_args(call.args);
    if (const char* reason = packer->supports(&args)) {
      check_reason(reason);
    } else {
      visit(*packer);
    }
  }
}

// By every reader; with any number of threads the pack and the results have the same bits. Returns
// how many took it.
int check(Call* call, const std::string& text) {
  int taken = 0;
  for_each_packer(*call, [&](const polyops_kernel& packer) {
    const Packed packed(packer, pack_args(call->args)), shared(packer, pack_args(call->args), 3);
    SCOPED_TRACE(std::string(packer.name) + " " + text);
    ASSERT_EQ(packed.status(), POLYOPS_OK);
    ASSERT_TRUE(packed.said_what_it_takes());
    ASSERT_TRUE(packed.guards_intact() && shared.guards_intact());
    ASSERT_EQ(packed.bytes(), shared.bytes());
    const polyops_convolution_prepacked_args args = {sizeof args, 0, &call->args,
                                                     &packed.content()};
    for (const polyops_kernel* reader : readers_of(packer)) {
      Doubles one, more;
      if (!call->run(*reader, &args, 1, &one)) continue;
      ++taken;
      call->check(one);
      for (int threads : {2, 3}) {
        ASSERT_TRUE(call->run(*reader, &args, threads, &more));
        ASSERT_TRUE(same_bits(more, one)) << threads << " threads";
      }
    }
  });
  return taken;
}

// `least` of the cases are read from a pack, where the machine has a kernel for it.
void check(const Cases& cases, int least) {
  int taken = 0;
  for (const Case& c : cases) {
    for (int32_t dtype : kDtypes) {
      Call call(c, dtype);
      call.expect();
      taken += check(&call, describe(c, dtype));
      if (::testing::Test::HasFailure()) return;
    }
  }
  if (has_amx()) {
    EXPECT_GE(taken, least);
  }
}

TEST_F(ConvolutionPrepacked, BlocksOfChannels) { check(blocks_of_channels(), 60); }
TEST_F(ConvolutionPrepacked, Kinds) { check(kinds(), 1); }
TEST_F(ConvolutionPrepacked, LargeOnes) { check(large(), 2); }

TEST_F(ConvolutionPrepacked, NanAndInfinityStayInTheirWindows) {
  const Case c = {.batch = 2, .channels = 64, .filters = 18, .in = {5, 20}, .taps = {3, 3}};
  for (double special : {kNaN, kInf, -kInf}) {
    for (int64_t i : {int64_t{0}, c.batch * 3200 + 3, c.batch * 6400 - 1}) {
      Call call(c, POLYOPS_BFLOAT16);
      call.src.set(i, special);
      call.expect();
      check(&call, "special at " + std::to_string(i));
      if (HasFailure()) return;
    }
  }
}

TEST_F(ConvolutionPrepacked, ReadsOnlyWhatItsFamilyWrote) {
  const Case c = {.channels = 32, .filters = 3, .in = {4, 5}, .taps = {3, 3}};
  for (int32_t dtype : kDtypes) {
    Call call(c, dtype);
    for_each_packer(call, [&](const polyops_kernel& packer) {
      const Packed packed(packer, pack_args(call.args));
      const std::string word = packed.content().format;
      const polyops_pack other = {packed.content().data, packed.content().bytes, word.c_str()};
      const polyops_convolution_prepacked_args args = {sizeof args, 0, &call.args, &other};
      for (const polyops_kernel* reader : readers_of(packer)) {
        EXPECT_STREQ(reader->supports(&args), "packed for another kernel") << reader->name;
      }
    });
  }
}

TEST_F(ConvolutionPrepacked, PackersSayWhatTheyDoNotPack) {
  const auto check = [](const polyops_kernel& packer, const Case& c, int32_t dtype,
                        const char* reason) {
    const Call call(c, POLYOPS_BFLOAT16);
    polyops_convolution_pack_args args = pack_args(call.args);
    args.weight.dtype = dtype;
    EXPECT_STREQ(packer.supports(&args), has_amx() ? reason : "no AMX");
  };
  for (const polyops_kernel* packer : kernels_of("convolution_pack")) {
    const Case one_tap = {.channels = 32, .filters = 3, .in = {4, 5}, .taps = {1, 1}};
    check(*packer, one_tap, POLYOPS_BFLOAT16, "1 x 1: read where it lies");
    const Case odd = {.channels = 33, .filters = 3, .in = {4, 5}, .taps = {3, 3}};
    check(*packer, odd, POLYOPS_BFLOAT16, "channels");
    check(*packer, odd, POLYOPS_FLOAT32, "gains nothing in float32");
    check(*packer, odd, POLYOPS_FLOAT16, "dtype");
    const Case fit = {.channels = 64, .filters = 3, .in = {4, 5}, .taps = {3, 3}};
    check(*packer, fit, POLYOPS_BFLOAT16, nullptr);
  }
}

}  // namespace
}  // namespace polyops::testing
