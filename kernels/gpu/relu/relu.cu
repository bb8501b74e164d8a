// relu and its gradient: nothing but memory.
#include "polyops/ops/relu.h"
#include "unary.h"

namespace polyops::gpu {
namespace {

struct ReluFunction {
  GPU_DEVICE float operator()(float x) const { return x < 0 ? 0 : x; }
};

struct Relu : Unary<polyops_relu_args> {
  template <class T, class F>
  static int with_function(const Args&, F f) {
    return f(ReluFunction());
  }
};

struct ThresholdSlope {
  float threshold;
  GPU_DEVICE float operator()(float grad, float x) const { return x <= threshold ? 0 : grad; }
};

struct ReluBackward : UnaryBackward<polyops_relu_backward_args> {
  template <class T, class F>
  static int with_function(const Args& args, F f) {
    return f(ThresholdSlope{static_cast<float>(args.threshold)});
  }
};

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_UNARY(relu, Relu, ReluBackward)
