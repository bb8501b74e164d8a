// convolution_backward: every kernel of every ISA against the reference in float64, within the
// bounds that convolution_case.h derives.
#include <gtest/gtest.h>

#include <string>

#include "convolution_backward_call.h"
#include "convolution_cases.h"
#include "harness.h"

namespace polyops::testing {
namespace {

// By every kernel, which must give the same bits with any number of threads.
void check(Call* call, unsigned wanted, const std::string& text) {
  int taken = 0;
  for (const polyops_kernel* kernel : kernels_of("convolution_backward")) {
    SCOPED_TRACE(std::string(kernel->name) + " wanted " + std::to_string(wanted) + " " + text);
    Gradients one, more;
    if (!call->run(*kernel, 1, wanted, &one)) continue;
    ++taken;
    call->check(one, wanted);
    for (int threads : {2, 3}) {
      ASSERT_TRUE(call->run(*kernel, threads, wanted, &more));
      ASSERT_TRUE(same_bits(more.src, one.src)) << threads << " threads";
      ASSERT_TRUE(same_bits(more.weight, one.weight)) << threads << " threads";
      ASSERT_TRUE(same_bits(more.bias, one.bias)) << threads << " threads";
    }
    if (::testing::Test::HasFailure()) return;
  }
  ASSERT_GE(taken, 1) << text;
}

// Neighbours differ in the gradients that they want; half of them want all.
void check(const Cases& cases) {
  unsigned turn = 0;
  for (const Case& c : cases) {
    ++turn;
    const unsigned wanted = turn % 2 == 0 ? kAll : 1 + turn / 2 % 7;
    for (int32_t dtype : kDtypes) {
      Call call(c, dtype);
      call.expect();
      check(&call, wanted, describe(c, dtype));
      if (::testing::Test::HasFailure()) return;
    }
  }
}

TEST(ConvolutionBackward, EveryWidth) { check(every_width()); }
TEST(ConvolutionBackward, EveryWindow) { check(every_window()); }
TEST(ConvolutionBackward, EveryNumberOfFilters) { check(every_number_of_filters()); }
TEST(ConvolutionBackward, Pointwise) { check(pointwise()); }
TEST(ConvolutionBackward, Depthwise) { check(depthwise()); }
TEST(ConvolutionBackward, Grouped) { check(grouped()); }
TEST(ConvolutionBackward, ThreeDimensions) { check(volumes()); }
TEST(ConvolutionBackward, EveryLayout) { check(layouts()); }
TEST(ConvolutionBackward, LargeOnes) { check(large()); }

TEST(ConvolutionBackward, EverySubsetOfTheGradients) {
  for (Case c : kinds()) {
    for (Layout layout : {Layout::kDense, Layout::kLast}) {
      c.src = c.dst = c.weight = c.grad_src = c.grad_weight = layout;
      for (int32_t dtype : kDtypes) {
        Call call(c, dtype);
        call.expect();
        for (unsigned wanted = 1; wanted <= kAll; ++wanted) {
          check(&call, wanted, describe(c, dtype));
          if (HasFailure()) return;
        }
      }
    }
  }
}

// As sum().backward() sends it: ones, so that no error adds up to more than chance would have it.
TEST(ConvolutionBackward, ExpandedGradient) {
  for (Case c : kinds()) {
    c.dst = Layout::kOneValue;
    for (int32_t dtype : kDtypes) {
      Call call(c, dtype);
      call.grad_dst.set(0, 1);
      call.expect();
      check(&call, kAll, describe(c, dtype));
      if (HasFailure()) return;
    }
  }
}

// The result in the middle of the last channel of the last item: its window touches no padding.
int64_t middle(const Case& c) {
  int64_t at = c.batch * c.groups * c.filters - 1;
  for (size_t d = 0; d < c.in.size(); ++d) at = at * c.out(d) + c.out(d) / 2;
  return at;
}

void check_special(Call* call, Buffer* of, int64_t at, double special, const std::string& text) {
  const double finite = of->get(at);
  of->set(at, special);
  call->expect();
  check(call, kAll, text + " special at " + std::to_string(at));
  of->set(at, finite);
}

// What is not finite spoils the gradients that it is a factor of and no others.
TEST(ConvolutionBackward, NanAndInfinityStayWhereTheyBelong) {
  for (Case c : kinds()) {
    for (Layout layout : {Layout::kDense, Layout::kLast}) {
      c.src = c.dst = c.grad_src = layout;
      for (double special : {kNaN, kInf, -kInf}) {
        for (int32_t dtype : kDtypes) {
          Call call(c, dtype);
          const int64_t numel = call.src.numel();
          for (int64_t i : {int64_t{0}, numel / 2 + 3, numel - 1}) {
            check_special(&call, &call.src, i, special, describe(c, dtype) + " src");
            if (HasFailure()) return;
          }
          check_special(&call, &call.grad_dst, middle(c), special, describe(c, dtype));
          if (HasFailure()) return;
        }
      }
    }
  }
}

// What no result has read has no gradient.
TEST(ConvolutionBackward, ZeroWhereNothingWasRead) {
  const Case skipping = {
      .batch = 2, .channels = 3, .filters = 5, .in = {7, 20}, .taps = {1, 1}, .stride = {3}};
  const Case padded = {
      .channels = 3, .filters = 5, .in = {1, 1}, .taps = {3, 3}, .padding = {1}, .dilation = {1}};
  for (int32_t dtype : kDtypes) {
    Call one(skipping, dtype), other(padded, dtype);
    for (const polyops_kernel* kernel : kernels_of("convolution_backward")) {
      SCOPED_TRACE(kernel->name);
      Gradients got;
      if (one.run(*kernel, 1, kAll, &got)) {
        for (size_t i = 0; i < got.src.size(); ++i) {
          const bool read = i % 20 % 3 == 0 && i / 20 % 7 % 3 == 0;
          ASSERT_EQ(got.src[i] != 0, read) << i;
        }
      }
      if (other.run(*kernel, 1, kAll, &got)) {
        for (size_t i = 0; i < got.weight.size(); ++i) {
          ASSERT_EQ(got.weight[i] != 0, i % 9 == 4) << i;
        }
      }
    }
  }
}

TEST(ConvolutionBackward, DeclinesDtypesThatItHasNot) {
  for (const polyops_kernel* kernel : kernels_of("convolution_backward")) {
    for (const Case& c : kinds()) {
      Call call(c, POLYOPS_FLOAT32);
      auto& a = call.args;
      a.grad_src = Buffer(POLYOPS_FLOAT32, c.src_sizes()).without_data();
      a.grad_weight = Buffer(POLYOPS_FLOAT32, c.weight_sizes()).without_data();
      a.grad_bias = Buffer(POLYOPS_FLOAT32, {c.groups * c.filters}).without_data();
      if (kernel->supports(&a) != nullptr) continue;
      for (polyops_tensor* t :
           {&a.grad_dst, &a.src, &a.weight, &a.grad_src, &a.grad_weight, &a.grad_bias}) {
        for (int32_t other : {POLYOPS_BFLOAT16, POLYOPS_FLOAT64, POLYOPS_INVALID_DTYPE}) {
          t->dtype = other;
          EXPECT_STREQ(kernel->supports(&a), "dtype") << kernel->name;
          t->dtype = POLYOPS_FLOAT32;
        }
      }
    }
  }
}

TEST(ConvolutionBackward, EveryIsaTakesEveryKind) {
  const polyops_backend& f = family();
  for (const char* const* isa = f.isas; *isa != nullptr; ++isa) {
    if (f.runs_isa(*isa) == 0) continue;
    for (const Case& c : kinds()) {
      Call call(c, POLYOPS_FLOAT32);
      bool taken = false;
      Gradients got;
      for (const polyops_kernel* kernel : kernels_of("convolution_backward")) {
        if (std::string(kernel->isa) == *isa) taken |= call.run(*kernel, 1, kAll, &got);
      }
      EXPECT_TRUE(taken) << *isa << " " << describe(c, POLYOPS_FLOAT32);
    }
  }
}

TEST(ConvolutionBackward, PlansOfLargeImages) {
  for_each_large_image([](const polyops_tensor& src, const polyops_tensor& weight,
                          const polyops_tensor& dst, int64_t stride) {
    const polyops_convolution_backward_args args = {
        sizeof args, 1,       {{stride, stride, 1}, {1, 1, 0}, {1, 1, 1}}, dst, src, weight, src,
        weight,      absent()};
    for (const polyops_kernel* kernel : kernels_of("convolution_backward")) {
      check_scratch(*kernel, &args);
    }
  });
}

}  // namespace
}  // namespace polyops::testing
