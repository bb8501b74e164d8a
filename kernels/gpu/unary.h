// Elementwise ops of one input and one result, and their gradients: what most of them have of what
// elementwise.h wants of an op.
#ifndef POLYOPS_GPU_UNARY_H_
#define POLYOPS_GPU_UNARY_H_

#include "elementwise.h"
#include "table.h"

namespace polyops::gpu {
namespace {

template <class OpArgs>
struct Unary {
  using Args = OpArgs;
  static constexpr int kInputs = 1, kOutputs = 1;
  static void tensors(const Args& args, const polyops_tensor** t) {
    t[0] = &args.src;
    t[1] = &args.dst;
  }
};

template <class OpArgs>
struct UnaryBackward {
  using Args = OpArgs;
  static constexpr int kInputs = 2, kOutputs = 1;
  static void tensors(const Args& args, const polyops_tensor** t) {
    t[0] = &args.grad_dst;
    t[1] = &args.src;
    t[2] = &args.grad_src;
  }
};

}  // namespace
}  // namespace polyops::gpu

// Ends the source of an op with its two kernels.
#define POLYOPS_GPU_UNARY(op, Forward, Backward)                                            \
  POLYOPS_GPU_KERNELS(                                                                      \
      op,                                                                                   \
      POLYOPS_GPU_KERNEL(#op, #op, Elementwise<Forward>::supports, nullptr,                 \
                         Elementwise<Forward>::launch),                                     \
      POLYOPS_GPU_KERNEL(#op "_backward", #op "_backward", Elementwise<Backward>::supports, \
                         nullptr, Elementwise<Backward>::launch))

#endif  // POLYOPS_GPU_UNARY_H_
