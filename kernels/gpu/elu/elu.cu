// elu and its gradient, and so celu's and selu's. Bound: memory; the runtime's expm1 alone takes
// the instructions there are time for.
#include "activation/activation.h"

namespace polyops::gpu {
namespace {

struct EluScalars {
  float negative, positive, input;  // factors: of e^x - 1, of x > 0, in the exponent

  explicit EluScalars(const double* scalars)
      : negative(static_cast<float>(scalars[0]) * static_cast<float>(scalars[1])),
        positive(static_cast<float>(scalars[1])),
        input(static_cast<float>(scalars[2])) {}
};

template <class T>
struct Elu : EluScalars {
  using EluScalars::EluScalars;
  GPU_DEVICE float operator()(float x) const {
    const float curve = always(exp_less_1<T>(x * input) * negative);
    return x > 0 ? x * positive : curve;
  }
  GPU_DEVICE float operator()(float grad, float x) const {
    const float slope = always(input * negative * exponential<T>(x * input));
    return grad * (x <= 0 ? slope : positive);
  }
};

template <class T>
struct EluOfResult : EluScalars {
  using EluScalars::EluScalars;
  GPU_DEVICE float operator()(float grad, float y) const {
    return grad * (y <= 0 ? input * (y + negative) : positive);
  }
};

using EluForward = Activation<Elu>;
using EluBackward = ActivationBackward<Elu, EluOfResult>;

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_UNARY(elu, EluForward, EluBackward)
