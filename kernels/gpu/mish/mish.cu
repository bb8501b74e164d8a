// mish and its gradient. Bound: memory, and close behind it instructions, of which tanh and log1p
// of the runtime's take ten times those there are time for. With w = e^x and n = w (w + 2) the tanh
// is n / (n + 2), without a logarithm, and nothing cancels but the slope's own terms.
#include "activation/activation.h"

namespace polyops::gpu {
namespace {

// Where n / (n + 2) is 1 in float32, and products of w are far from too large.
constexpr float kEnd = 30;

template <class T>
struct Mish {
  explicit Mish(const double*) {}
  GPU_DEVICE float operator()(float x) const {
    const float w = exponential<T>(fminf(x, kEnd));
    const float n = w * (w + 2);
    const float y = x * (n * reciprocal_fast(n + 2));
    // Rounded up, the last float32 would become infinite. Of 16 bits the largest is less.
    if constexpr (std::is_same_v<T, float>) return x > kEnd ? x : y;
    return y;
  }
  // The slope is n / (n + 2) + x 4 w (1 + w) / (n + 2)^2, NaN where x is infinite or NaN.
  GPU_DEVICE float operator()(float grad, float x) const {
    const float near = fminf(x, kEnd);
    const float w = exponential<T>(near);
    const float n = w * (w + 2);
    const float r = reciprocal_fast(n + 2);
    const float bend = near * (4 * w * (1 + w));
    return grad * (r * fmaf(bend, r, fmaf(0.0f, x, n)));
  }
};

using MishForward = Activation<Mish>;
using MishBackward = ActivationBackward<Mish>;

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_UNARY(mish, MishForward, MishBackward)
