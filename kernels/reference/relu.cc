#include "reference/relu.h"

#include "reference/elements.h"

namespace polyops::reference {

void relu(const polyops_relu_args& args) {
  for (int64_t i = 0; i < polyops_numel(&args.src); ++i) {
    const double x = load(args.src, i);
    store(args.dst, i, x < 0.0 ? 0.0 : x);  // NaN and -0 stay
  }
}

// The threshold counts in the type that the op compares in.
void relu_backward(const polyops_relu_backward_args& args) {
  const bool is_double = args.src.dtype == POLYOPS_FLOAT64;
  const double threshold = is_double ? args.threshold : static_cast<float>(args.threshold);
  for (int64_t i = 0; i < polyops_numel(&args.src); ++i) {
    const double grad = load(args.grad_dst, i);
    store(args.grad_src, i, load(args.src, i) <= threshold ? 0.0 : grad);
  }
}

}  // namespace polyops::reference
