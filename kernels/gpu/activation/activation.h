// Ops of polyops_activation_args, as Elementwise wants them. A Function<T>, made from the scalars,
// is float operator()(float) and float operator()(float grad, float): what is computed of T's.
#ifndef POLYOPS_GPU_ACTIVATION_ACTIVATION_H_
#define POLYOPS_GPU_ACTIVATION_ACTIVATION_H_

#include "activation/curves.h"
#include "polyops/ops/activation.h"
#include "unary.h"

namespace polyops::gpu {
namespace {

template <template <class> class Function>
struct Activation : Unary<polyops_activation_args> {
  template <class T, class F>
  static int with_function(const polyops_activation_args& args, F f) {
    return f(Function<T>(args.scalars));
  }
};

template <template <class> class Function, template <class> class OfResult = Function>
struct ActivationBackward : UnaryBackward<polyops_activation_backward_args> {
  template <class T, class F>
  static int with_function(const polyops_activation_backward_args& args, F f) {
    return args.of_result != 0 ? f(OfResult<T>(args.scalars)) : f(Function<T>(args.scalars));
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_ACTIVATION_ACTIVATION_H_
