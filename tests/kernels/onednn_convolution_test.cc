// convolution, convolution_pack and convolution_prepacked of the family "onednn", within the bounds
// of convolution_case.h.
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

const polyops_kernel& kernel_of(const std::string& op) { return *kernels_of(op).front(); }

polyops_convolution_pack_args pack_args(const Call& call) {
  return {sizeof(polyops_convolution_pack_args), call.args.groups, call.args.window,
          call.args.weight, nullptr};
}

// oneDNN's own answer, which is known with AVX-512.
bool has_bf16() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bw") != 0) return true;
#endif
  const Call call({.in = {1}, .taps = {1}}, POLYOPS_BFLOAT16);
  const polyops_convolution_pack_args args = pack_args(call);
  return kernel_of("convolution_pack").supports(&args) == nullptr;
}

// With any number of threads, twice: the same bits again. Returns whether it was taken.
bool check_runs(Call* call, const polyops_kernel& kernel, const void* args) {
  for (int threads : {1, 2, 3}) {
    SCOPED_TRACE(std::string(kernel.name) + " threads " + std::to_string(threads));
    Doubles got, again;
    if (!call->run(kernel, args, threads, &got)) return false;
    call->check(got);
    EXPECT_TRUE(call->run(kernel, args, threads, &again));
    EXPECT_TRUE(same_bits(got, again));
    if (::testing::Test::HasFailure()) return true;
  }
  return true;
}

bool check_plain(Call* call) { return check_runs(call, kernel_of("convolution"), &call->args); }

bool check_packed(Call* call) {
  const polyops_kernel& packer = kernel_of("convolution_pack");
  const polyops_convolution_pack_args args = pack_args(*call);
  if (const char* reason = packer.supports(&args)) {
    check_reason(reason);
    return false;
  }
  const Packed packed(packer, args), shared(packer, args, 3);
  EXPECT_EQ(packed.status(), POLYOPS_OK);
  if (packed.status() != POLYOPS_OK) return false;
  EXPECT_TRUE(packed.said_what_it_takes());
  EXPECT_TRUE(packed.guards_intact());
  EXPECT_EQ(packed.bytes(), shared.bytes());
  const polyops_convolution_prepacked_args all = {sizeof all, 0, &call->args, &packed.content()};
  return check_runs(call, kernel_of("convolution_prepacked"), &all);
}

bool has_dense_images(const Case& c) {
  for (Layout l : {c.src, c.dst, c.weight}) {
    if (l != Layout::kDense && l != Layout::kLast) return false;
  }
  return true;
}

// Whether every window has a tap in the image, or could have with less dilation.
bool pads_within_taps(const Case& c) {
  for (size_t d = 0; d < c.in.size(); ++d) {
    if (Case::at(c.padding, d) > Case::at(c.dilation, d) * (c.taps[d] - 1)) return false;
  }
  return true;
}

Cases taken_kinds() {
  Cases all = kinds();
  std::erase_if(all, [](const Case& c) { return !pads_within_taps(c); });
  return all;
}

// Images as torch makes them are taken; what lies otherwise may be.
template <class Check>
void check(const Check& check_call, const Cases& cases) {
  int taken = 0;
  for (const Case& c : cases) {
    const bool fit = has_dense_images(c) && pads_within_taps(c);
    for (int32_t dtype : kDtypes) {
      SCOPED_TRACE(describe(c, dtype));
      Call call(c, dtype);
      call.expect();
      const bool took = check_call(&call);
      taken += took;
      if (fit || dtype == POLYOPS_FLOAT64) {
        EXPECT_EQ(took, dtype == POLYOPS_FLOAT32 || (dtype == POLYOPS_BFLOAT16 && has_bf16()));
      }
      if (::testing::Test::HasFailure()) return;
    }
  }
  EXPECT_GE(taken, 1);
}

TEST(OnednnConvolution, EveryWidth) { check(check_plain, every_width()); }
TEST(OnednnConvolution, EveryWindow) { check(check_plain, every_window()); }
TEST(OnednnConvolution, EveryNumberOfFilters) { check(check_plain, every_number_of_filters()); }
TEST(OnednnConvolution, Pointwise) { check(check_plain, pointwise()); }
TEST(OnednnConvolution, Depthwise) { check(check_plain, depthwise()); }
TEST(OnednnConvolution, Grouped) { check(check_plain, grouped()); }
TEST(OnednnConvolution, ThreeDimensions) { check(check_plain, volumes()); }
TEST(OnednnConvolution, EveryLayout) { check(check_plain, layouts()); }
TEST(OnednnConvolution, LargeOnes) { check(check_plain, large()); }

TEST(OnednnConvolution, PackedKinds) { check(check_packed, kinds()); }
TEST(OnednnConvolution, PackedWindows) { check(check_packed, every_window()); }
TEST(OnednnConvolution, PackedPointwise) { check(check_packed, pointwise()); }
TEST(OnednnConvolution, PackedDepthwise) { check(check_packed, depthwise()); }
TEST(OnednnConvolution, PackedGrouped) { check(check_packed, grouped()); }
TEST(OnednnConvolution, PackedThreeDimensions) { check(check_packed, volumes()); }
TEST(OnednnConvolution, PackedLayouts) { check(check_packed, layouts()); }
TEST(OnednnConvolution, PackedLargeOnes) { check(check_packed, large()); }

TEST(OnednnConvolution, PaddingBeyondTheFilterIsDeclined) {
  Case c = {.channels = 3, .filters = 4, .in = {5, 6}, .taps = {3, 3}, .padding = {2, 3}};
  Call call(c, POLYOPS_FLOAT32);
  const Buffer dst(POLYOPS_FLOAT32, c.dst_sizes());
  call.args.dst = dst.view();
  EXPECT_STREQ(kernel_of("convolution").supports(&call.args), "padding");
  c.padding = {2};
  Call within(c, POLYOPS_FLOAT32);
  const Buffer smaller(POLYOPS_FLOAT32, c.dst_sizes());
  within.args.dst = smaller.view();
  EXPECT_EQ(kernel_of("convolution").supports(&within.args), nullptr);
}

// What is not finite spoils the results whose windows contain it and no others.
TEST(OnednnConvolution, NanAndInfinityStayInTheirWindows) {
  for (Case c : taken_kinds()) {
    for (Layout layout : {Layout::kDense, Layout::kLast}) {
      c.src = c.dst = layout;
      for (double special : {kNaN, kInf, -kInf}) {
        Call call(c, POLYOPS_FLOAT32);
        const int64_t numel = call.src.numel();
        for (int64_t i : {int64_t{0}, numel / 2 + 3, numel - 1}) {
          SCOPED_TRACE(describe(c, POLYOPS_FLOAT32) + " special at " + std::to_string(i));
          const double finite = call.src.get(i);
          call.src.set(i, special);
          call.expect();
          EXPECT_TRUE(check_plain(&call));
          EXPECT_TRUE(check_packed(&call));
          if (HasFailure()) return;
          call.src.set(i, finite);
        }
      }
    }
  }
}

TEST(OnednnConvolution, MagnitudesFarApart) {
  for (const Case& c : taken_kinds()) {
    for (double magnitude : {1e30, 1e-18}) {
      SCOPED_TRACE(describe(c, POLYOPS_FLOAT32));
      Call call(c, POLYOPS_FLOAT32);
      call.src.fill_normal(1, magnitude);
      call.weight.fill_normal(2, 1 / magnitude);
      call.expect();
      EXPECT_TRUE(check_plain(&call));
      if (HasFailure()) return;
    }
  }
}

// Packed for one memory format and one window, read in another.
TEST(OnednnConvolution, PacksAreReadInOtherCalls) {
  for (Layout packed_as : {Layout::kDense, Layout::kLast}) {
    for (Layout read_as : {Layout::kDense, Layout::kLast}) {
      for (int64_t filters : {24, 128}) {
        Case c = {.batch = 2,
                  .channels = 48,
                  .filters = filters,
                  .in = {9, 11},
                  .taps = {3, 3},
                  .padding = {1},
                  .bias = true};
        c.weight = packed_as;
        Call first(c, POLYOPS_FLOAT32);
        const Packed packed(kernel_of("convolution_pack"), pack_args(first));
        ASSERT_EQ(packed.status(), POLYOPS_OK);
        c.src = c.dst = read_as;
        c.stride = {2};
        c.padding = {0, 2};
        Call other(c, POLYOPS_FLOAT32);
        other.expect();
        const polyops_convolution_prepacked_args all = {sizeof all, 0, &other.args,
                                                        &packed.content()};
        SCOPED_TRACE(describe(c, POLYOPS_FLOAT32));
        ASSERT_TRUE(check_runs(&other, kernel_of("convolution_prepacked"), &all));
        if (HasFailure()) return;
      }
    }
  }
}

TEST(OnednnConvolution, ReadsOnlyWhatItPacked) {
  const Case c = {.channels = 32, .filters = 3, .in = {4, 5}, .taps = {3, 3}};
  Call call(c, POLYOPS_FLOAT32);
  const Buffer dst(POLYOPS_FLOAT32, c.dst_sizes());
  call.args.dst = dst.without_data();
  const Packed packed(kernel_of("convolution_pack"), pack_args(call));
  polyops_convolution_prepacked_args args = {sizeof args, 0, &call.args, &packed.content()};
  const polyops_kernel& reader = kernel_of("convolution_prepacked");
  EXPECT_EQ(reader.supports(&args), nullptr);
  const std::string word = packed.content().format;
  const polyops_pack other = {packed.content().data, packed.content().bytes, word.c_str()};
  args.pack = &other;
  EXPECT_STREQ(reader.supports(&args), "packed for another kernel");
}

TEST(OnednnConvolution, DeclinesDtypesThatItHasNot) {
  for (Case c : taken_kinds()) {
    c.bias = true;
    Call call(c, POLYOPS_FLOAT32);
    const Buffer dst(POLYOPS_FLOAT32, c.dst_sizes());
    call.args.dst = dst.without_data();
    const polyops_kernel& kernel = kernel_of("convolution");
    ASSERT_EQ(kernel.supports(&call.args), nullptr);
    for (polyops_tensor* t : {&call.args.src, &call.args.weight, &call.args.bias, &call.args.dst}) {
      for (int32_t other : {POLYOPS_BFLOAT16, POLYOPS_FLOAT16, POLYOPS_INVALID_DTYPE}) {
        t->dtype = other;
        EXPECT_STREQ(kernel.supports(&call.args), "dtype");
        t->dtype = POLYOPS_FLOAT32;
      }
    }
  }
  const Call wide({.in = {4}, .taps = {1}}, POLYOPS_FLOAT64);
  const polyops_convolution_pack_args args = pack_args(wide);
  EXPECT_STREQ(kernel_of("convolution_pack").supports(&args), "dtype");
}

}  // namespace
}  // namespace polyops::testing
