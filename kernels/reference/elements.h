// Access to elements of any dtype, as double.
#ifndef POLYOPS_REFERENCE_ELEMENTS_H_
#define POLYOPS_REFERENCE_ELEMENTS_H_

#include <cstdint>

#include "polyops/tensor_view.h"

namespace polyops::reference {

// element: number in row-major order, whatever the strides.
double load(const polyops_tensor& t, int64_t element);

// Rounds to nearest, ties to even; to bfloat16 by way of float. Integers are cut.
void store(const polyops_tensor& t, int64_t element, double value);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_ELEMENTS_H_
