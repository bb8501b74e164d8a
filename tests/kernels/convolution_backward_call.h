// A call of convolution_backward: its tensors, and what must come out.
#ifndef POLYOPS_TESTS_KERNELS_CONVOLUTION_BACKWARD_CALL_H_
#define POLYOPS_TESTS_KERNELS_CONVOLUTION_BACKWARD_CALL_H_

#include <gtest/gtest.h>

#include "convolution_case.h"
#include "harness.h"
#include "reference/convolution.h"

namespace polyops::testing {

using Gradients = reference::ConvolutionGradients;

// Which gradients are wanted: bits.
enum Wanted : unsigned { kSrc = 1, kWeight = 2, kBias = 4, kAll = 7 };

class Call {
 public:
  Call(const Case& c, int32_t dtype)
      : case_(c),
        dtype_(dtype),
        grad_dst(dtype, c.dst_sizes(), strides_of(c.dst, c.dst_sizes()), c.offset),
        src(dtype, c.src_sizes(), strides_of(c.src, c.src_sizes()), c.offset),
        weight(dtype, c.weight_sizes(), strides_of(c.weight, c.weight_sizes()), c.offset) {
    grad_dst.fill_normal(1);
    src.fill_normal(2);
    weight.fill_normal(3);
    args = {};
    args.struct_size = sizeof args;
    args.groups = static_cast<int32_t>(c.groups);
    args.window = c.window();
    args.grad_dst = grad_dst.view();
    args.src = src.view();
    args.weight = weight.view();
  }

  // Call after the last change to an operand.
  void expect() {
    Outputs exact(case_, POLYOPS_FLOAT64);
    polyops_convolution_backward_args copy = args;
    exact.place(&copy, kAll, &Buffer::view);
    reference::convolution_backward(copy);
    expected = exact.values(kAll);
    scale_ = reference::convolution_backward_scale(copy);
  }

  // True if the kernel takes it.
  bool run(const polyops_kernel& kernel, int threads, unsigned wanted, Gradients* got) {
    Outputs outputs(case_, dtype_);
    outputs.place(&args, wanted, &Buffer::without_data);
    if (const char* reason = kernel.supports(&args)) {
      check_reason(reason);
      return false;
    }
    outputs.place(&args, wanted, &Buffer::view);
    EXPECT_EQ(launch(kernel, &args, threads), POLYOPS_OK);
    EXPECT_TRUE(outputs.src.guards_intact());
    EXPECT_TRUE(outputs.weight.guards_intact());
    EXPECT_TRUE(outputs.bias.guards_intact());
    *got = outputs.values(wanted);
    return true;
  }

  void check(const Gradients& got, unsigned wanted) const {
    const int64_t of_src = case_.filters * Case::volume(case_.taps);
    const int64_t of_weight = case_.batch * case_.pixels();
    if (wanted & kSrc) {
      check_close("grad_src", dtype_, of_src, got.src, expected.src, scale_.src);
    }
    if (wanted & kWeight) {
      check_close("grad_weight", dtype_, of_weight, got.weight, expected.weight, scale_.weight);
    }
    if (wanted & kBias) {
      check_close("grad_bias", dtype_, of_weight, got.bias, expected.bias, scale_.bias);
    }
    for (const Buffer* b : {&grad_dst, &src, &weight}) EXPECT_TRUE(b->guards_intact());
  }

 private:
  // Full of NaN.
  struct Outputs {
    Buffer src, weight, bias;

    Outputs(const Case& c, int32_t dtype)
        : src(dtype, c.src_sizes(), strides_of(c.grad_src, c.src_sizes()), c.offset),
          weight(dtype, c.weight_sizes(), strides_of(c.grad_weight, c.weight_sizes()), c.offset),
          bias(dtype, {c.groups * c.filters}, {c.grad_weight == Layout::kStrided ? 2 : 1},
               c.offset) {
      for (Buffer* b : {&src, &weight, &bias}) b->fill([](int64_t) { return kNaN; });
    }

    void place(polyops_convolution_backward_args* a, unsigned wanted,
               polyops_tensor (Buffer::*view)() const) const {
      a->grad_src = wanted & kSrc ? (src.*view)() : absent();
      a->grad_weight = wanted & kWeight ? (weight.*view)() : absent();
      a->grad_bias = wanted & kBias ? (bias.*view)() : absent();
    }

    Gradients values(unsigned wanted) const {
      return {wanted & kSrc ? src.values() : Doubles(),
              wanted & kWeight ? weight.values() : Doubles(),
              wanted & kBias ? bias.values() : Doubles()};
    }
  };

  Case case_;
  int32_t dtype_;
  Gradients scale_;

 public:
  Buffer grad_dst, src, weight;
  polyops_convolution_backward_args args;
  Gradients expected;
};

}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_KERNELS_CONVOLUTION_BACKWARD_CALL_H_
