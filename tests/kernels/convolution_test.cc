// convolution: every kernel of every ISA against the reference in float64, within the bounds that
// convolution_case.h derives.
#include <gtest/gtest.h>

#include <string>

#include "convolution_call.h"
#include "convolution_cases.h"
#include "harness.h"

namespace polyops::testing {
namespace {

// By every kernel, which must give the same bits with any number of threads.
void check(Call* call, const std::string& text) {
  int taken = 0;
  for (const polyops_kernel* kernel : kernels_of("convolution")) {
    SCOPED_TRACE(std::string(kernel->name) + " " + text);
    Doubles one, more;
    if (!call->run(*kernel, 1, &one)) continue;
    ++taken;
    call->check(one);
    for (int threads : {2, 3}) {
      ASSERT_TRUE(call->run(*kernel, threads, &more));
      ASSERT_TRUE(same_bits(more, one)) << threads << " threads";
    }
    if (::testing::Test::HasFailure()) return;
  }
  ASSERT_GE(taken, 1) << text;
}

void check(const Cases& cases) {
  for (const Case& c : cases) {
    for (int32_t dtype : kDtypes) {
      Call call(c, dtype);
      call.expect();
      check(&call, describe(c, dtype));
      if (::testing::Test::HasFailure()) return;
    }
  }
}

TEST(Convolution, EveryWidth) { check(every_width()); }
TEST(Convolution, EveryWindow) { check(every_window()); }
TEST(Convolution, EveryNumberOfFilters) { check(every_number_of_filters()); }
TEST(Convolution, Pointwise) { check(pointwise()); }
TEST(Convolution, Depthwise) { check(depthwise()); }
TEST(Convolution, Grouped) { check(grouped()); }
TEST(Convolution, BlocksOfChannels) { check(blocks_of_channels()); }
TEST(Convolution, ThreeDimensions) { check(volumes()); }
TEST(Convolution, EveryLayout) { check(layouts()); }
TEST(Convolution, LargeOnes) { check(large()); }

TEST(Convolution, PaddingAloneGivesTheBias) {
  const Case c = {.batch = 2,
                  .channels = 3,
                  .filters = 17,
                  .in = {4, 5},
                  .taps = {3, 3},
                  .padding = {6, 7},
                  .bias = true};
  for (int32_t dtype : kDtypes) {
    Call call(c, dtype);
    for (const polyops_kernel* kernel : kernels_of("convolution")) {
      SCOPED_TRACE(kernel->name);
      Doubles got;
      if (!call.run(*kernel, 1, &got)) continue;
      for (int64_t i = 0; i < c.batch * c.filters; ++i) {
        ASSERT_EQ(got[i * c.pixels()], call.bias.get(i % c.filters));  // its upper left corner
      }
    }
  }
}

// What is not finite spoils the results whose windows contain it and no others.
TEST(Convolution, NanAndInfinityStayInTheirWindows) {
  for (Case c : kinds()) {
    for (Layout layout : {Layout::kDense, Layout::kLast}) {
      c.src = c.dst = layout;
      for (double special : {kNaN, kInf, -kInf}) {
        for (int32_t dtype : kDtypes) {
          Call call(c, dtype);
          const int64_t numel = call.src.numel();
          for (int64_t i : {int64_t{0}, numel / 2 + 3, numel - 1}) {
            const double finite = call.src.get(i);
            call.src.set(i, special);
            call.expect();
            check(&call, describe(c, dtype) + " special at " + std::to_string(i));
            if (HasFailure()) return;
            call.src.set(i, finite);
          }
        }
      }
    }
  }
}

TEST(Convolution, NanInABiasStaysInItsFilter) {
  for (Case c : kinds()) {
    c.bias = true;
    for (int32_t dtype : kDtypes) {
      Call call(c, dtype);
      call.bias.set(c.filters - 1, kNaN);
      call.expect();
      check(&call, describe(c, dtype));
      if (HasFailure()) return;
    }
  }
}

// Denormals may be flushed; 1e30 * 1e-30 may not. float16 has no such numbers.
TEST(Convolution, MagnitudesFarApart) {
  for (const Case& c : kinds()) {
    for (double magnitude : {1e30, 1e-18}) {
      for (int32_t dtype : kDtypes) {
        if (dtype == POLYOPS_FLOAT16) continue;
        Call call(c, dtype);
        call.src.fill_normal(1, magnitude);
        call.weight.fill_normal(2, 1 / magnitude);
        call.expect();
        check(&call, describe(c, dtype));
        if (HasFailure()) return;
      }
    }
  }
}

TEST(Convolution, DeclinesDtypesThatItHasNot) {
  for (const polyops_kernel* kernel : kernels_of("convolution")) {
    for (Case c : kinds()) {
      c.bias = true;
      Call call(c, POLYOPS_FLOAT32);
      const Buffer dst(POLYOPS_FLOAT32, c.dst_sizes());
      call.args.dst = dst.without_data();
      if (kernel->supports(&call.args) != nullptr) continue;
      for (polyops_tensor* t :
           {&call.args.src, &call.args.weight, &call.args.bias, &call.args.dst}) {
        for (int32_t other : {POLYOPS_BFLOAT16, POLYOPS_FLOAT64, POLYOPS_INVALID_DTYPE}) {
          t->dtype = other;
          EXPECT_STREQ(kernel->supports(&call.args), "dtype") << kernel->name;
          t->dtype = POLYOPS_FLOAT32;
        }
      }
      for (polyops_tensor* t :
           {&call.args.src, &call.args.weight, &call.args.bias, &call.args.dst}) {
        t->dtype = POLYOPS_INVALID_DTYPE;
      }
      EXPECT_STREQ(kernel->supports(&call.args), "dtype") << kernel->name;
    }
  }
}

TEST(Convolution, PlansOfLargeImages) {
  for_each_large_image([](const polyops_tensor& src, const polyops_tensor& weight,
                          const polyops_tensor& dst, int64_t stride) {
    polyops_convolution_args args = {
        sizeof args, 1, {{stride, stride, 1}, {1, 1, 0}, {1, 1, 1}}, src, weight, absent(), dst};
    for (int32_t dtype : {POLYOPS_FLOAT32, POLYOPS_BFLOAT16}) {
      args.src.dtype = args.weight.dtype = args.dst.dtype = dtype;
      for (const polyops_kernel* kernel : kernels_of("convolution")) check_scratch(*kernel, &args);
    }
  });
}

TEST(Convolution, EveryIsaTakesEveryKind) {
  const polyops_backend& f = family();
  for (const char* const* isa = f.isas; *isa != nullptr; ++isa) {
    if (f.runs_isa(*isa) == 0) continue;
    for (const Case& c : kinds()) {
      Call call(c, POLYOPS_FLOAT32);
      bool taken = false;
      Doubles got;
      for (const polyops_kernel* kernel : kernels_of("convolution")) {
        if (std::string(kernel->isa) == *isa) taken |= call.run(*kernel, 1, &got);
      }
      EXPECT_TRUE(taken) << *isa << " " << describe(c, POLYOPS_FLOAT32);
    }
  }
}

}  // namespace
}  // namespace polyops::testing
