#ifndef POLYOPS_REFERENCE_MAX_POOL_H_
#define POLYOPS_REFERENCE_MAX_POOL_H_

#include "polyops/ops/adaptive_max_pool.h"
#include "polyops/ops/max_pool3d.h"

namespace polyops::reference {

void adaptive_max_pool(const polyops_adaptive_max_pool_args& args);
void adaptive_max_pool_backward(const polyops_adaptive_max_pool_backward_args& args);
void max_pool3d(const polyops_max_pool3d_args& args);
void max_pool3d_backward(const polyops_max_pool3d_backward_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_MAX_POOL_H_
