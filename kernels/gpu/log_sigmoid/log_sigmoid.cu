// log_sigmoid and its gradient: softplus of -x with its sign changed. Bound: memory.
#include "activation/activation.h"

namespace polyops::gpu {
namespace {

template <class T>
struct LogSigmoid {
  explicit LogSigmoid(const double*) {}
  GPU_DEVICE float operator()(float x) const {
    const float u = exponential<T>(-fabsf(x));
    return fmaf(-u, log_ratio<T>(u), fminf(x, 0.0f));
  }
  GPU_DEVICE float operator()(float grad, float x) const { return grad * logistic<T>(-x); }
};

using LogSigmoidForward = Activation<LogSigmoid>;
using LogSigmoidBackward = ActivationBackward<LogSigmoid>;

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_UNARY(log_sigmoid, LogSigmoidForward, LogSigmoidBackward)
