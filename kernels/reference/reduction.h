// The oracle of the tests of sum, mean, amax, amin, any, all and logsumexp, of var, std, var_mean
// and std_mean, and of linalg_vector_norm. Contracts: polyops/ops/reduction.h, polyops/ops/var.h,
// polyops/ops/linalg_vector_norm.h.
#ifndef POLYOPS_REFERENCE_REDUCTION_H_
#define POLYOPS_REFERENCE_REDUCTION_H_

#include "polyops/ops/linalg_vector_norm.h"
#include "polyops/ops/reduction.h"
#include "polyops/ops/var.h"

namespace polyops::reference {

void sum(const polyops_reduction_args& args);
void mean(const polyops_reduction_args& args);
void amax(const polyops_reduction_args& args);
void amin(const polyops_reduction_args& args);
void any(const polyops_reduction_args& args);
void all(const polyops_reduction_args& args);
void logsumexp(const polyops_reduction_args& args);
void var(const polyops_var_args& args, bool root);
void vector_norm(const polyops_vector_norm_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_REDUCTION_H_
