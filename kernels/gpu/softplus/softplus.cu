// softplus and its gradient. Bound: memory. log(1 + e^y) is max(y, 0) and log(1 + e^-|y|), of which
// a polynomial is left.
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
    const float u = exponential<T>(-fabsf(y));
    const float curve = always(fmaf(u, log_ratio<T>(u), fmaxf(y, 0.0f)) * inverse);
    return y > threshold ? x : curve;
  }
  GPU_DEVICE float operator()(float grad, float x) const {
    const float y = x * beta;
    const float slope = always(logistic<T>(y));
    return y > threshold ? grad : grad * slope;
  }
};

using SoftplusForward = Activation<Softplus>;
using SoftplusBackward = ActivationBackward<Softplus>;

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_UNARY(softplus, SoftplusForward, SoftplusBackward)
