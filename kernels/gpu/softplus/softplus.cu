// softplus and its gradient. Bound: memory; of instructions there are some 20 per element of 16 bits.
#include "activation/activation.h"

namespace polyops::gpu {
namespace {

template <class T>
struct Softplus {
  float beta, inverse, threshold;

  explicit Softplus(const double* scalars)
      : beta(static_cast<float>(scalars[0])),
        inverse(1 / beta),
        threshold(static_cast<float>(scalars[1])) {}
  GPU_DEVICE float operator()(float x) const {
    const float y = x * beta;
    return y > threshold ? x : log_of_1_and_exp<T>(y) * inverse;
  }
  GPU_DEVICE float operator()(float grad, float x) const {
    const float y = x * beta;
    return y > threshold ? grad : grad * logistic<T>(y);
  }
};

using SoftplusForward = Activation<Softplus>;
using SoftplusBackward = ActivationBackward<Softplus>;

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_ACTIVATION(softplus, SoftplusForward, SoftplusBackward)
