// The oracle of the attention tests. Contract: polyops/ops/attention.h.
#ifndef POLYOPS_REFERENCE_ATTENTION_H_
#define POLYOPS_REFERENCE_ATTENTION_H_

#include "polyops/ops/attention.h"

namespace polyops::reference {

// Writes dst and logsumexp in their own dtypes: float64 gets the answer to some 50 bits, sums being
// long double.
void attention(const polyops_attention_args& args);

// Reads neither dst nor logsumexp, but computes them.
void attention_backward(const polyops_attention_backward_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_ATTENTION_H_
