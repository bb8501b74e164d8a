// relu and its gradient: nothing but memory.
#include "elementwise.h"
#include "polyops/ops/relu.h"
#include "table.h"

namespace polyops::gpu {
namespace {

struct ReluFunction {
  GPU_DEVICE float operator()(float x) const { return x < 0 ? 0 : x; }
};

struct Relu {
  using Args = polyops_relu_args;
  static constexpr int kInputs = 1, kOutputs = 1;
  static void tensors(const Args& args, const polyops_tensor** t) {
    t[0] = &args.src;
    t[1] = &args.dst;
  }
  template <class T, class F>
  static int with_function(const Args&, F f) {
    return f(ReluFunction());
  }
};

struct ThresholdSlope {
  float threshold;
  GPU_DEVICE float operator()(float grad, float x) const { return x <= threshold ? 0 : grad; }
};

struct ReluBackward {
  using Args = polyops_relu_backward_args;
  static constexpr int kInputs = 2, kOutputs = 1;
  static void tensors(const Args& args, const polyops_tensor** t) {
    t[0] = &args.grad_dst;
    t[1] = &args.src;
    t[2] = &args.grad_src;
  }
  template <class T, class F>
  static int with_function(const Args& args, F f) {
    return f(ThresholdSlope{static_cast<float>(args.threshold)});
  }
};

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(relu,
                    POLYOPS_GPU_KERNEL("relu", "relu", Elementwise<Relu>::supports, nullptr,
                                       Elementwise<Relu>::launch),
                    POLYOPS_GPU_KERNEL("relu_backward", "relu_backward",
                                       Elementwise<ReluBackward>::supports, nullptr,
                                       Elementwise<ReluBackward>::launch))
