// A call of convolution: its tensors, and what must come out.
#ifndef POLYOPS_TESTS_KERNELS_CONVOLUTION_CALL_H_
#define POLYOPS_TESTS_KERNELS_CONVOLUTION_CALL_H_

#include <gtest/gtest.h>

#include "convolution_case.h"
#include "harness.h"
#include "reference/convolution.h"

namespace polyops::testing {

class Call {
 public:
  Call(const Case& c, int32_t dtype)
      : case_(c),
        dtype_(dtype),
        src(dtype, c.src_sizes(), strides_of(c.src, c.src_sizes()), c.offset),
        weight(dtype, c.weight_sizes(), strides_of(c.weight, c.weight_sizes()), c.offset),
        bias(dtype, {c.groups * c.filters}, {c.weight == Layout::kStrided ? 2 : 1}, c.offset) {
    src.fill_normal(1);
    weight.fill_normal(2);
    bias.fill_normal(3);
    args = {};
    args.struct_size = sizeof args;
    args.groups = static_cast<int32_t>(c.groups);
    args.window = c.window();
    args.src = src.view();
    args.weight = weight.view();
    args.bias = c.bias ? bias.view() : absent();
  }

  // Call after the last change to an operand.
  void expect() {
    Buffer exact(POLYOPS_FLOAT64, case_.dst_sizes());
    polyops_convolution_args copy = args;
    copy.dst = exact.view();
    reference::convolution(copy);
    expected = exact.values();
    scale_ = reference::convolution_scale(copy);
  }

  // True if the kernel takes it.
  bool run(const polyops_kernel& kernel, int threads, Doubles* got) {
    return run(kernel, &args, threads, got);
  }

  // all: the kernel's arguments, of which args are a part.
  bool run(const polyops_kernel& kernel, const void* all, int threads, Doubles* got) {
    Buffer dst(dtype_, case_.dst_sizes(), strides_of(case_.dst, case_.dst_sizes()), case_.offset);
    dst.fill([](int64_t) { return kNaN; });
    args.dst = dst.without_data();
    if (const char* reason = kernel.supports(all)) {
      check_reason(reason);
      return false;
    }
    args.dst = dst.view();
    EXPECT_EQ(launch(kernel, all, threads), POLYOPS_OK);
    EXPECT_TRUE(dst.guards_intact());
    *got = dst.values();
    return true;
  }

  void check(const Doubles& got) const {
    check_close("dst", dtype_, case_.channels * Case::volume(case_.taps), got, expected, scale_);
    for (const Buffer* b : {&src, &weight, &bias}) EXPECT_TRUE(b->guards_intact());
  }

 private:
  Case case_;
  int32_t dtype_;
  Doubles scale_;

 public:
  Buffer src, weight, bias;
  polyops_convolution_args args;
  Doubles expected;
};

}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_KERNELS_CONVOLUTION_CALL_H_
