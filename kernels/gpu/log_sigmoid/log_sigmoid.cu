// log_sigmoid and its gradient: softplus of -x with its sign changed. Bound: memory.
#include "activation/activation.h"

namespace polyops::gpu {
namespace {

template <class T>
struct LogSigmoid {
  explicit LogSigmoid(const double*) {}
  GPU_DEVICE float operator()(float x) const { return -log_of_1_and_exp<T>(-x); }
  GPU_DEVICE float operator()(float grad, float x) const { return grad * logistic<T>(-x); }
};

using LogSigmoidForward = Activation<LogSigmoid>;
using LogSigmoidBackward = ActivationBackward<LogSigmoid>;

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_ACTIVATION(log_sigmoid, LogSigmoidForward, LogSigmoidBackward)
