// Ops of polyops_activation_args, as Elementwise wants them. A Function<T>, made from the scalars,
// is float operator()(float) and float operator()(float grad, float): what is computed of T's.
#ifndef POLYOPS_GPU_ACTIVATION_ACTIVATION_H_
#define POLYOPS_GPU_ACTIVATION_ACTIVATION_H_

#include "activation/curves.h"
#include "elementwise.h"
#include "polyops/ops/activation.h"
#include "table.h"

namespace polyops::gpu {
namespace {

template <template <class> class Function>
struct Activation {
  using Args = polyops_activation_args;
  static constexpr int kInputs = 1, kOutputs = 1;
  static void tensors(const Args& args, const polyops_tensor** t) {
    t[0] = &args.src;
    t[1] = &args.dst;
  }
  template <class T, class F>
  static int with_function(const Args& args, F f) {
    return f(Function<T>(args.scalars));
  }
};

template <template <class> class Function, template <class> class OfResult = Function>
struct ActivationBackward {
  using Args = polyops_activation_backward_args;
  static constexpr int kInputs = 2, kOutputs = 1;
  static void tensors(const Args& args, const polyops_tensor** t) {
    t[0] = &args.grad_dst;
    t[1] = &args.src;
    t[2] = &args.grad_src;
  }
  template <class T, class F>
  static int with_function(const Args& args, F f) {
    return args.of_result != 0 ? f(OfResult<T>(args.scalars)) : f(Function<T>(args.scalars));
  }
};

}  // namespace
}  // namespace polyops::gpu

// Ends the source of an op with its two kernels.
#define POLYOPS_GPU_ACTIVATION(op, Forward, Backward)                                       \
  POLYOPS_GPU_KERNELS(                                                                      \
      op,                                                                                   \
      POLYOPS_GPU_KERNEL(#op, #op, Elementwise<Forward>::supports, nullptr,                 \
                         Elementwise<Forward>::launch),                                     \
      POLYOPS_GPU_KERNEL(#op "_backward", #op "_backward", Elementwise<Backward>::supports, \
                         nullptr, Elementwise<Backward>::launch))

#endif  // POLYOPS_GPU_ACTIVATION_ACTIVATION_H_
