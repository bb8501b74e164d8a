#ifndef POLYOPS_REFERENCE_POOL2D_H_
#define POLYOPS_REFERENCE_POOL2D_H_

#include "polyops/ops/pool2d.h"

namespace polyops::reference {

void max_pool2d(const polyops_max_pool2d_args& args);
void max_pool2d_backward(const polyops_max_pool2d_backward_args& args);
void avg_pool2d(const polyops_avg_pool2d_args& args);
void avg_pool2d_backward(const polyops_avg_pool2d_backward_args& args);
void adaptive_avg_pool2d(const polyops_adaptive_avg_pool2d_args& args);
void adaptive_avg_pool2d_backward(const polyops_adaptive_avg_pool2d_backward_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_POOL2D_H_
