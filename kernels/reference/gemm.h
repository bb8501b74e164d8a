// The oracle of the gemm tests. Contract: polyops/ops/gemm.h.
#ifndef POLYOPS_REFERENCE_GEMM_H_
#define POLYOPS_REFERENCE_GEMM_H_

#include <vector>

#include "polyops/ops/gemm.h"

namespace polyops::reference {

// Writes dst, of its own dtype: float64 gets the exact answer to some 50 bits.
void gemm(const polyops_gemm_args& args);

// |alpha| sum_p |lhs rhs| + |beta addend| of every element of dst, row-major: what errors are
// measured against.
std::vector<double> gemm_scale(const polyops_gemm_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_GEMM_H_
