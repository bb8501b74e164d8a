// What the gradients of the weight share: grad_dst at the positions of a padded copy, and one
// weight's gradient by its definition.
#ifndef POLYOPS_CPU_CONVOLUTION_WEIGHT_DEFINITION_H_
#define POLYOPS_CPU_CONVOLUTION_WEIGHT_DEFINITION_H_

#include <cstdint>

#include "convolution/padded.h"
#include "convolution/shape.h"
#include "rows.h"

namespace polyops::cpu {
namespace {

// grad_dst as an image without padding, at the positions of a band's results; zeros between rows.
inline Padded at_positions(const Padded& band) {
  Padded p = band;
  for (int d = 0; d < kSpatial; ++d) {
    Padded::Axis& a = p.axis[d];
    a.in = a.out;
    a.taps = a.stride = a.dilation = 1;
    a.origin = 0;
  }
  return p;
}

inline bool is_finite(double x) { return x - x == 0; }

// One weight's gradient by its definition, for sums that are not finite: between the rows, zeros of
// grad_dst are multiplied by elements of src that the tap does not see.
template <class E>
double weight_by_definition(const Shape& shape, const E* grad, const Strides& grad_strides,
                            const E* src, const Strides& src_strides, int64_t tap) {
  const Side* s = shape.side;
  int64_t at[kSpatial];  // the tap's
  for (int d = kSpatial - 1; d >= 0; --d) {
    at[d] = tap % s[d].taps * s[d].dilation - s[d].padding;
    tap /= s[d].taps;
  }
  double sum = 0;
  for (int64_t n = 0; n < shape.batch; ++n) {
    for (int64_t i = 0; i < shape.pixels(); ++i) {
      const int64_t p[kSpatial] = {i / s[2].out / s[1].out, i / s[2].out % s[1].out, i % s[2].out};
      int64_t from = n * src_strides.batch, of = n * grad_strides.batch;
      bool inside = true;
      for (int d = 0; d < kSpatial; ++d) {
        const int64_t x = p[d] * s[d].stride + at[d];
        inside &= x >= 0 && x < s[d].in;
        from += x * src_strides.at[d];
        of += p[d] * grad_strides.at[d];
      }
      if (inside) sum += static_cast<double>(get(grad + of)) * get(src + from);
      if (sum != sum) return sum;
    }
  }
  return sum;
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_CONVOLUTION_WEIGHT_DEFINITION_H_
