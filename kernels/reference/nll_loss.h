// The oracle of the nll_loss tests. Contract: polyops/ops/nll_loss.h.
#ifndef POLYOPS_REFERENCE_NLL_LOSS_H_
#define POLYOPS_REFERENCE_NLL_LOSS_H_

#include "polyops/ops/nll_loss.h"

namespace polyops::reference {

void nll_loss(const polyops_nll_loss_args& args);
void nll_loss_backward(const polyops_nll_loss_backward_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_NLL_LOSS_H_
