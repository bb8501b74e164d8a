// The oracle of the convolution tests. Contract: polyops/ops/convolution.h.
#ifndef POLYOPS_REFERENCE_CONVOLUTION_H_
#define POLYOPS_REFERENCE_CONVOLUTION_H_

#include <vector>

#include "polyops/ops/convolution.h"

namespace polyops::reference {

// Writes dst, of its own dtype: float64 gets the exact answer to some 50 bits. The padding is
// skipped, not multiplied.
void convolution(const polyops_convolution_args& args);

// The sum of |products| and |bias| of every element of dst, row-major: what errors are measured
// against.
std::vector<double> convolution_scale(const polyops_convolution_args& args);

// Writes the gradients that are present, of their own dtypes.
void convolution_backward(const polyops_convolution_backward_args& args);

// Row-major; empty where absent.
struct ConvolutionGradients {
  std::vector<double> src, weight, bias;
};

// The sum of |products| of every element of the gradients that are present.
ConvolutionGradients convolution_backward_scale(const polyops_convolution_backward_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_CONVOLUTION_H_
